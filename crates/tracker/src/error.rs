use std::path::PathBuf;

use bitcoin::{Network, OutPoint};
use tapstake_chain::ChainError;
use tapstake_tx::delegation::{CombineError, DelegationError};

use crate::record::RecordError;

/// Why a stake cannot be followed or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrackerError {
    /// The source of chain data has no answer.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// A record that is none, or that contradicts itself.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The stake and the source are on different networks.
    #[error("stake {outpoint} is on {stake}, the source of chain data on {source_network}")]
    Network {
        /// The stake.
        outpoint: OutPoint,
        /// Its network.
        stake: Network,
        /// The source's network.
        source_network: Network,
    },
    /// The output at the stake's outpoint is another one.
    #[error("output {0} on the chain is not the staking output of the record")]
    NotTheStake(OutPoint),
    /// The stake's delegation does not give out its staking transaction.
    #[error(transparent)]
    Delegation(#[from] DelegationError),
    /// Two copies of a delegation contradict each other.
    #[error(transparent)]
    Combine(#[from] CombineError),
    /// The store has no such stake.
    #[error("no stake {0} in the list")]
    UnknownStake(OutPoint),
    /// The store has another record of that stake.
    #[error("stake {0} is in the list already, with other facts")]
    AlreadyKnown(OutPoint),
    /// The store was written by a newer version.
    #[error("{} has format {found}, this version reads up to {supported}", file.display())]
    NewerStore {
        /// The store's file.
        file: PathBuf,
        /// The format found.
        found: i64,
        /// The newest known here.
        supported: i64,
    },
    /// An export was written by a newer version.
    #[error("the export has format {found}, this version reads up to {supported}")]
    NewerExport {
        /// The format found.
        found: u32,
        /// The newest known here.
        supported: u32,
    },
    /// An export that is none.
    #[error("not an export of stakes: {0}")]
    Export(String),
    /// The store's file is damaged, or is none.
    #[error("{} is no intact list of stakes: {reason}; restore it from an export or from recovery sheets", file.display())]
    Damaged {
        /// The store's file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process holds the store and does not let go.
    #[error("{} is in use by another process; try again", file.display())]
    Busy {
        /// The store's file.
        file: PathBuf,
    },
    /// The operating system refuses.
    #[error("{}: {error}", file.display())]
    File {
        /// The file or folder.
        file: PathBuf,
        /// What it says.
        #[source]
        error: std::io::Error,
    },
    /// The database refuses.
    #[error("{}: {error}", file.display())]
    Database {
        /// The store's file.
        file: PathBuf,
        /// What it says.
        #[source]
        error: rusqlite::Error,
    },
}
