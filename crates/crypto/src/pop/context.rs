use alloc::string::{String, ToString};

use bitcoin::Network;
use serde::{Deserialize, Serialize};

/// What a tapstake message binds beside the account: the service, and the Bitcoin network.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Context {
    service: String,
    network: Network,
}

/// A service's name that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "service name: 1 to {} characters of printable ASCII without blanks, not {service:?}",
    Context::MAX_SERVICE
)]
pub struct ContextError {
    /// The name, cut where it is too long.
    pub service: String,
}

impl Context {
    /// The most bytes of a service's name.
    pub const MAX_SERVICE: usize = 64;

    /// The context of a service on a network.
    ///
    /// # Errors
    ///
    /// [`ContextError`] unless the name is 1 to 64 printable ASCII characters without blanks.
    pub fn new(service: &str, network: Network) -> Result<Self, ContextError> {
        let allowed = (1..=Self::MAX_SERVICE).contains(&service.len())
            && service.bytes().all(|byte| byte.is_ascii_graphic());
        if !allowed {
            return Err(ContextError { service: service.chars().take(Self::MAX_SERVICE).collect() });
        }
        Ok(Context { service: service.to_string(), network })
    }

    /// The service's name.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The Bitcoin network.
    pub fn network(&self) -> Network {
        self.network
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    service: String,
    network: Network,
}

impl TryFrom<Unchecked> for Context {
    type Error = ContextError;

    fn try_from(unchecked: Unchecked) -> Result<Self, ContextError> {
        Context::new(&unchecked.service, unchecked.network)
    }
}
