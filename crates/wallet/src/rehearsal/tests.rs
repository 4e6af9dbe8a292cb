use bitcoin::psbt::Psbt;
use bitcoin::secp256k1::All;
use bitcoin::{Amount, Network};
use tapstake_params::local::{self, Slashed};
use tapstake_params::{StakingParams, Timelock};
use tapstake_script::{Providers, StakeTerms};

use super::*;
use crate::testing::{TestWallet, sat, sat_per_vb, stranger};
use crate::{Exit, FundRequest, LockReason, PendingStake, SkipRehearsal, StakePlan, StakeValue, parse_psbt};

struct Staker {
    test: TestWallet,
    params: StakingParams,
    terms: StakeTerms,
    secp: Secp256k1<All>,
}

impl Staker {
    fn new(coins: &[u64]) -> Self {
        let secp = Secp256k1::new();
        let test = TestWallet::funded(coins);
        let params = local::schedule(&secp, Network::Regtest, Slashed::Burned).unwrap().latest().clone();
        let staker = test.wallet.staker_key(0).unwrap().x_only;
        let provider = Providers::one(local::provider_keypair(&secp, 0).x_only_public_key().0);
        let terms = StakeTerms::under(&params, staker, provider, Timelock::new(100).unwrap()).unwrap();
        Staker { test, params, terms, secp }
    }

    fn fund(&mut self, value: u64) -> PendingStake {
        let (params, terms) = (self.params.clone(), self.terms.clone());
        let value = StakeValue::Exact(sat(value));
        let plan = StakePlan { params: &params, terms: &terms, value, tag: Some(local::TAG) };
        self.test.wallet.fund_stake(&self.secp, &plan, &FundRequest::new(Vec::new(), sat_per_vb(2))).unwrap()
    }

    fn rehearsal(&mut self, pending: &PendingStake) -> Rehearsal {
        let home = self.test.wallet.next_change_address().unwrap().address.script_pubkey();
        Rehearsal::new(pending.stake(), home, sat_per_vb(2)).unwrap()
    }
}

#[test]
fn a_stake_is_funded_rehearsed_and_signed() {
    let mut staker = Staker::new(&[1_000_000]);
    let pending = staker.fund(400_000);
    let coins = pending.coins();
    let outputs = &pending.psbt().unsigned_tx.output;
    assert_eq!(outputs[0], pending.stake().coin().to_txout());
    assert!(outputs[1].script_pubkey.is_op_return());
    assert_eq!(outputs.len(), 3);
    let reason = LockReason::PendingStake(pending.stake().outpoint());
    assert!(coins.iter().all(|coin| staker.test.wallet.lock_reason(*coin).as_ref() == Some(&reason)));

    let rehearsal = staker.rehearsal(&pending);
    let wallet = &staker.test.wallet;
    let signer = wallet.signer(None).unwrap();
    let exit = rehearsal.sign(&staker.secp, &signer, &wallet.staker_key(0).unwrap()).unwrap();
    let ready = pending.sign(wallet, &signer, Exit::Rehearsed(exit.clone())).unwrap();
    let params = local::schedule(&staker.secp, Network::Regtest, Slashed::Burned).unwrap().latest().clone();
    let fee = params.slashing.as_ref().unwrap().min_fee;
    let draft = ready.draft(&staker.secp, Network::Regtest, &params, fee).unwrap();
    assert_eq!(draft.staking_txid(), pending.stake().outpoint().txid);
    let unsigned = pending.draft(&staker.secp, Network::Regtest, &params, fee).unwrap();
    assert_eq!(unsigned.package(), draft.package().without_witnesses());
    assert_eq!(ready.rehearsed_withdrawal(), Some(exit.withdrawal()));
    let withdrawn = &exit.withdrawal().output[0];
    assert!(wallet.is_mine(&withdrawn.script_pubkey));
    assert_eq!(exit.withdrawal().input[0].sequence.to_consensus_u32(), 100);
    // Kept and read again, it is still the proof.
    let again = RehearsedExit::check(&staker.secp, pending.stake(), exit.withdrawal().clone()).unwrap();
    assert_eq!(again, exit);
}

