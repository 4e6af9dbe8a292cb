use alloc::vec::Vec;

use bitcoin::absolute::LockTime;
use bitcoin::secp256k1::{Secp256k1, Verification};
use bitcoin::sighash::SighashCache;
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness};
use tapstake_params::{DustError, Timelock, check_not_dust};
use tapstake_script::{FindError, StakeTerms, find_output_with_value};

use crate::coin::Stake;
use crate::inspect::OutputKind;
use crate::spend::{LeafSpend, Signatures, WitnessError};
use crate::staking::{StakingError, check_txid_final};

/// The transaction that moves a live stake into a larger or longer one, unsigned.
///
/// Exactly two inputs: the old staking output by its unbonding leaf, which the old committee signs, and a funding
/// output that never was a stake. One output is the new stake, of the same staker and providers, of no less value, and
/// locked for longer than unbonding takes, else it would be a faster way out; others are free. Its fee is above zero. That
/// the old stake is active is for its follower to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpansionTx {
    tx: Transaction,
    prevouts: [TxOut; 2],
    stake: Stake,
    fee: Amount,
}

/// What funds an expansion, beside the old stake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Funding {
    /// The output that is spent.
    pub outpoint: OutPoint,
    /// The same as it stands in its transaction: native SegWit.
    pub prevout: TxOut,
    /// Where the rest goes, if anywhere.
    pub change: Vec<TxOut>,
}

/// Why a transaction does not expand a stake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpansionError {
    /// Another number of inputs than two.
    #[error("expansion: {actual} inputs instead of 2, the old stake and its funding")]
    Inputs {
        /// The number of inputs.
        actual: usize,
    },
    /// The first input spends something else than the old stake.
    #[error("expansion: input 0 spends {actual} instead of the old stake {expected}")]
    Outpoint {
        /// What is spent.
        actual: OutPoint,
        /// The old stake.
        expected: OutPoint,
    },
    /// The first prevout is not the old staking output.
    #[error("expansion: prevout 0 is not the staking output of the old stake, by value or script")]
    Prevout,
    /// The first input's script_sig has content.
    #[error("expansion: script_sig of {length} bytes in input 0 is not empty")]
    ScriptSig {
        /// Its length.
        length: usize,
    },
    /// The funding is an output of a stake of the same parties.
    #[error("expansion: funding output {outpoint} is itself the {kind:?} output of a stake of these parties")]
    FundingIsStake {
        /// The funding output.
        outpoint: OutPoint,
        /// What it is.
        kind: OutputKind,
    },
    /// Another staker.
    #[error("expansion: the old and the new stake have different stakers")]
    Staker,
    /// Other providers.
    #[error("expansion: the old and the new stake have different finality providers")]
    Providers,
    /// The stake shrinks.
    #[error("expansion: new stake of {} sat is below the old one of {} sat", value.to_sat(), previous.to_sat())]
    Value {
        /// The new stake's value.
        value: Amount,
        /// The old stake's value.
        previous: Amount,
    },
    /// The new stake would be free sooner than the old one by unbonding.
    #[error(
        "expansion: new staking time of {staking_time} blocks is not above the unbonding time of {unbonding_time} blocks"
    )]
    StakingTime {
        /// The new stake's timelock.
        staking_time: Timelock,
        /// The longer of the old and the new unbonding time.
        unbonding_time: Timelock,
    },
    /// Too few of the old committee answer for the new stake.
    #[error("expansion: {stay} members of the old committee sit in the new one, {needed} are needed")]
    Committee {
        /// How many do.
        stay: usize,
        /// The old committee's quorum.
        needed: usize,
    },
    /// No fee, or less.
    #[error("expansion: inputs of {} sat leave no fee above outputs of {} sat", inputs.to_sat(), outputs.to_sat())]
    Fee {
        /// What the two inputs hold.
        inputs: Amount,
        /// What the outputs hold.
        outputs: Amount,
    },
    /// There is no single new staking output, or it lies elsewhere.
    #[error("expansion: {0}")]
    Stake(#[from] FindError),
    /// The new stake's output has another position.
    #[error("expansion: the new staking output is output {actual}, not {expected}")]
    Vout {
        /// Where it is.
        actual: u32,
        /// Where it should be.
        expected: u32,
    },
    /// Not one prevout for each input, or signing the funding input changes the txid.
    #[error("expansion: {0}")]
    Funding(#[from] StakingError),
    /// An output is dust.
    #[error("expansion: {0}")]
    Dust(#[from] DustError),
}

impl ExpansionTx {
    /// Builds the transaction that moves `previous` into a new stake of `value` under `terms`: version 2, no lock time,
    /// final inputs, the staking output first.
    ///
    /// # Errors
    ///
    /// [`ExpansionError`] names the rule it would break; what funding, value and change leave over is the fee.
    pub fn build<C: Verification>(
        secp: &Secp256k1<C>,
        previous: &Stake,
        terms: StakeTerms,
        value: Amount,
        funding: Funding,
    ) -> Result<Self, ExpansionError> {
        let input = [previous.outpoint(), funding.outpoint].map(|previous_output| TxIn {
            previous_output,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        });
        let script_pubkey = terms.staking_output(secp).script_pubkey().clone();
        let output = core::iter::once(TxOut { value, script_pubkey }).chain(funding.change).collect();
        let tx =
            Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input: input.into(), output };
        for output in &tx.output {
            check_not_dust(output.value, &output.script_pubkey)?;
        }
        let outpoint = OutPoint { txid: tx.compute_txid(), vout: 0 };
        let stake = Stake::new(secp, terms, outpoint, value);
        Self::check(secp, previous, stake, &tx, &[previous.coin().to_txout(), funding.prevout])
    }

    /// Takes a transaction that somebody else built, witnesses disregarded, if it expands `previous` into `stake`.
    /// `prevouts` are what its inputs spend.
    ///
    /// # Errors
    ///
    /// [`ExpansionError`] names the rule it breaks.
    pub fn check<C: Verification>(
        secp: &Secp256k1<C>,
        previous: &Stake,
        stake: Stake,
        tx: &Transaction,
        prevouts: &[TxOut],
    ) -> Result<Self, ExpansionError> {
        let [old, funding] = tx.input.as_slice() else {
            return Err(ExpansionError::Inputs { actual: tx.input.len() });
        };
        let [old_prevout, funding_prevout] = prevouts else {
            let (inputs, prevouts) = (tx.input.len(), prevouts.len());
            return Err(StakingError::Prevouts { inputs, prevouts }.into());
        };
        if old.previous_output != previous.outpoint() {
            let (actual, expected) = (old.previous_output, previous.outpoint());
            return Err(ExpansionError::Outpoint { actual, expected });
        }
        if *old_prevout != previous.coin().to_txout() {
            return Err(ExpansionError::Prevout);
        }
        if !old.script_sig.is_empty() {
            return Err(ExpansionError::ScriptSig { length: old.script_sig.len() });
        }
        check_txid_final(tx, prevouts)?;
        check_terms(previous, &stake)?;
        for of in [previous, &stake] {
            if let Some(kind) = output_of(secp, of, funding_prevout) {
                return Err(ExpansionError::FundingIsStake { outpoint: funding.previous_output, kind });
            }
        }
        let (script, expected) = (stake.coin().output.script_pubkey(), stake.outpoint().vout);
        let actual = find_output_with_value(tx, script, stake.value())?;
        if actual != expected {
            return Err(ExpansionError::Vout { actual, expected });
        }
        let (inputs, outputs) = (sum(prevouts), sum(&tx.output));
        let fee = inputs.checked_sub(outputs).filter(|fee| *fee > Amount::ZERO);
        let fee = fee.ok_or(ExpansionError::Fee { inputs, outputs })?;
        let mut tx = tx.clone();
        tx.input.iter_mut().for_each(|input| input.witness.clear());
        Ok(ExpansionTx { tx, prevouts: [old_prevout.clone(), funding_prevout.clone()], stake, fee })
    }

    /// The transaction without witnesses.
    pub const fn tx(&self) -> &Transaction {
        &self.tx
    }

    /// What the inputs spend: the old stake, and its funding.
    pub const fn prevouts(&self) -> &[TxOut; 2] {
        &self.prevouts
    }

    /// The new stake.
    pub const fn stake(&self) -> &Stake {
        &self.stake
    }

    /// The fee.
    pub const fn fee(&self) -> Amount {
        self.fee
    }

    /// What the staker and the old committee sign: input 0, which commits to both prevouts (BIP-0341).
    pub fn spend<'p>(&self, previous: &'p Stake) -> LeafSpend<'p> {
        let leaf = previous.coin().output.unbonding();
        LeafSpend::digest(&mut SighashCache::new(&self.tx), 0, &self.prevouts, leaf)
    }

    /// The transaction with its witnesses: that of input 0 from `signatures`, exactly the old quorum of them, that of the
    /// funding input as the wallet made it.
    ///
    /// # Errors
    ///
    /// [`WitnessError`] if a signature does not verify, or if the staker's or a quorum's are missing.
    pub fn finish<C: Verification>(
        &self,
        secp: &Secp256k1<C>,
        previous: &Stake,
        signatures: &Signatures,
        funding: Witness,
    ) -> Result<Transaction, WitnessError> {
        let mut tx = self.tx.clone();
        tx.input[0].witness = self.spend(previous).witness(secp, signatures)?;
        tx.input[1].witness = funding;
        Ok(tx)
    }
}

