//! From seed or descriptors to the wallet's public descriptors, its signing keys and the staker account.

use std::fmt;

use bitcoin::bip32::{ChildNumber, DerivationPath, Fingerprint, Xpriv, Xpub};
use bitcoin::secp256k1::{All, Secp256k1};
use bitcoin::{Network, NetworkKind};
use miniscript::descriptor::checksum::desc_checksum;
use miniscript::descriptor::{
    DescriptorPublicKey, DescriptorSecretKey, DescriptorType, DescriptorXKey, KeyMap, Wildcard,
};
use miniscript::{Descriptor, ForEachKey};
use zeroize::Zeroizing;

use crate::error::WalletError;
use crate::secret::{Passphrase, SecretText, SeedPhrase};

/// The chain of an account (`0` receives, `1` is change) that holds the staker keys.
///
/// It lies below the account's extended public key, so a watch-only wallet derives staker keys too, and any
/// signer that knows the seed finds them by the origin in a descriptor: `[fingerprint/86'/0'/0'/2/0]key`.
pub const STAKER_CHAIN: u32 = 2;

/// The two public descriptors of a wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicDescriptors {
    pub(crate) external: Descriptor<DescriptorPublicKey>,
    pub(crate) internal: Option<Descriptor<DescriptorPublicKey>>,
}

/// Private keys that are wiped when dropped.
#[derive(Clone)]
pub(crate) struct SigningKeys {
    pub(crate) map: KeyMap,
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKeys({} keys)", self.map.len())
    }
}

impl Drop for SigningKeys {
    fn drop(&mut self) {
        for secret in self.map.values_mut() {
            match secret {
                DescriptorSecretKey::Single(single) => single.key.inner.non_secure_erase(),
                DescriptorSecretKey::XPrv(key) => key.xkey.private_key.non_secure_erase(),
                DescriptorSecretKey::MultiXPrv(key) => key.xkey.private_key.non_secure_erase(),
            }
        }
    }
}

/// Descriptors and, if they were private, their keys.
pub(crate) struct ParsedDescriptors {
    pub(crate) public: PublicDescriptors,
    pub(crate) keys: SigningKeys,
}

/// The BIP-0086 descriptors of a seed, `tr([fingerprint/86'/coin'/account']xprv/chain/*)`, and the
/// fingerprint of its master key.
pub(crate) fn bip86(
    phrase: &SeedPhrase,
    passphrase: Option<&Passphrase>,
    network: Network,
    account: u32,
    secp: &Secp256k1<All>,
) -> Result<(ParsedDescriptors, Fingerprint), WalletError> {
    let refuse = |error: bitcoin::bip32::Error| WalletError::Descriptor(error.to_string());
    let coin = if network == Network::Bitcoin { 0 } else { 1 };
    let path = [
        ChildNumber::from_hardened_idx(86).map_err(refuse)?,
        ChildNumber::from_hardened_idx(coin).map_err(refuse)?,
        ChildNumber::from_hardened_idx(account).map_err(refuse)?,
    ];
    let mut master = Xpriv::new_master(network, &*phrase.seed(passphrase)).map_err(refuse)?;
    let fingerprint = master.fingerprint(secp);
    let derived = master.derive_priv(secp, &path);
    master.private_key.non_secure_erase();
    let mut key = derived.map_err(refuse)?;
    let descriptor =
        |chain: u32| SecretText::new(format!("tr([{fingerprint}/86'/{coin}'/{account}']{key}/{chain}/*)"));
    let parsed = parse(&descriptor(0), Some(&descriptor(1)), network, secp);
    key.private_key.non_secure_erase();
    Ok((parsed?, fingerprint))
}