#[test]
fn an_external_signer_rehearses_by_psbt_signed_or_finalized() {
    let mut staker = Staker::new(&[1_000_000]);
    let pending = staker.fund(400_000);
    let rehearsal = staker.rehearsal(&pending);
    let key = staker.test.wallet.staker_key(0).unwrap();
    let signer = staker.test.wallet.signer(None).unwrap();
    let mut travelled = parse_psbt(rehearsal.psbt(&key).unwrap().to_string().as_bytes()).unwrap();
    assert_eq!(signer.sign_leaves(&mut travelled, AuxRandomness::Fresh).unwrap(), [0]);
    let exit = rehearsal.accept(&staker.secp, &travelled).unwrap();

    let mut finalized: Psbt = rehearsal.psbt(&key).unwrap();
    finalized.inputs[0].final_script_witness = Some(exit.withdrawal().input[0].witness.clone());
    assert_eq!(rehearsal.accept(&staker.secp, &finalized).unwrap(), exit);

    // The staking transaction is signed elsewhere too, and taken up in another process.
    let mut psbt = pending.psbt().clone();
    staker.test.wallet.sign(&signer, &mut psbt).unwrap();
    let resumed =
        PendingStake::resume(&staker.secp, psbt.clone(), staker.terms.clone(), sat(400_000)).unwrap();
    assert_eq!(resumed.stake(), pending.stake());
    let ready = resumed.ready(&staker.test.wallet, psbt, Exit::Rehearsed(exit)).unwrap();
    assert_eq!(ready.stake(), pending.stake());
}

#[test]
fn a_signer_that_does_not_sign_or_signs_wrongly_locks_nothing() {
    let mut staker = Staker::new(&[1_000_000]);
    let pending = staker.fund(400_000);
    let rehearsal = staker.rehearsal(&pending);
    let key = staker.test.wallet.staker_key(0).unwrap();
    let signer = staker.test.wallet.signer(None).unwrap();
    let unsigned = rehearsal.psbt(&key).unwrap();
    let error = rehearsal.accept(&staker.secp, &unsigned).unwrap_err();
    assert!(error.to_string().starts_with("exit rehearsal failed, nothing may be locked"), "{error}");

    let mut wrong = unsigned.clone();
    signer.sign_leaves(&mut wrong, AuxRandomness::Fresh).unwrap();
    let leaf = pending.stake().coin().output.timelock().leaf_hash;
    let other = signer.staker_keypair(1).unwrap();
    let signature = other.sign(&bitcoin::secp256k1::Message::from_digest([1; 32]), AuxRandomness::None);
    wrong.inputs[0].tap_script_sigs.get_mut(&(key.x_only, leaf)).unwrap().signature = signature;
    let error = rehearsal.accept(&staker.secp, &wrong).unwrap_err();
    assert!(error.to_string().contains("does not verify"), "{error}");

    let mut finalized = unsigned;
    finalized.inputs[0].final_script_witness = Some(bitcoin::Witness::from_slice(&[vec![1u8; 64]]));
    assert!(matches!(rehearsal.accept(&staker.secp, &finalized), Err(WalletError::Rehearsal(_))));
}

#[test]
fn every_change_to_a_rehearsed_withdrawal_is_noticed() {
    let mut staker = Staker::new(&[1_000_000]);
    let pending = staker.fund(400_000);
    let rehearsal = staker.rehearsal(&pending);
    let signer = staker.test.wallet.signer(None).unwrap();
    let exit = rehearsal.sign(&staker.secp, &signer, &staker.test.wallet.staker_key(0).unwrap()).unwrap();
    let changes: [fn(&mut Transaction); 6] = [
        |tx| tx.output[0].value -= Amount::ONE_SAT,
        |tx| tx.output.push(stranger(1_000)),
        |tx| tx.input[0].sequence = bitcoin::Sequence::from_height(99),
        |tx| tx.input[0].previous_output.vout += 1,
        |tx| tx.input.push(tx.input[0].clone()),
        |tx| tx.version = bitcoin::transaction::Version::ONE,
    ];
    for change in changes {
        let mut tx = exit.withdrawal().clone();
        change(&mut tx);
        let error = RehearsedExit::check(&staker.secp, pending.stake(), tx).unwrap_err();
        assert!(matches!(error, WalletError::Rehearsal(_)), "{error}");
    }
}

