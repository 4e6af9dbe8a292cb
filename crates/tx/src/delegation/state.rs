use core::marker::PhantomData;

use bitcoin::amount::CheckedSum;
use bitcoin::secp256k1::schnorr::Signature;
use bitcoin::secp256k1::{Keypair, Message, Secp256k1, Signing, Verification};
use bitcoin::{Amount, Network, Transaction, TxOut, Txid, XOnlyPublicKey};
use tapstake_crypto::adaptor::point;
use tapstake_crypto::pop::ProofOfPossession;
use tapstake_params::StakingParams;
use tapstake_script::StakeTerms;

use super::check::{self, Presigned, SignatureCheck};
use super::package::{Core, DelegationPackage, ExpansionPart, PreviousStake};
use super::{
    CovenantSignatures, DelegationError, DelegationParts, SignedTx, StakerSignatures, StakingTx,
    VerifiedParts,
};
use crate::coin::Stake;
use crate::expansion::ExpansionTx;
use crate::fee_rates::PresignedFeeRates;
use crate::slashing::SlashingTx;
use crate::spend::Signatures;
use crate::unbonding::UnbondingTx;

mod sealed {
    pub trait Sealed {}
}

/// How far a delegation is.
pub trait State: sealed::Sealed {}

/// States in which the committee signs: [`PreSigned`] and [`PartlySigned`].
pub trait AwaitsCovenant: State {}

macro_rules! states {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name(());
        impl sealed::Sealed for $name {}
        impl State for $name {}
    )*};
}

states! {
    /// Built; nobody has signed.
    Draft
    /// The staker has signed both slashing transactions and proven possession of the key.
    PreSigned
    /// Some of the committee have signed, fewer than a quorum.
    PartlySigned
    /// A quorum has signed: the staking transaction may be sent.
    Verified
}

impl AwaitsCovenant for PreSigned {}
impl AwaitsCovenant for PartlySigned {}

/// A stake on its way to be locked: its transactions keep every rule, every signature in it is verified, and its type says
/// how far it is. Only [`Delegation<Verified>`] hands out the staking transaction with its witnesses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegation<S> {
    package: DelegationPackage,
    core: Core,
    state: PhantomData<S>,
}

/// A checked delegation, by its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckedDelegation {
    /// Nobody has signed.
    Draft(Delegation<Draft>),
    /// The staker has signed.
    PreSigned(Delegation<PreSigned>),
    /// Fewer of the committee than a quorum have signed.
    PartlySigned(Delegation<PartlySigned>),
    /// A quorum has signed.
    Verified(Delegation<Verified>),
}

/// A delegation that one more member has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CovenantProgress {
    /// More members must sign.
    Partly(Delegation<PartlySigned>),
    /// A quorum has signed.
    Verified(Delegation<Verified>),
}

impl<S: State> Delegation<S> {
    pub(super) const fn assume(package: DelegationPackage, core: Core) -> Self {
        Delegation { package, core, state: PhantomData }
    }

    /// The stake.
    pub const fn stake(&self) -> &Stake {
        &self.core.stake
    }

    /// The unbonding transaction.
    pub const fn unbonding(&self) -> &UnbondingTx {
        &self.core.presigned.unbonding
    }

    /// The slashing transaction of the staking output.
    pub const fn slashing(&self) -> &SlashingTx {
        &self.core.presigned.slashing
    }

    /// The slashing transaction of the unbonding output.
    pub const fn unbonding_slashing(&self) -> &SlashingTx {
        &self.core.presigned.unbonding_slashing
    }

    /// The network.
    pub const fn network(&self) -> Network {
        self.package.network
    }

    /// The version of the parameters that the stake is made under.
    pub const fn params_version(&self) -> u32 {
        self.package.params_version
    }

    /// The staking transaction's id, which no signature changes any more.
    pub const fn staking_txid(&self) -> Txid {
        self.core.stake.outpoint().txid
    }

    /// The staking transaction without its witnesses.
    pub const fn unsigned_staking_tx(&self) -> &Transaction {
        self.package.staking_tx.unsigned()
    }