/// What outputs hold together; made-up values saturate.
pub(crate) fn sum(outputs: &[TxOut]) -> Amount {
    let sum = outputs.iter().try_fold(Amount::ZERO, |sum, output| sum.checked_add(output.value));
    sum.unwrap_or(Amount::MAX)
}

fn check_terms(previous: &Stake, stake: &Stake) -> Result<(), ExpansionError> {
    let (old, new) = (&previous.terms().parties, &stake.terms().parties);
    if old.staker() != new.staker() {
        return Err(ExpansionError::Staker);
    }
    if old.providers() != new.providers() {
        return Err(ExpansionError::Providers);
    }
    if stake.value() < previous.value() {
        return Err(ExpansionError::Value { value: stake.value(), previous: previous.value() });
    }
    let staking_time = stake.terms().staking_time;
    let unbonding_time = previous.terms().unbonding_time.max(stake.terms().unbonding_time);
    if staking_time <= unbonding_time {
        return Err(ExpansionError::StakingTime { staking_time, unbonding_time });
    }
    let needed = old.covenant().threshold();
    let stay = old.covenant().keys().iter().filter(|key| new.covenant().contains(key)).count();
    if stay < needed {
        return Err(ExpansionError::Committee { stay, needed });
    }
    Ok(())
}

/// Which locking output of a stake under the same terms `prevout` is, if it is one.
fn output_of<C: Verification>(secp: &Secp256k1<C>, stake: &Stake, prevout: &TxOut) -> Option<OutputKind> {
    let script = &prevout.script_pubkey;
    if script == stake.coin().output.script_pubkey() {
        return Some(OutputKind::Staking);
    }
    let unbonding = script.is_p2tr() && stake.terms().unbonding_output(secp).script_pubkey() == script;
    unbonding.then_some(OutputKind::Unbonding)
}
