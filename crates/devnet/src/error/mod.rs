//! Why a transaction or a block is refused.
//!
//! Every message of [`TxError`], [`BlockError`] and [`AcceptError`] begins with the reject reason
//! that Bitcoin Core gives for the same rule (`bad-txns-inputs-missingorspent`, `non-BIP68-final`, ...),
//! followed by a comma and the values, so that the answers of both can be compared.

mod consensus;
mod mempool;

use bitcoin::{Amount, BlockHash};

pub use consensus::{BlockError, TxError};
pub use mempool::{AcceptError, PackageError};

/// Any failure of the devnet as a whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The Electrum server could not listen on its address.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address asked for.
        address: std::net::SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Only loopback addresses are served: the devnet knows no users and no limits worth the name.
    #[error("{address} is not a loopback address")]
    NotLoopback {
        /// The address asked for.
        address: std::net::SocketAddr,
    },
    /// A thread could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    /// A block was refused.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// A transaction was refused.
    #[error(transparent)]
    Accept(#[from] AcceptError),
    /// A block is asked for that the chain does not know.
    #[error("block {0} is not known")]
    UnknownBlock(BlockHash),
    /// The first block of all cannot be invalidated.
    #[error("the genesis block cannot be invalidated")]
    Genesis,
    /// The faucet has not enough coins: regtest halves its subsidy every 150 blocks.
    #[error("the faucet has {} sat to spend of the {} sat asked for", .available.to_sat(), .asked.to_sat())]
    FaucetEmpty {
        /// Mature coins of the faucet.
        available: Amount,
        /// Amount and fee.
        asked: Amount,
    },
}

/// Cuts a message to the part before its values.
fn reject_reason(message: &str) -> String {
    let end = [", ", " ("].iter().filter_map(|mark| message.find(mark)).min().unwrap_or(message.len());
    message[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use bitcoin::OutPoint;

    use super::*;

    #[test]
    fn reject_reasons_are_the_words_of_bitcoin_core() {
        let missing = AcceptError::from(TxError::MissingInput { outpoint: OutPoint::null() });
        assert_eq!(missing.reject_reason(), "bad-txns-inputs-missingorspent");
        let fee = AcceptError::MinRelayFee { fee: Amount::ONE_SAT, required: Amount::from_sat(2) };
        assert_eq!(fee.to_string(), "min relay fee not met, 1 < 2");
        assert_eq!(fee.reject_reason(), "min relay fee not met");
        assert_eq!(BlockError::BadVersion { version: 3 }.reject_reason(), "bad-version(0x00000003)");
    }
}
