//! The staking transaction on its way out: funded, rehearsed, signed, ready.

use bitcoin::secp256k1::{Secp256k1, Verification};
use bitcoin::{Amount, Network, OutPoint, Psbt, Transaction, TxOut};
use tapstake_params::StakingParams;
use tapstake_script::StakeTerms;
use tapstake_tx::delegation::{Delegation, Draft};
use tapstake_tx::{MAX_FEE_RATE, Stake, staking_outputs};

use crate::error::WalletError;
use crate::fund::{FundRequest, Funded};
use crate::lock::LockReason;
use crate::psbt::{extract_tx, prevout, stable_txid};
use crate::rehearsal::RehearsedExit;
use crate::sign::Signer;
use crate::wallet::Wallet;

/// What to stake.
#[derive(Debug, Clone, Copy)]
pub struct StakePlan<'a> {
    /// The parameters version the stake is made under.
    pub params: &'a StakingParams,
    /// Its keys and timelocks.
    pub terms: &'a StakeTerms,
    /// How much.
    pub value: StakeValue,
    /// The tag of a phase-1 stake, which is found by its OP_RETURN.
    pub tag: Option<[u8; 4]>,
}

/// How much to stake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StakeValue {
    /// This much.
    Exact(Amount),
    /// All that the coins hold, less the fee.
    Everything,
}

/// A staking transaction that is funded and not signed. Its coins are locked in the wallet.
#[derive(Debug, Clone)]
pub struct PendingStake {
    psbt: Psbt,
    fee: Amount,
    stake: Stake,
}

/// A staking transaction that is signed and whose exit is settled: the only way to one is
/// [`PendingStake::ready`].
///
/// It goes nowhere but into a [`Delegation`]: the committee signs the ways out before it may be sent.
#[derive(Debug, Clone)]
pub struct ReadyStake {
    tx: Transaction,
    prevouts: Vec<TxOut>,
    stake: Stake,
    exit: Exit,
}

/// What is known about the way out of a stake before its coins are locked.
#[derive(Debug, Clone)]
pub enum Exit {
    /// The staker's signer has signed the withdrawal of this very stake.
    Rehearsed(RehearsedExit),
    /// Nobody has tried.
    Skipped(SkipRehearsal),
}

/// The decision to lock coins without knowing that the signer can move them.
///
/// Several hardware wallets cannot sign Taproot leaves; coins locked to a key in one of them stay where they are
/// until it learns to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SkipRehearsal(());

impl SkipRehearsal {
    /// Takes the risk, by its full name.
    pub fn and_risk_that_the_coins_never_move() -> Self {
        SkipRehearsal(())
    }
}

impl Wallet {
    /// Funds a staking transaction and locks its coins until it is on the chain or abandoned.
    ///
    /// The stake's outputs come first, then the recipients that `request` names itself, then change. A dry run
    /// locks nothing.
    ///
    /// # Errors
    ///
    /// [`WalletError::Staking`] or [`WalletError::Bounds`] if the plan does not fit the parameters, and all that
    /// [`Wallet::fund`] can say.
    pub fn fund_stake<C: Verification>(
        &mut self,
        secp: &Secp256k1<C>,
        plan: &StakePlan<'_>,
        request: &FundRequest,
    ) -> Result<PendingStake, WalletError> {
        let StakePlan { params, terms, value, tag } = *plan;
        let known = match value {
            StakeValue::Exact(value) => value,
            // A placeholder within the bounds; the value is checked when it is known.
            StakeValue::Everything => params.min_staking_value,
        };
        let outputs = staking_outputs(secp, params, terms, known, tag)?;
        let mut request = request.clone().before(outputs);
        if value == StakeValue::Everything {
            request = request.everything_to(0);
        }
        let dry = request.is_dry();
        let funded = self.fund(&request)?;
        let pending = PendingStake::new(secp, params, terms, &funded);
        match &pending {
            Err(_) if !dry => self.abandon(&funded)?,
            Ok(pending) if !dry => {
                self.lock(&pending.coins(), &LockReason::PendingStake(pending.stake.outpoint()))?;
            }
            _ => {}
        }
        pending
    }

    /// Gives up a staking transaction that was never broadcast: its coins are unlocked, its change address is
    /// free again.
    ///
    /// # Errors
    ///
    /// [`WalletError::Database`].
    pub fn abandon_stake(&mut self, pending: &PendingStake) -> Result<(), WalletError> {
        for output in &pending.psbt.unsigned_tx.output {
            self.forget_change(Some(output));
        }
        self.unlock(&pending.coins())
    }
}

impl PendingStake {
    fn new<C: Verification>(
        secp: &Secp256k1<C>,
        params: &StakingParams,
        terms: &StakeTerms,
        funded: &Funded,
    ) -> Result<Self, WalletError> {
        let value = funded.psbt.unsigned_tx.output.first().map_or(Amount::ZERO, |output| output.value);
        params.check_stake(value, terms.staking_time)?;
        Self::resume(secp, funded.psbt.clone(), terms.clone(), value)
    }

