//! Which staking parameters apply.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use bitcoin::address::NetworkUnchecked;
use bitcoin::secp256k1::{All, Secp256k1};
use bitcoin::{Address, Network};
use tapstake_params::local::{self, Slashed};
use tapstake_params::{Schedule, ScheduleFile};

use crate::error::{Context, Error, Result};
use crate::file;
use crate::file::kind::Kind;
use crate::network::NetworkName;

/// More than the parameters of any chain take.
const MAX_BYTES: u64 = 4 << 20;

/// Where staking parameters come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ParamsSource {
    /// Babylon mainnet, built in.
    Bbn1,
    /// The local test set, whose slashings burn.
    Local,
    /// The local test set, whose slashings pay to an address.
    LocalPaying(String),
    /// A file in either public JSON shape.
    File(PathBuf),
}

impl fmt::Display for ParamsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParamsSource::Bbn1 => f.write_str("bbn-1"),
            ParamsSource::Local => f.write_str("local"),
            ParamsSource::LocalPaying(address) => write!(f, "local-paying:{address}"),
            ParamsSource::File(path) => path.display().fmt(f),
        }
    }
}

impl FromStr for ParamsSource {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "bbn-1" => ParamsSource::Bbn1,
            "local" => ParamsSource::Local,
            _ => match text.strip_prefix("local-paying:") {
                Some(address) => ParamsSource::LocalPaying(address.into()),
                None => ParamsSource::File(text.into()),
            },
        })
    }
}

impl ParamsSource {
    /// A relative file, seen from `folder`.
    pub(crate) fn relative_to(self, folder: &Path) -> Self {
        match self {
            ParamsSource::File(path) => ParamsSource::File(folder.join(path)),
            other => other,
        }
    }

    /// The parameters that apply where nobody named any.
    pub(crate) const fn default_for(network: Network) -> Self {
        match network {
            Network::Bitcoin => ParamsSource::Bbn1,
            _ => ParamsSource::Local,
        }
    }

    /// The network that the source itself implies.
    pub(crate) const fn network(&self) -> Option<Network> {
        match self {
            ParamsSource::Bbn1 => Some(Network::Bitcoin),
            _ => None,
        }
    }

    /// Reads the parameters for `network`.
    ///
    /// # Errors
    ///
    /// If they belong to another network, cannot be read, or break a rule.
    pub(crate) fn load(&self, secp: &Secp256k1<All>, network: Network) -> Result<Schedule> {
        match self {
            ParamsSource::Bbn1 if network == Network::Bitcoin => Ok(Schedule::bbn_1()),
            ParamsSource::Bbn1 => {
                let network = NetworkName::from(network);
                let message = format!("parameters bbn-1 are those of mainnet, and the network is {network}");
                Err(Error::rule("network", message).next("give --network mainnet, or other --params"))
            }
            ParamsSource::Local => Ok(local::schedule(secp, network, Slashed::Burned)?),
            ParamsSource::LocalPaying(address) => {
                let script = on_network(address, network)?.script_pubkey();
                Ok(local::schedule(secp, network, Slashed::PaidTo(script))?)
            }
            ParamsSource::File(path) => {
                let named = format!("parameters file {}", path.display());
                let names = "give bbn-1, local, local-paying:ADDRESS, or the name of a file";
                let bytes = file::read(path, MAX_BYTES).context("parameters file").next(names)?;
                let parsed: ScheduleFile =
                    file::json(&bytes, Kind::Parameters).context(&named).next(names)?;
                parsed.for_network(network).context(&named)
            }
        }
    }
}

/// An address of `network`.
///
/// # Errors
///
/// If it is no address, or another network's.
pub(crate) fn on_network(address: &str, network: Network) -> Result<Address> {
    let parsed: Address<NetworkUnchecked> = address.parse().map_err(|error| Error::rule("address", error))?;
    parsed.require_network(network).map_err(|_| {
        let network = NetworkName::from(network);
        Error::rule("address-network", format!("address {address} is not one of {network}"))
            .next(format!("give an address of {network}, or another --network"))
    })
}