    /// What the staking transaction's inputs spend.
    pub fn prevouts(&self) -> &[TxOut] {
        &self.package.prevouts
    }

    /// What the staking transaction pays, by its prevouts. These are the staker's word: `None` if they add up to no amount.
    pub fn staking_fee(&self) -> Option<Amount> {
        let sum = |outputs: &[TxOut]| outputs.iter().map(|output| output.value).checked_sum();
        sum(self.prevouts())?.checked_sub(sum(&self.unsigned_staking_tx().output)?)
    }

    /// The delegation as a file holds it.
    pub fn package(&self) -> DelegationPackage {
        self.package.clone()
    }

    /// What is signed in advance, as plain data.
    pub const fn parts(&self) -> &DelegationParts {
        &self.package.parts
    }

    /// The committee's members who have signed, ascending.
    pub fn signed_by(&self) -> impl Iterator<Item = &XOnlyPublicKey> {
        self.package.parts.covenant.keys()
    }

    /// How many of the committee still have to sign.
    pub fn missing(&self) -> usize {
        let needed = self.core.stake.terms().parties.covenant().threshold();
        needed.saturating_sub(self.package.parts.covenant.len())
    }

    /// The old stake, if this expands one.
    pub fn previous(&self) -> Option<&Stake> {
        self.core.expanded.as_ref().map(|expanded| &expanded.previous)
    }

    /// The staking transaction as an expansion, if it is one.
    pub fn expansion(&self) -> Option<&ExpansionTx> {
        self.core.expanded.as_ref().map(|expanded| &expanded.tx)
    }

    /// The old committee's members who have signed for the old stake to be moved, ascending; none if this expands no stake.
    pub fn previous_signed_by(&self) -> impl Iterator<Item = &XOnlyPublicKey> {
        self.package.expansion.iter().flat_map(|part| part.covenant.keys())
    }

    /// How many of the old committee still have to sign; 0 if this expands no stake.
    pub fn missing_previous(&self) -> usize {
        let needed = self.previous().map_or(0, |previous| previous.terms().parties.covenant().threshold());
        needed.saturating_sub(self.previous_signed_by().count())
    }

    /// What the transactions signed in advance pay, to be compared with what mempools take before coins are locked.
    pub fn presigned_fee_rates(&self) -> PresignedFeeRates {
        self.core.presigned.fee_rates(&self.core.stake)
    }

    /// Takes the witnesses of the signed staking transaction, where a wallet made them later or elsewhere. Whether they are
    /// right is for nodes to say.
    ///
    /// # Errors
    ///
    /// [`DelegationError::OtherTransaction`] if it is another transaction; for an expansion,
    /// [`DelegationError::UnexpectedWitness`] if it has a witness for the old stake, whose signatures stand apart.
    pub fn fund(mut self, signed: &Transaction) -> Result<Self, DelegationError> {
        if self.core.expanded.is_some() && signed.input.first().is_some_and(|old| !old.witness.is_empty()) {
            return Err(DelegationError::UnexpectedWitness { tx: SignedTx::Expansion });
        }
        self.package.staking_tx.take_witnesses(signed)?;
        Ok(self)
    }

    /// Takes the staker's signature for the old stake of an expansion.
    ///
    /// # Errors
    ///
    /// [`DelegationError::NoExpansion`], or [`DelegationError::StakerSignature`] if it does not verify.
    pub fn sign_expansion<C: Verification>(
        mut self,
        secp: &Secp256k1<C>,
        signature: Signature,
    ) -> Result<Self, DelegationError> {
        let (part, expanded) = match (&mut self.package.expansion, &self.core.expanded) {
            (Some(part), Some(expanded)) => (part, expanded),
            _ => return Err(DelegationError::NoExpansion),
        };
        let staker = expanded.previous.terms().parties.staker();
        SignatureCheck::staker(staker, expanded.signed(), &signature).verify(secp)?;
        part.staker = Some(signature);
        Ok(self)
    }

    fn quorum_reached(&self) -> bool {
        self.missing() == 0 && self.missing_previous() == 0
    }
}