/// Parses descriptors, private or public. One two-path descriptor (`<0;1>`, BIP-0389) gives both.
pub(crate) fn parse(
    external: &SecretText,
    internal: Option<&SecretText>,
    network: Network,
    secp: &Secp256k1<All>,
) -> Result<ParsedDescriptors, WalletError> {
    let mut keys = SigningKeys { map: KeyMap::new() };
    let (external, internal) = match (split_paths(external)?, internal) {
        (None, None) => (external.clone(), None),
        (None, Some(internal)) => (external.clone(), Some(internal.clone())),
        (Some((external, internal)), None) => (external, Some(internal)),
        (Some(_), Some(_)) => {
            return Err(WalletError::Descriptor("a descriptor with two paths comes alone".into()));
        }
    };
    let external = parse_one(&external, network, &mut keys, secp)?;
    let internal = internal.map(|internal| parse_one(&internal, network, &mut keys, secp)).transpose()?;
    if internal.as_ref() == Some(&external) {
        return Err(WalletError::Descriptor("receiving and change descriptor are the same".into()));
    }
    Ok(ParsedDescriptors { public: PublicDescriptors { external, internal }, keys })
}

/// The two descriptors that a descriptor with `<a;b>` steps stands for; none if it has no such step.
///
/// miniscript does this for public keys only.
fn split_paths(text: &SecretText) -> Result<Option<(SecretText, SecretText)>, WalletError> {
    let refuse = |reason: &str| WalletError::Descriptor(reason.to_owned());
    let text = text.expose().trim();
    if !text.contains('<') {
        return Ok(None);
    }
    let (body, checksum) = text.split_once('#').map_or((text, None), |(body, sum)| (body, Some(sum)));
    let expected = desc_checksum(body).map_err(|_| refuse("it holds characters no descriptor has"))?;
    if checksum.is_some_and(|checksum| checksum != expected) {
        return Err(refuse("its checksum is wrong (BIP-0380)"));
    }
    // As long as the text at the most, so that growing leaves no copies behind.
    let mut sides = [
        Zeroizing::new(String::with_capacity(body.len())),
        Zeroizing::new(String::with_capacity(body.len())),
    ];
    let mut rest = body;
    while let Some((before, after)) = rest.split_once('<') {
        let (step, after) = after.split_once('>').ok_or_else(|| refuse("'<' without '>'"))?;
        let (first, second) = step
            .split_once(';')
            .filter(|(_, second)| !second.contains(';'))
            .ok_or_else(|| refuse("a step of several paths has two, receiving and change"))?;
        for (side, index) in sides.iter_mut().zip([first, second]) {
            side.push_str(before);
            side.push_str(index);
        }
        rest = after;
    }
    let [external, internal] = sides.map(|mut side| {
        side.push_str(rest);
        SecretText::new(std::mem::take(&mut *side))
    });
    Ok(Some((external, internal)))
}

fn parse_one(
    text: &SecretText,
    network: Network,
    keys: &mut SigningKeys,
    secp: &Secp256k1<All>,
) -> Result<Descriptor<DescriptorPublicKey>, WalletError> {
    // miniscript's messages can quote the text, which may be a private key.
    let (descriptor, map) = Descriptor::parse_descriptor(secp, text.expose().trim()).map_err(|error| {
        if text.expose().contains("prv") {
            WalletError::Descriptor("private descriptor does not parse".into())
        } else {
            WalletError::Descriptor(error.to_string())
        }
    })?;
    keys.map.extend(map);
    descriptor.sanity_check().map_err(|error| WalletError::Descriptor(error.to_string()))?;
    match descriptor.desc_type() {
        DescriptorType::Wpkh | DescriptorType::Wsh | DescriptorType::WshSortedMulti | DescriptorType::Tr => {}
        _ => return Err(WalletError::NotNativeSegwit(descriptor.to_string())),
    }
    let kind = NetworkKind::from(network);
    let fits = |key: &DescriptorPublicKey| match key {
        DescriptorPublicKey::Single(_) => true,
        DescriptorPublicKey::XPub(key) => key.xkey.network == kind,
        DescriptorPublicKey::MultiXPub(key) => key.xkey.network == kind,
    };
    let secret_fits = |key: &DescriptorSecretKey| match key {
        DescriptorSecretKey::Single(key) => key.key.network == kind,
        _ => true,
    };
    if !descriptor.for_each_key(fits) || !keys.map.values().all(secret_fits) {
        return Err(WalletError::KeyNetwork(network));
    }
    Ok(descriptor)
}

/// An account of the wallet, at the depth where its chains begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account<K> {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) path: DerivationPath,
    pub(crate) key: K,
}

