//! The names of the Bitcoin networks.

use std::fmt;

use bitcoin::Network;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A Bitcoin network, by the name it has in arguments, configuration and output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NetworkName {
    /// Bitcoin itself, also called bitcoin
    #[value(alias = "bitcoin")]
    #[serde(alias = "bitcoin")]
    Mainnet,
    /// Testnet3
    #[value(alias = "testnet3")]
    #[serde(alias = "testnet3")]
    Testnet,
    /// Testnet4 (BIP-0094)
    Testnet4,
    /// Any signet
    Signet,
    /// Regtest and the embedded chain
    Regtest,
}

impl From<NetworkName> for Network {
    fn from(name: NetworkName) -> Network {
        match name {
            NetworkName::Mainnet => Network::Bitcoin,
            NetworkName::Testnet => Network::Testnet,
            NetworkName::Testnet4 => Network::Testnet4,
            NetworkName::Signet => Network::Signet,
            NetworkName::Regtest => Network::Regtest,
        }
    }
}

impl From<Network> for NetworkName {
    fn from(network: Network) -> NetworkName {
        match network {
            Network::Bitcoin => NetworkName::Mainnet,
            Network::Testnet => NetworkName::Testnet,
            Network::Testnet4 => NetworkName::Testnet4,
            Network::Signet => NetworkName::Signet,
            Network::Regtest => NetworkName::Regtest,
        }
    }
}

impl fmt::Display for NetworkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NetworkName::Mainnet => "mainnet",
            NetworkName::Testnet => "testnet",
            NetworkName::Testnet4 => "testnet4",
            NetworkName::Signet => "signet",
            NetworkName::Regtest => "regtest",
        })
    }
}