impl Delegation<Draft> {
    /// Builds the delegation of a stake of `value` under `terms` that `staking_tx` makes, signed or not: its unbonding
    /// transaction, and its slashing transactions with this fee each. `prevouts` are what the staking transaction spends.
    ///
    /// # Errors
    ///
    /// [`DelegationError`] names the rule that is broken, `txid-not-final` among them: what is signed on top of a staking
    /// transaction hangs on its txid.
    #[expect(clippy::too_many_arguments, reason = "each is a fact of its own")]
    pub fn build<C: Verification>(
        secp: &Secp256k1<C>,
        network: Network,
        params: &StakingParams,
        terms: StakeTerms,
        staking_tx: Transaction,
        prevouts: &[TxOut],
        value: Amount,
        slashing_fee: Amount,
    ) -> Result<Self, DelegationError> {
        let stake = Stake::find(secp, terms, &staking_tx, value)?;
        Self::draft(secp, network, params, None, &stake, staking_tx, prevouts, slashing_fee)
    }

    /// Builds the delegation of an expansion: `previous_params` are those that the old stake was made under.
    ///
    /// # Errors
    ///
    /// [`DelegationError`] names the rule that is broken.
    pub fn expand<C: Verification>(
        secp: &Secp256k1<C>,
        network: Network,
        params: &StakingParams,
        previous: &Stake,
        previous_params: &StakingParams,
        expansion: &ExpansionTx,
        slashing_fee: Amount,
    ) -> Result<Self, DelegationError> {
        let (stake, tx) = (expansion.stake(), expansion.tx().clone());
        let previous = Some((previous, previous_params));
        Self::draft(secp, network, params, previous, stake, tx, expansion.prevouts(), slashing_fee)
    }

    #[expect(clippy::too_many_arguments, reason = "the two ways to build, in one")]
    fn draft<C: Verification>(
        secp: &Secp256k1<C>,
        network: Network,
        params: &StakingParams,
        previous: Option<(&Stake, &StakingParams)>,
        stake: &Stake,
        staking_tx: Transaction,
        prevouts: &[TxOut],
        slashing_fee: Amount,
    ) -> Result<Self, DelegationError> {
        check::check_terms(params, stake)?;
        let presigned = Presigned::build(secp, params, stake, slashing_fee)?;
        let terms = stake.terms();
        let package = DelegationPackage {
            network,
            params_version: params.version,
            staker: terms.parties.staker(),
            providers: terms.parties.providers().clone(),
            staking_time: terms.staking_time,
            value: stake.value(),
            vout: stake.outpoint().vout,
            staking_tx: StakingTx::from(staking_tx),
            prevouts: prevouts.to_vec(),
            parts: DelegationParts {
                unbonding_tx: presigned.unbonding.tx().clone(),
                slashing_tx: presigned.slashing.tx().clone(),
                unbonding_slashing_tx: presigned.unbonding_slashing.tx().clone(),
                staker: None,
                possession: None,
                covenant: Default::default(),
            },
            expansion: previous.map(|(previous, params)| ExpansionPart {
                previous: PreviousStake {
                    outpoint: previous.outpoint(),
                    value: previous.value(),
                    params_version: params.version,
                    staking_time: previous.terms().staking_time,
                },
                staker: None,
                covenant: Default::default(),
            }),
        };
        let previous = previous.map(|(_, params)| params);
        let core = Core::check(secp, params, &package, |_| previous.ok_or(DelegationError::NoExpansion))?;
        Ok(Delegation::assume(package, core))
    }

