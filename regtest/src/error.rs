use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use bitcoin::consensus::encode;
use bitcoin::{Amount, hex};

/// What keeps a daemon from starting or answering.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program is nowhere where it is looked for.
    #[error("no {program} in {places} or at {}: run `regtest/{script}`", cache.display())]
    Missing {
        /// Name of the program.
        program: &'static str,
        /// Where else it was looked for.
        places: &'static str,
        /// Where the script would have put it.
        cache: PathBuf,
        /// The script of this folder that gets it.
        script: &'static str,
    },
    /// A program is there but cannot be run.
    #[error("could not start {}", program.display())]
    Spawn {
        /// Path of the program.
        program: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A daemon ended by itself.
    #[error("{} ended with {status}; the end of its log:\n{log}", program.display())]
    Exited {
        /// Path of the program.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// The last lines of what it said.
        log: String,
    },
    /// Somebody else listens on the port a daemon was given.
    #[error("{} found its port taken: {log}", program.display())]
    PortTaken {
        /// Path of the program.
        program: PathBuf,
        /// The line of its log that says so.
        log: String,
    },
    /// A daemon did not come to the state waited for.
    #[error("waited {waited:?} for {what}; the end of the log:\n{log}")]
    Timeout {
        /// What was waited for.
        what: String,
        /// For how long.
        waited: Duration,
        /// The last lines of what the daemon said.
        log: String,
    },
    /// The node refuses a call, or cannot be reached.
    #[error("rpc {method}: {source}")]
    Rpc {
        /// Name of the call.
        method: String,
        /// The node's answer.
        source: bitcoincore_rpc::Error,
    },
    /// The node refuses a block.
    #[error("block refused: {reason}")]
    BlockRefused {
        /// The node's reason, such as `bad-txnmrklroot`.
        reason: String,
    },
    /// An answer of a daemon is not what its documentation says.
    #[error("unexpected answer to {method}: {answer}")]
    UnexpectedAnswer {
        /// Name of the call.
        method: String,
        /// The answer as text.
        answer: String,
    },
    /// The faucet's blocks hold less than asked for.
    #[error("the faucet has {available}, asked for {wanted}")]
    FaucetEmpty {
        /// What its mature coins hold.
        available: Amount,
        /// What was asked for, fee included.
        wanted: Amount,
    },
    /// A hex string of an answer is none.
    #[error("no hex in an answer")]
    Hex(#[from] hex::HexToBytesError),
    /// Bytes of an answer do not decode.
    #[error("an answer does not decode")]
    Decode(#[from] encode::Error),
    /// Files, sockets, processes.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the operating system says.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err`: names what was being done.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// The node's own words, if this is its refusal: `bad-txns-inputs-missingorspent`, `non-BIP68-final`…
    pub fn rpc_message(&self) -> Option<&str> {
        use bitcoincore_rpc::jsonrpc::Error::Rpc;
        match self {
            Self::Rpc { source: bitcoincore_rpc::Error::JsonRpc(Rpc(answer)), .. } => Some(&answer.message),
            Self::BlockRefused { reason } => Some(reason),
            _ => None,
        }
    }
}