#[test]
fn a_rehearsal_of_another_stake_readies_nothing_and_skipping_takes_a_token() {
    let mut staker = Staker::new(&[1_000_000, 800_000]);
    let first = staker.fund(400_000);
    let second = staker.fund(300_000);
    let rehearsal = staker.rehearsal(&first);
    let wallet = &staker.test.wallet;
    let signer = wallet.signer(None).unwrap();
    let exit = rehearsal.sign(&staker.secp, &signer, &wallet.staker_key(0).unwrap()).unwrap();
    let error = second.sign(wallet, &signer, Exit::Rehearsed(exit.clone())).unwrap_err();
    assert!(matches!(error, WalletError::OtherRehearsal { .. }), "{error}");
    let error = second.ready(wallet, first.psbt().clone(), Exit::Rehearsed(exit)).unwrap_err();
    assert!(matches!(error, WalletError::OtherRehearsal { .. }), "{error}");

    let skip = Exit::Skipped(SkipRehearsal::and_risk_that_the_coins_never_move());
    let error = second.ready(wallet, first.psbt().clone(), skip.clone()).unwrap_err();
    assert!(matches!(error, WalletError::OtherTransaction { .. }), "{error}");
    let error = second.ready(wallet, second.psbt().clone(), skip.clone()).unwrap_err();
    assert!(matches!(error, WalletError::NotFullySigned { .. }), "{error}");
    assert_eq!(second.sign(wallet, &signer, skip).unwrap().rehearsed_withdrawal(), None);
}

#[test]
fn another_staker_key_is_named() {
    let mut staker = Staker::new(&[1_000_000]);
    let pending = staker.fund(400_000);
    let rehearsal = staker.rehearsal(&pending);
    let other = staker.test.wallet.staker_key(1).unwrap();
    let signer = staker.test.wallet.signer(None).unwrap();
    let error = rehearsal.sign(&staker.secp, &signer, &other).unwrap_err();
    assert!(matches!(error, WalletError::OtherStakerKey { .. }), "{error}");

    let mut wrong_path = staker.test.wallet.staker_key(0).unwrap();
    wrong_path.origin = other.origin;
    let error = signer.keypair_of(&wrong_path).unwrap_err();
    assert!(matches!(error, WalletError::OtherStakerKey { .. }), "{error}");
    let error = signer.keypair_of(&StakerKey::bare(wrong_path.x_only)).unwrap_err();
    assert!(matches!(error, WalletError::ForeignStakerKey { .. }), "{error}");
}

#[test]
fn everything_is_staked_within_the_bounds() {
    let mut staker = Staker::new(&[1_000_000, 500_000]);
    let request = FundRequest::new(Vec::new(), sat_per_vb(2));
    let (params, terms) = (staker.params.clone(), staker.terms.clone());
    let plan =
        StakePlan { params: &params, terms: &terms, value: StakeValue::Everything, tag: Some(local::TAG) };
    let pending = staker.test.wallet.fund_stake(&staker.secp, &plan, &request).unwrap();
    assert_eq!(pending.stake().value() + pending.fee(), sat(1_500_000));
    assert_eq!(pending.stake().outpoint().vout, 0);
    assert_eq!(pending.psbt().unsigned_tx.output.len(), 2);

    // A stake that turns out too large for the parameters leaves nothing locked.
    staker.test.wallet.abandon_stake(&pending).unwrap();
    let small = StakingParams { max_staking_value: sat(1_200_000), ..params.clone() };
    let plan = StakePlan { params: &small, ..plan };
    let error = staker.test.wallet.fund_stake(&staker.secp, &plan, &request).unwrap_err();
    assert!(matches!(error, WalletError::Bounds(_)), "{error}");
    assert_eq!(staker.test.wallet.balance().locked, sat(0));
}

#[test]
fn a_stake_out_of_bounds_or_a_dry_run_locks_nothing() {
    let mut staker = Staker::new(&[1_000_000]);
    let request = FundRequest::new(Vec::new(), sat_per_vb(2));
    let (params, terms) = (staker.params.clone(), staker.terms.clone());
    let plan =
        |value| StakePlan { params: &params, terms: &terms, value: StakeValue::Exact(sat(value)), tag: None };
    let wallet = &mut staker.test.wallet;
    assert!(wallet.fund_stake(&staker.secp, &plan(1), &request).is_err());
    let dry = wallet.fund_stake(&staker.secp, &plan(500_000), &request.clone().dry_run()).unwrap();
    assert!(wallet.fund_stake(&staker.secp, &plan(5_000_000), &request).is_err());
    assert_eq!(wallet.balance().locked, sat(0));
    let real = wallet.fund_stake(&staker.secp, &plan(500_000), &request).unwrap();
    assert_eq!(dry.stake().value(), real.stake().value());
    assert_eq!(wallet.balance().locked, sat(1_000_000));
}

#[test]
fn a_transaction_without_the_stake_is_not_resumed() {
    let mut staker = Staker::new(&[1_000_000]);
    let pending = staker.fund(400_000);
    let resume =
        |value| PendingStake::resume(&staker.secp, pending.psbt().clone(), staker.terms.clone(), sat(value));
    assert!(resume(400_000).is_ok());
    assert!(matches!(resume(400_001), Err(WalletError::NotTheStake(_))));
}
