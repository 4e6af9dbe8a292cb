//! Reading proofs.

use std::path::Path;

use bitcoin::TxMerkleNode;
use serde::Deserialize;
use serde_json::Value;
use tapstake_tx::ReadError;
use tapstake_tx::delegation::PackageDecodeError;
use tapstake_verifier::{DecodeError, MAGIC, MerkleBranch, ProofVersion, StakeProof};

use crate::error::{Context, Error, Result};
use crate::file;
use crate::file::kind::Kind;

/// More than any proof takes: a block has 4,000,000 bytes at most, here twice as hex, and headers beside it.
const MAX_SIZE: u64 = 256 << 20;

/// Reads a proof in either form, from a file or, for `-`, from stdin.
///
/// # Errors
///
/// A file that cannot be read, is cut off, of another kind or of a newer version is a failure: nothing was verified.
/// Whatever else keeps it from being a proof is a failed verification.
pub(crate) fn read(path: &Path) -> Result<StakeProof> {
    let (bytes, name) = if path == Path::new("-") {
        (file::read_stdin(MAX_SIZE)?, "stdin".to_owned())
    } else {
        (file::read(path, MAX_SIZE)?, path.display().to_string())
    };
    file::of_kind(&bytes, Kind::Proof).context(&name)?;
    let proof = if bytes.starts_with(&MAGIC) { from_binary(&bytes) } else { from_json(&bytes) };
    proof.context(name)
}

fn from_binary(bytes: &[u8]) -> Result<StakeProof> {
    StakeProof::from_bytes(bytes).map_err(|error| match (&error, error.rule()) {
        (DecodeError::Version { .. }, _) => newer(error),
        (
            DecodeError::Read(ReadError::Truncated { .. })
            | DecodeError::Delegation(PackageDecodeError::Read(ReadError::Truncated { .. })),
            _,
        ) => Error::rule("file", error).next("get the whole file"),
        (_, Some(rule)) => Error::verification(rule.name(), error),
        (_, None) => Error::verification("proof-format", error),
    })
}

fn from_json(bytes: &[u8]) -> Result<StakeProof> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| file::no_json(Kind::Proof, &error))?;
    let version =
        ProofVersion::deserialize(&value).map_err(|error| Error::verification("proof-format", error))?;
    version.check().map_err(newer)?;
    // From the text again: a repeated field is lost in a value.
    serde_json::from_slice(bytes).map_err(|error| {
        let branches = ["branch", "coinbase_branch"].into_iter().filter_map(|name| value.get(name));
        let rule = branches.filter_map(broken_branch).next().unwrap_or("proof-format");
        Error::verification(rule, error)
    })
}

fn newer(error: DecodeError) -> Error {
    Error::rule("file-version", error).next("get a newer tapstake, or a proof of the version this one reads")
}

/// The rule that a branch breaks by itself; serde passes on only its text.
fn broken_branch(value: &Value) -> Option<&'static str> {
    #[derive(Deserialize)]
    struct Branch {
        index: u32,
        siblings: Vec<TxMerkleNode>,
    }
    let branch = Branch::deserialize(value).ok()?;
    MerkleBranch::new(branch.index, branch.siblings).err().map(|error| error.rule().name())
}