impl<K> Account<K> {
    /// The derivation of staker key `index` from the account, and from the master key.
    pub(crate) fn staker_path(&self, index: u32) -> Result<([ChildNumber; 2], DerivationPath), WalletError> {
        let refuse = |error: bitcoin::bip32::Error| WalletError::Descriptor(error.to_string());
        let tail = [
            ChildNumber::from_normal_idx(STAKER_CHAIN).map_err(refuse)?,
            ChildNumber::from_normal_idx(index).map_err(refuse)?,
        ];
        Ok((tail, self.path.extend(tail)))
    }

    /// The index of the staker key at `path` from the master key `fingerprint`, if it is one.
    pub(crate) fn staker_index(&self, fingerprint: Fingerprint, path: &DerivationPath) -> Option<u32> {
        let tail = path.as_ref().strip_prefix(self.path.as_ref())?;
        match tail {
            [ChildNumber::Normal { index: STAKER_CHAIN }, ChildNumber::Normal { index }]
                if fingerprint == self.fingerprint =>
            {
                Some(*index)
            }
            _ => None,
        }
    }
}

/// The account of a public descriptor `…xpub/…/0/*`.
pub(crate) fn public_account(
    descriptor: &Descriptor<DescriptorPublicKey>,
    secp: &Secp256k1<All>,
) -> Result<Account<Xpub>, WalletError> {
    let refuse = || WalletError::NoStakerKey(descriptor.to_string());
    let mut keys = Vec::new();
    descriptor.for_each_key(|key| {
        keys.push(key.clone());
        true
    });
    let [DescriptorPublicKey::XPub(key)] = keys.as_slice() else {
        return Err(refuse());
    };
    let steps = account_steps(key).ok_or_else(refuse)?;
    let xpub = key.xkey.derive_pub(secp, &steps).map_err(|_| refuse())?;
    let (fingerprint, origin) =
        key.origin.clone().unwrap_or((key.xkey.fingerprint(), DerivationPath::master()));
    Ok(Account { fingerprint, path: origin.extend(steps), key: xpub })
}

/// The same account with its private key, if `keys` hold it.
pub(crate) fn private_account(
    keys: &SigningKeys,
    account: &Account<Xpub>,
    secp: &Secp256k1<All>,
) -> Option<Account<Xpriv>> {
    keys.map.values().find_map(|secret| {
        let DescriptorSecretKey::XPrv(key) = secret else { return None };
        let xpriv = key.xkey.derive_priv(secp, &account_steps(key)?).ok()?;
        // The key decides, not the path beside it.
        let same = Xpub::from_priv(secp, &xpriv) == account.key;
        same.then(|| Account { fingerprint: account.fingerprint, path: account.path.clone(), key: xpriv })
    })
}

