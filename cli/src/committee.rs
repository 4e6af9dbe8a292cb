//! Keys of others that are at hand: the covenant's, where parameters are local, and a slashed provider's.

use std::path::Path;

use bitcoin::Network;
use bitcoin::hex::FromHex;
use bitcoin::key::Keypair;
use tapstake_params::{StakingParams, local};
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::live::secret_text;
use crate::session::Session;

/// Covenant members' key pairs, at least as many as must sign.
pub(crate) struct Committee(Vec<Keypair>);

impl Committee {
    /// The members whose keys are at hand: from a file, or those that everybody knows on a test network.
    ///
    /// # Errors
    ///
    /// If fewer than the threshold are at hand.
    pub(crate) fn at_hand(
        session: &Session<'_>,
        params: &StakingParams,
        file: Option<&Path>,
    ) -> Result<Self> {
        let known = match file {
            Some(path) => secret_keys(session, path, "covenant key")?,
            None if session.network() == Network::Bitcoin => Vec::new(),
            None => local::covenant_keypairs(&session.secp),
        };
        let covenant = &params.covenant;
        let mut members: Vec<Keypair> =
            known.into_iter().filter(|pair| covenant.contains(&pair.x_only_public_key().0)).collect();
        members.sort_by_key(|pair| pair.x_only_public_key().0.serialize());
        members.dedup_by_key(|pair| pair.x_only_public_key().0);
        if members.len() < covenant.threshold() {
            let message = format!(
                "keys of {} covenant members at hand, {} of {} must sign (parameters version {})",
                members.len(),
                covenant.threshold(),
                covenant.keys().len(),
                params.version
            );
            return Err(Error::rule("covenant", message).next(
                "without the covenant's signatures a stake leaves only by its timelock: this release stakes only where \
                 the committee's keys are at hand (--params local, or --covenant-key-file)",
            ));
        }
        members.truncate(covenant.threshold());
        Ok(Committee(members))
    }

    /// As many members as must sign.
    pub(crate) fn members(&self) -> &[Keypair] {
        &self.0
    }
}

/// Secret keys in a file, 32 bytes of hex on a line each.
pub(crate) fn secret_keys(session: &Session<'_>, path: &Path, what: &str) -> Result<Vec<Keypair>> {
    let text = secret_text(path, what)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .enumerate()
        .map(|(number, line)| {
            let bytes = <[u8; 32]>::from_hex(line).map(Zeroizing::new).ok();
            let pair = bytes.and_then(|bytes| Keypair::from_seckey_slice(&session.secp, &*bytes).ok());
            // The line itself may be a secret with a typing mistake: it is not shown.
            pair.ok_or_else(|| {
                Error::rule("key", format!("{what} {} is not 32 bytes of hex in range", number + 1))
            })
        })
        .collect()
}