    /// Signs both slashing transactions as the staker, and for an expansion the spend of the old stake. `aux` is fresh
    /// randomness for every call, or zeros for deterministic signatures (BIP-0340).
    ///
    /// # Errors
    ///
    /// [`DelegationError::OtherStaker`] if the key is not the staker's, [`DelegationError::Possession`] if the proof does not
    /// verify.
    pub fn sign<C: Signing + Verification>(
        mut self,
        secp: &Secp256k1<C>,
        staker: &Keypair,
        aux: &[u8; 32],
        possession: ProofOfPossession,
    ) -> Result<Delegation<PreSigned>, DelegationError> {
        let expected = self.package.staker;
        if staker.x_only_public_key().0 != expected {
            return Err(DelegationError::OtherStaker { expected });
        }
        let sign =
            |digest: [u8; 32]| secp.sign_schnorr_with_aux_rand(&Message::from_digest(digest), staker, aux);
        let [(_, slashing), (_, unbonding_slashing)] = self.core.presigned.slashing_digests();
        let signatures =
            StakerSignatures { slashing: sign(slashing), unbonding_slashing: sign(unbonding_slashing) };
        if let (Some(part), Some(expanded)) = (&mut self.package.expansion, &self.core.expanded) {
            part.staker = Some(sign(expanded.digest));
        }
        self.pre_sign(secp, signatures, possession)
    }

    /// Takes the staker's signatures and proof of possession from a signer elsewhere.
    ///
    /// # Errors
    ///
    /// [`DelegationError::StakerSignature`] or [`DelegationError::Possession`] if one does not verify.
    pub fn pre_sign<C: Verification>(
        mut self,
        secp: &Secp256k1<C>,
        signatures: StakerSignatures,
        possession: ProofOfPossession,
    ) -> Result<Delegation<PreSigned>, DelegationError> {
        let staker = self.package.staker;
        for check in signatures.checks(staker, &self.core.presigned) {
            check.verify(secp)?;
        }
        SignatureCheck::possession(staker, &possession).verify(secp)?;
        self.package.parts.staker = Some(signatures);
        self.package.parts.possession = Some(possession);
        Ok(Delegation::assume(self.package, self.core))
    }
}

impl<S: AwaitsCovenant> Delegation<S> {
    /// What a covenant member signs: the unbonding transaction, and both slashing transactions for each provider. The bare
    /// cryptography; whether to sign is the member's policy. `aux` as in [`Delegation::sign`].
    pub fn covenant_signatures<C: Signing>(
        &self,
        secp: &Secp256k1<C>,
        member: &Keypair,
        aux: &[u8; 32],
    ) -> CovenantSignatures {
        let presigned = &self.core.presigned;
        let providers = check::encryption_keys(self.package.providers.keys());
        let [slashing, unbonding_slashing] = presigned.slashing_digests().map(|(_, digest)| {
            providers.iter().map(|provider| point::sign(secp, member, provider, &digest, aux)).collect()
        });
        let unbonding = Message::from_digest(presigned.unbonding_digest());
        let unbonding = secp.sign_schnorr_with_aux_rand(&unbonding, member, aux);
        CovenantSignatures { unbonding, slashing, unbonding_slashing }
    }

    /// What a member of the old committee signs for an expansion: input 0. Nothing if this expands no stake.
    pub fn expansion_signature<C: Signing>(
        &self,
        secp: &Secp256k1<C>,
        member: &Keypair,
        aux: &[u8; 32],
    ) -> Option<Signature> {
        let expanded = self.core.expanded.as_ref()?;
        Some(secp.sign_schnorr_with_aux_rand(&Message::from_digest(expanded.digest), member, aux))
    }

    /// Takes a member's signatures. Those of a member who has signed before change nothing.
    ///
    /// # Errors
    ///
    /// [`DelegationError::UnknownMember`], or the first of the signatures that does not verify.
    pub fn add<C: Verification>(
        mut self,
        secp: &Secp256k1<C>,
        member: XOnlyPublicKey,
        signatures: CovenantSignatures,
    ) -> Result<CovenantProgress, DelegationError> {
        let committee = self.core.stake.terms().parties.covenant();
        let providers = check::encryption_keys(self.package.providers.keys());
        let mut checks = alloc::vec::Vec::new();
        signatures.push_checks(&member, committee, &providers, &self.core.presigned, &mut checks)?;
        for check in checks {
            check.verify(secp)?;
        }
        self.package.parts.covenant.entry(member).or_insert(signatures);
        Ok(self.progress())
    }

