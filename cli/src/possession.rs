//! The proof that a staker has the staker's key: for which account, in which form.

use bitcoin::secp256k1::Keypair;
use clap::Args;
use tapstake_crypto::pop::{Account, Context as Binding, PossessionForm, ProofOfPossession};

use crate::error::{Error, Result};
use crate::session::Session;
use crate::spending::aux;

/// What is proven, and how.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Proof of possession")]
pub(crate) struct PossessionArgs {
    /// The account that the stake is for: bech32:…, hex:…, text:…, a bech32 address or 0x…
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<Account>,
    /// The form of the proof: bip340, bip322 (P2TR) or bip137
    #[arg(long, value_name = "FORM", default_value = "bip340", requires = "account")]
    form: PossessionForm,
    /// Bind the proof to this service and the network, and not to an account alone
    #[arg(long, value_name = "NAME", requires = "account")]
    service: Option<String>,
}

/// Why no proof is made.
pub(crate) fn no_account() -> Error {
    Error::usage("no account that the stake is for")
        .next("give --account with the staker's account at the service: a bech32 address, 0x…, or text:NAME")
}

impl PossessionArgs {
    /// The account, if one is given.
    pub(crate) const fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// Service and network, if the proof names them.
    pub(crate) fn binding(&self, session: &Session<'_>) -> Result<Option<Binding>> {
        let binding = self.service.as_deref().map(|service| Binding::new(service, session.network()));
        binding.transpose().map_err(|error| Error::rule("possession", error))
    }

    /// Signs the proof for `account`.
    pub(crate) fn prove(
        &self,
        session: &Session<'_>,
        staker: &Keypair,
        account: Account,
    ) -> Result<ProofOfPossession> {
        let (secp, binding) = (&session.secp, self.binding(session)?);
        Ok(match self.form {
            PossessionForm::Bip340 => ProofOfPossession::bip340(secp, staker, account, binding, &aux()),
            PossessionForm::Bip322 => ProofOfPossession::bip322_p2tr(secp, staker, account, binding, &aux()),
            PossessionForm::Bip137 => ProofOfPossession::bip137(secp, staker, account, binding),
        })
    }
}