    /// Takes up a staking transaction that was funded earlier, signed since or not: the PSBT, and what it
    /// stakes.
    ///
    /// # Errors
    ///
    /// [`WalletError::NotTheStake`] unless exactly one output is the stake, [`WalletError::Staking`] if its txid
    /// is not final, [`WalletError::MissingPrevout`].
    pub fn resume<C: Verification>(
        secp: &Secp256k1<C>,
        psbt: Psbt,
        terms: StakeTerms,
        value: Amount,
    ) -> Result<Self, WalletError> {
        stable_txid(&psbt)?;
        let stake = Stake::find(secp, terms, &psbt.unsigned_tx, value)?;
        let fee = psbt.fee().map_err(|error| WalletError::Build(error.to_string()))?;
        Ok(PendingStake { psbt, fee, stake })
    }

    /// The stake that the transaction will make; its outpoint is final.
    pub const fn stake(&self) -> &Stake {
        &self.stake
    }

    /// The fee of the staking transaction.
    pub const fn fee(&self) -> Amount {
        self.fee
    }

    /// The transaction, to be signed by [`Wallet::sign`] or elsewhere.
    pub const fn psbt(&self) -> &Psbt {
        &self.psbt
    }

    /// The coins it spends.
    pub fn coins(&self) -> Vec<OutPoint> {
        self.psbt.unsigned_tx.input.iter().map(|input| input.previous_output).collect()
    }

    /// Signs with the wallet's own keys and readies the transaction.
    ///
    /// # Errors
    ///
    /// As [`Wallet::sign`] and [`PendingStake::ready`].
    pub fn sign(&self, wallet: &Wallet, signer: &Signer, exit: Exit) -> Result<ReadyStake, WalletError> {
        exit.check(&self.stake)?;
        let mut psbt = self.psbt.clone();
        wallet.sign(signer, &mut psbt)?;
        self.ready(wallet, psbt, exit)
    }

    /// Readies the transaction: `signed` is the PSBT with all signatures, `exit` says that the coins will come
    /// out again.
    ///
    /// # Errors
    ///
    /// [`WalletError::OtherRehearsal`] if the rehearsal was of another stake, [`WalletError::OtherTransaction`]
    /// if the PSBT is, [`WalletError::NotFullySigned`].
    pub fn ready(&self, wallet: &Wallet, mut signed: Psbt, exit: Exit) -> Result<ReadyStake, WalletError> {
        exit.check(&self.stake)?;
        let (expected, actual) = (self.psbt.unsigned_tx.compute_txid(), signed.unsigned_tx.compute_txid());
        if expected != actual {
            return Err(WalletError::OtherTransaction { expected, actual });
        }
        wallet.finalize(&mut signed)?;
        let tx = extract_tx(signed, MAX_FEE_RATE)?;
        if tx.compute_txid() != expected {
            return Err(WalletError::OtherTransaction { expected, actual: tx.compute_txid() });
        }
        Ok(ReadyStake { tx, prevouts: self.prevouts()?, stake: self.stake.clone(), exit })
    }

    /// The delegation of this stake with its staking transaction unsigned: what signers elsewhere are shown.
    ///
    /// # Errors
    ///
    /// [`WalletError::Delegation`] names the rule that is broken.
    pub fn draft<C: Verification>(
        &self,
        secp: &Secp256k1<C>,
        network: Network,
        params: &StakingParams,
        slashing_fee: Amount,
    ) -> Result<Delegation<Draft>, WalletError> {
        let tx = self.psbt.unsigned_tx.clone();
        draft(secp, network, params, &self.stake, tx, &self.prevouts()?, slashing_fee)
    }

    fn prevouts(&self) -> Result<Vec<TxOut>, WalletError> {
        (0..self.psbt.inputs.len()).map(|input| prevout(&self.psbt, input)).collect()
    }
}

impl ReadyStake {
    /// The delegation of this stake, for staker and committee to sign. `slashing_fee` is what either slashing transaction
    /// pays to the miners.
    ///
    /// # Errors
    ///
    /// [`WalletError::Delegation`] names the rule that is broken.
    pub fn draft<C: Verification>(
        &self,
        secp: &Secp256k1<C>,
        network: Network,
        params: &StakingParams,
        slashing_fee: Amount,
    ) -> Result<Delegation<Draft>, WalletError> {
        draft(secp, network, params, &self.stake, self.tx.clone(), &self.prevouts, slashing_fee)
    }

    /// The stake it makes.
    pub const fn stake(&self) -> &Stake {
        &self.stake
    }

    /// The withdrawal signed in rehearsal, to be kept; none if the rehearsal was skipped.
    pub const fn rehearsed_withdrawal(&self) -> Option<&Transaction> {
        match &self.exit {
            Exit::Rehearsed(exit) => Some(exit.withdrawal()),
            Exit::Skipped(_) => None,
        }
    }
}

fn draft<C: Verification>(
    secp: &Secp256k1<C>,
    network: Network,
    params: &StakingParams,
    stake: &Stake,
    tx: Transaction,
    prevouts: &[TxOut],
    slashing_fee: Amount,
) -> Result<Delegation<Draft>, WalletError> {
    let terms = stake.terms().clone();
    Ok(Delegation::build(secp, network, params, terms, tx, prevouts, stake.value(), slashing_fee)?)
}

impl Exit {
    fn check(&self, stake: &Stake) -> Result<(), WalletError> {
        match self {
            Exit::Rehearsed(exit) if exit.outpoint() != stake.outpoint() => {
                Err(WalletError::OtherRehearsal { rehearsed: exit.outpoint(), given: stake.outpoint() })
            }
            _ => Ok(()),
        }
    }
}