    /// Takes the signature of a member of the old committee on an expansion.
    ///
    /// # Errors
    ///
    /// [`DelegationError::NoExpansion`], [`DelegationError::UnknownMember`], or
    /// [`DelegationError::CovenantSignature`] if it does not verify.
    pub fn add_previous<C: Verification>(
        mut self,
        secp: &Secp256k1<C>,
        member: XOnlyPublicKey,
        signature: Signature,
    ) -> Result<CovenantProgress, DelegationError> {
        let (part, expanded) = match (&mut self.package.expansion, &self.core.expanded) {
            (Some(part), Some(expanded)) => (part, expanded),
            _ => return Err(DelegationError::NoExpansion),
        };
        if !expanded.previous.terms().parties.covenant().contains(&member) {
            return Err(DelegationError::UnknownMember { member, tx: SignedTx::Expansion });
        }
        SignatureCheck::member(&member, expanded.signed(), &signature).verify(secp)?;
        part.covenant.entry(member).or_insert(signature);
        Ok(self.progress())
    }

    fn progress(self) -> CovenantProgress {
        if self.quorum_reached() {
            CovenantProgress::Verified(Delegation::assume(self.package, self.core))
        } else {
            CovenantProgress::Partly(Delegation::assume(self.package, self.core))
        }
    }
}

impl Delegation<Verified> {
    /// The staking transaction with its witnesses, to be sent. For an expansion, input 0 carries exactly a quorum of the old
    /// committee's signatures.
    ///
    /// # Errors
    ///
    /// [`DelegationError::NotSigned`] names the first input that nobody has signed yet: see [`Delegation::fund`] and, for the
    /// old stake of an expansion, [`Delegation::sign_expansion`].
    pub fn staking_tx(&self) -> Result<Transaction, DelegationError> {
        let mut tx = self.package.staking_tx.to_transaction();
        let mut from = 0;
        if let (Some(part), Some(expanded)) = (&self.package.expansion, &self.core.expanded) {
            let staker = part.staker.ok_or(DelegationError::NotSigned { input: 0 })?;
            let parties = &expanded.previous.terms().parties;
            let members = part.covenant.iter().map(|(member, signature)| (*member, *signature));
            let signatures: Signatures = members.chain([(parties.staker(), staker)]).collect();
            tx.input[0].witness = expanded.tx.spend(&expanded.previous).assemble(&signatures)?;
            from = 1;
        }
        match self.package.staking_tx.unsigned_input(from) {
            Some(input) => Err(DelegationError::NotSigned { input }),
            None => Ok(tx),
        }
    }

    /// A copy of what is signed in advance, which unbonds and slashes: what a stake's proof carries, too.
    pub fn verified_parts(&self) -> VerifiedParts {
        let Core { stake, presigned, .. } = self.core.clone();
        VerifiedParts::new(stake, presigned, self.package.parts.clone())
    }
}

impl Delegation<Draft> {
    /// Takes a package all of whose signatures are verified, in the state that they make.
    pub(super) fn in_its_state(
        package: DelegationPackage,
        core: Core,
    ) -> Result<CheckedDelegation, DelegationError> {
        let draft: Delegation<Draft> = Delegation::assume(package, core);
        let parts = &draft.package.parts;
        let signed_before = draft.package.expansion.as_ref();
        let signed_before =
            signed_before.is_some_and(|part| part.staker.is_some() || !part.covenant.is_empty());
        let Delegation { package, core, .. } = match (&parts.staker, &parts.possession) {
            (None, None) if parts.covenant.is_empty() && !signed_before => {
                return Ok(CheckedDelegation::Draft(draft));
            }
            (None, _) => return Err(DelegationError::StakerMissing),
            (Some(_), None) => return Err(DelegationError::PossessionMissing),
            (Some(_), Some(_)) if draft.quorum_reached() => {
                return Ok(CheckedDelegation::Verified(Delegation::assume(draft.package, draft.core)));
            }
            (Some(_), Some(_)) => draft,
        };
        let nobody = package.parts.covenant.is_empty()
            && package.expansion.as_ref().is_none_or(|part| part.covenant.is_empty());
        Ok(if nobody {
            CheckedDelegation::PreSigned(Delegation::assume(package, core))
        } else {
            CheckedDelegation::PartlySigned(Delegation::assume(package, core))
        })
    }
}
