//! A server's address, read from a configuration.

use crate::config::refuse_user_info;
use crate::{ChainError, ElectrumConfig};

/// Where to connect to, and how.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
    /// `Some(true)` with a certificate that is checked, `Some(false)` with any.
    pub(super) tls: Option<bool>,
    pub(super) proxy: Option<(String, u16)>,
}

impl Endpoint {
    pub(super) fn parse(config: &ElectrumConfig) -> Result<Self, ChainError> {
        refuse_user_info(&config.url, "the server's address")?;
        let wrong = || {
            let url = &config.url;
            ChainError::Config(format!(
                "the server's address {url} is none: write tcp://HOST:PORT or ssl://HOST:PORT"
            ))
        };
        let (scheme, rest) = config.url.split_once("://").ok_or_else(wrong)?;
        let tls = match scheme {
            "tcp" => None,
            "ssl" => Some(!config.accept_any_certificate),
            _ => return Err(wrong()),
        };
        let (host, port) = host_and_port(rest.trim_end_matches('/')).ok_or_else(wrong)?;
        let proxy = match &config.proxy {
            None => None,
            Some(proxy) => {
                refuse_user_info(proxy, "the proxy's address")?;
                let address = proxy.strip_prefix("socks5://").unwrap_or(proxy);
                let wrong =
                    || ChainError::Config(format!("the proxy's address {proxy} is none: write HOST:PORT"));
                Some(host_and_port(address).ok_or_else(wrong)?)
            }
        };
        Ok(Endpoint { host, port, tls, proxy })
    }
}

/// `HOST:PORT`, with an IPv6 address in brackets.
fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() {
        return None;
    }
    Some((host.to_owned(), port.parse().ok().filter(|port| *port != 0)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused() {
        let parse = |url: &str| Endpoint::parse(&ElectrumConfig::new(url));
        for (url, host, port, tls) in [
            ("tcp://127.0.0.1:50001", "127.0.0.1", 50_001, None),
            ("ssl://electrum.example.org:50002/", "electrum.example.org", 50_002, Some(true)),
            ("tcp://[::1]:50001", "::1", 50_001, None),
        ] {
            let endpoint = parse(url).unwrap();
            assert_eq!((endpoint.host.as_str(), endpoint.port, endpoint.tls), (host, port, tls));
        }
        for url in
            ["127.0.0.1:50001", "http://h:1", "tcp://h", "tcp://:1", "tcp://h:0", "tcp://h:99999", "ssl://"]
        {
            let refusal = parse(url).unwrap_err().to_string();
            assert!(refusal.ends_with("write tcp://HOST:PORT or ssl://HOST:PORT"), "{url}: {refusal}");
        }
    }

    #[test]
    fn proxies_are_read_with_and_without_their_scheme() {
        for proxy in ["127.0.0.1:9050", "socks5://127.0.0.1:9050"] {
            let config = ElectrumConfig { proxy: Some(proxy.into()), ..ElectrumConfig::new("tcp://h:1") };
            assert_eq!(Endpoint::parse(&config).unwrap().proxy, Some(("127.0.0.1".into(), 9_050)));
        }
        for proxy in ["127.0.0.1", "me:secret@127.0.0.1:9050"] {
            let config = ElectrumConfig { proxy: Some(proxy.into()), ..ElectrumConfig::new("tcp://h:1") };
            let refusal = Endpoint::parse(&config).unwrap_err().to_string();
            assert!(refusal.contains("proxy") && !refusal.contains("secret"), "{refusal}");
        }
    }
}