/// The steps from the extended key to the account: all of the path but the last, which is chain 0.
fn account_steps<K: miniscript::descriptor::InnerXKey>(key: &DescriptorXKey<K>) -> Option<DerivationPath> {
    match key.derivation_path.as_ref().split_last()? {
        (ChildNumber::Normal { index: 0 }, steps) if key.wildcard == Wildcard::Unhardened => {
            Some(DerivationPath::from(steps.to_vec()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    const WORDS: &str =
        "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";

    fn private_text(descriptor: &Descriptor<DescriptorPublicKey>, keys: &SigningKeys) -> String {
        descriptor.to_string_with_secret(&keys.map)
    }

    fn seed_keys(network: Network) -> ParsedDescriptors {
        let secp = Secp256k1::new();
        bip86(&SeedPhrase::parse(WORDS).unwrap(), None, network, 0, &secp).unwrap().0
    }

    #[test]
    fn descriptors_are_those_of_bip_0086() {
        // The test vector of BIP-0086: account key, first receiving and first change address.
        let public = seed_keys(Network::Bitcoin).public;
        assert!(public.external.to_string().starts_with(
            "tr([73c5da0a/86'/0'/0']xpub6BgBgsespWvERF3LHQu6CnqdvfEvtMcQjYrcRzx53QJjSxarj2afYWcLteoGVky7D3UKDP9QyrLprQ3VCECoY49yfdDEHGCtMMj92pReUsQ/0/*)"
        ));
        let address = |descriptor: &Descriptor<DescriptorPublicKey>| {
            descriptor.at_derivation_index(0).unwrap().address(Network::Bitcoin).unwrap().to_string()
        };
        assert_eq!(
            address(&public.external),
            "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr"
        );
        assert_eq!(
            address(public.internal.as_ref().unwrap()),
            "bc1p3qkhfews2uk44qtvauqyr2ttdsw7svhkl9nkm9s9c3x4ax5h60wqwruhk7"
        );
    }

    #[test]
    fn public_and_private_side_derive_the_same_staker_key() {
        let secp = Secp256k1::new();
        let parsed = seed_keys(Network::Regtest);
        let public = public_account(&parsed.public.external, &secp).unwrap();
        let private = private_account(&parsed.keys, &public, &secp).unwrap();
        let (tail, path) = public.staker_path(7).unwrap();
        assert_eq!(path, DerivationPath::from_str("86'/1'/0'/2/7").unwrap());
        let xpub = public.key.derive_pub(&secp, &tail).unwrap();
        let xpriv = private.key.derive_priv(&secp, &tail).unwrap();
        assert_eq!(xpub, Xpub::from_priv(&secp, &xpriv));
        assert_eq!(private.staker_index(public.fingerprint, &path), Some(7));
        assert_eq!(private.staker_index(Fingerprint::default(), &path), None);
        let receiving = DerivationPath::from_str("86'/1'/0'/0/7").unwrap();
        assert_eq!(private.staker_index(public.fingerprint, &receiving), None);
    }

    #[test]
    fn a_two_path_descriptor_is_the_same_as_its_two_halves() {
        let secp = Secp256k1::new();
        let parsed = seed_keys(Network::Regtest);
        let text = private_text(&parsed.public.external, &parsed.keys);
        let body = text.split('#').next().unwrap();
        let both = body.replace("/0/*", "/<0;1>/*");
        let sum = desc_checksum(&both).unwrap();
        let wrong = SecretText::new(format!("{both}#qqqqqqqq"));
        assert!(parse(&wrong, None, Network::Regtest, &secp).is_err());
        for three in ["/<0;1;2>/*", "/<0>/*", "/<0;1/*"] {
            let three = SecretText::new(body.replace("/0/*", three));
            assert!(parse(&three, None, Network::Regtest, &secp).is_err());
        }
        let both = SecretText::new(format!("{both}#{sum}"));
        let again = parse(&both, None, Network::Regtest, &secp).unwrap();
        assert_eq!(again.public, parsed.public);
        let account = public_account(&again.public.external, &secp).unwrap();
        assert!(private_account(&again.keys, &account, &secp).is_some());
    }

    #[test]
    fn descriptors_that_change_the_txid_when_signed_are_refused() {
        let secp = Secp256k1::new();
        let xpub = seed_keys(Network::Regtest).public.external.to_string();
        let key = xpub.trim_start_matches("tr(").split(')').next().unwrap().to_owned();
        for refused in [format!("pkh({key})"), format!("sh(wpkh({key}))")] {
            let result = parse(&SecretText::new(refused), None, Network::Regtest, &secp);
            assert!(matches!(result, Err(WalletError::NotNativeSegwit(_))));
        }
        assert!(parse(&SecretText::new(format!("wpkh({key})")), None, Network::Regtest, &secp).is_ok());
        let result = parse(&SecretText::new(format!("tr({key})")), None, Network::Bitcoin, &secp);
        assert!(matches!(result, Err(WalletError::KeyNetwork(Network::Bitcoin))));
    }

    #[test]
    fn errors_and_debug_do_not_quote_private_descriptors() {
        let secp = Secp256k1::new();
        let parsed = seed_keys(Network::Regtest);
        let text = private_text(&parsed.public.external, &parsed.keys);
        assert!(text.contains("tprv"));
        assert!(!format!("{:?}", parsed.keys).contains("tprv"));
        let broken = SecretText::new(text.replace("/0/*", "/0/*/*"));
        let error = parse(&broken, None, Network::Regtest, &secp).err().unwrap();
        assert!(!format!("{error} {error:?}").contains("tprv"), "{error}");
    }
}
