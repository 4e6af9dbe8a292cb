//! Whole lives of stakes on a chain, seen over the Electrum protocol.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use bitcoin::{Amount, Network, TxOut};
use support::{Stage, VALUE};
use tapstake_params::Height;
use tapstake_tracker::{Origin, SpendKind, StakeState, TrackerError, classify_spend, resume};
use tapstake_verifier::active;

#[test]
fn a_stake_is_prepared_sent_locked_expired_and_withdrawn() {
    let stage = Stage::new();
    let record = stage.prepare(20);
    let seen = stage.observe(&record);
    assert_eq!(seen.state, StakeState::Prepared);
    assert_eq!((seen.included, seen.withdrawable()), (None, None));

    // Sent, and sent again: the second time nothing happens.
    let delegation = stage.verified(&record);
    for _ in 0..2 {
        assert_eq!(resume(stage.source.as_ref(), &delegation).unwrap(), record.outpoint.txid);
        assert_eq!(stage.state(&record), StakeState::InMempool);
    }
    stage.devnet.mine(1).unwrap();
    let height = stage.tip();
    let seen = stage.observe(&record);
    assert_eq!(seen.included.map(|block| block.height), Some(height));
    assert_eq!(seen.withdrawable().map(tapstake_tx::Withdrawable::outpoint), Some(record.outpoint));
    let locked = StakeState::Confirmed {
        height,
        confirmations: 1,
        active_until: height.saturating_add(20 - 10),
        withdrawable_at: height.saturating_add(20),
    };
    assert_eq!(seen.state, locked);

    let txid = stage.withdraw_as_soon_as_possible(&record);
    assert_eq!(stage.state(&record), StakeState::Withdrawn { from: Origin::Staking, txid, height: None });
    stage.devnet.mine(1).unwrap();
    let height = Some(stage.tip());
    let seen = stage.observe(&record);
    assert_eq!(seen.state, StakeState::Withdrawn { from: Origin::Staking, txid, height });
    assert_eq!(seen.withdrawable(), None);
}

#[test]
fn a_locked_stake_is_active_as_long_as_the_verifier_says() {
    let stage = Stage::new();
    let record = stage.staked(20);
    let terms = &record.terms;
    for _ in 0..18 {
        let StakeState::Confirmed { height, confirmations, active_until, .. } = stage.state(&record) else {
            panic!("{}", stage.state(&record))
        };
        let tip = stage.tip();
        assert_eq!(confirmations, height.confirmations(tip));
        assert_eq!(tip < active_until, active(height, tip, terms.staking_time, terms.unbonding_time));
        stage.devnet.mine(1).unwrap();
    }
}

#[test]
fn an_unbonded_stake_is_withdrawn_after_the_unbonding_time() {
    let stage = Stage::new();
    let record = stage.staked(1_000);
    let (unbonding, tx) = stage.unbonding(&record);
    let txid = stage.send(&tx);
    let waiting = StakeState::Unbonding { txid, height: None, withdrawable_at: None };
    let seen = stage.observe(&record);
    assert_eq!(seen.state, waiting);
    let coin = seen.withdrawable().unwrap();
    assert_eq!((coin.outpoint(), coin.value()), (unbonding.coin().outpoint, unbonding.coin().value));

    stage.devnet.mine(1).unwrap();
    let height = stage.tip();
    let at = height.saturating_add(10);
    let locked = StakeState::Unbonding { txid, height: Some(height), withdrawable_at: Some(at) };
    assert_eq!(stage.state(&record), locked);
    stage.devnet.mine_to_height(at.to_u32() - 1).unwrap();
    assert_eq!(stage.state(&record), StakeState::Unbonded { txid, height, withdrawable_at: at });

    let txid = stage.withdraw_as_soon_as_possible(&record);
    stage.devnet.mine(1).unwrap();
    let end = StakeState::Withdrawn { from: Origin::Unbonding, txid, height: Some(stage.tip()) };
    assert_eq!(stage.state(&record), end);
}

#[test]
fn every_block_of_an_unbonding_agrees_with_the_mempool() {
    let stage = Stage::new();
    let record = stage.staked(1_000);
    stage.send(&stage.unbonding(&record).1);
    stage.devnet.mine(1).unwrap();
    stage.withdraw_as_soon_as_possible(&record);
}

#[test]
fn a_stake_unbonded_before_its_own_block_is_followed() {
    let stage = Stage::new();
    let record = stage.prepare(1_000);
    stage.send(record.staking_tx.as_ref().unwrap());
    let txid = stage.send(&stage.unbonding(&record).1);
    let waiting = StakeState::Unbonding { txid, height: None, withdrawable_at: None };
    assert_eq!(stage.state(&record), waiting);
    stage.devnet.mine(1).unwrap();
    let height = stage.tip();
    let at = Some(height.saturating_add(10));
    assert_eq!(
        stage.state(&record),
        StakeState::Unbonding { txid, height: Some(height), withdrawable_at: at }
    );
}

#[test]
fn a_slashed_stake_leaves_a_refund_that_is_withdrawn_after_its_timelock() {
    let stage = Stage::new();
    let record = stage.staked(1_000);
    let stake = record.stake(&stage.secp);
    let (slashing, tx) = stage.slashing(&record, stake.coin());
    slashed_and_refunded(&stage, &record, Origin::Staking, &slashing, &tx);
}

#[test]
fn an_unbonding_output_is_slashed_and_refunded_too() {
    let stage = Stage::new();
    let record = stage.staked(1_000);
    let (unbonding, tx) = stage.unbonding(&record);
    stage.send(&tx);
    stage.devnet.mine(1).unwrap();
    let (slashing, tx) = stage.slashing(&record, unbonding.coin());
    slashed_and_refunded(&stage, &record, Origin::Unbonding, &slashing, &tx);
}

fn slashed_and_refunded(
    stage: &Stage,
    record: &tapstake_tracker::StakeRecord,
    from: Origin,
    slashing: &tapstake_tx::SlashingTx,
    tx: &bitcoin::Transaction,
) {
    let txid = stage.send(tx);
    let refund = slashing.refund().outpoint;
    let waiting =
        StakeState::Slashed { from, txid, height: None, refund: Some(refund), withdrawable_at: None };
    assert_eq!(stage.state(record), waiting);

    stage.devnet.mine(1).unwrap();
    let height = stage.tip();
    let at = height.saturating_add(10);
    let seen = stage.observe(record);
    let locked = StakeState::Slashed {
        from,
        txid,
        height: Some(height),
        refund: Some(refund),
        withdrawable_at: Some(at),
    };
    assert_eq!(seen.state, locked);
    let coin = seen.withdrawable().unwrap();
    assert_eq!((coin.outpoint(), coin.value()), (refund, slashing.refund().value));

    let withdrawal = stage.withdraw_as_soon_as_possible(record);
    // Seen once more as it was before the withdrawal was sent.
    assert_eq!(stage.tip().saturating_add(1), at);
    stage.devnet.mine(1).unwrap();
    let end = StakeState::Withdrawn { from: Origin::Refund, txid: withdrawal, height: Some(at) };
    assert_eq!(stage.state(record), end);
}

#[test]
fn a_refund_can_be_withdrawn_in_the_next_block_once_its_timelock_is_over() {
    let stage = Stage::new();
    let record = stage.staked(1_000);
    let stake = record.stake(&stage.secp);
    let (slashing, tx) = stage.slashing(&record, stake.coin());
    let txid = stage.send(&tx);
    stage.devnet.mine(10).unwrap();
    let withdrawable_at = stage.tip().saturating_add(1);
    let state = StakeState::RefundWithdrawable {
        from: Origin::Staking,
        txid,
        height: withdrawable_at.checked_sub(10).unwrap(),
        refund: slashing.refund().outpoint,
        withdrawable_at,
    };
    assert_eq!(stage.state(&record), state);
}

#[test]
fn a_reorganisation_that_removes_the_stake_is_followed_there_and_back() {
    let stage = Stage::new();
    let record = stage.staked(20);
    let before = stage.observe(&record);
    stage.devnet.mine(2).unwrap();

    let lost = before.included.unwrap();
    stage.devnet.invalidate_block(&lost.hash).unwrap();
    assert_eq!(stage.state(&record), StakeState::InMempool);
    // On the new branch the stake is in a later block, and its timelock counts from there.
    stage.devnet.with_mut(|chain| {
        let empty = chain.assemble(&stage.address(), Vec::new(), Amount::ZERO);
        chain.submit_block(empty).unwrap();
    });
    assert_eq!(stage.state(&record), StakeState::InMempool);
    stage.devnet.mine(1).unwrap();
    let height = lost.height.saturating_add(1);
    let seen = stage.observe(&record);
    assert_eq!(seen.included.map(|block| block.height), Some(height));
    assert_eq!(seen.state.withdrawable_at(), Some(height.saturating_add(20)));

    stage.devnet.reconsider_block(&lost.hash).unwrap();
    assert_eq!(stage.observe(&record).included, Some(lost));
    assert_eq!(stage.state(&record).withdrawable_at(), before.state.withdrawable_at());
}

#[test]
fn a_double_spent_funding_is_a_conflict_and_a_reorganisation_takes_it_back() {
    let stage = Stage::new();
    let coin = stage.coin(VALUE + Amount::from_sat(500));
    let record = stage.prepare_from(&coin, 20);
    let delegation = stage.verified(&record);
    let back = TxOut { value: VALUE, script_pubkey: stage.address() };
    let other = stage.pay(&coin, vec![back]);
    let txid = stage.send(&other);
    let conflicted = |height| StakeState::Conflicted { coin: coin.0, txid, height };
    assert_eq!(stage.state(&record), conflicted(None));
    assert!(matches!(
        resume(stage.source.as_ref(), &delegation),
        Err(TrackerError::Chain(tapstake_chain::ChainError::Rejected { .. }))
    ));
    stage.devnet.mine(1).unwrap();
    let seen = stage.observe(&record);
    assert_eq!(seen.state, conflicted(Some(stage.tip())));
    assert_eq!(seen.withdrawable(), None);
    stage.devnet.invalidate_block(&seen.tip.hash).unwrap();
    assert_eq!(stage.state(&record), conflicted(None));
}

#[test]
fn what_staker_and_covenant_spend_otherwise_is_no_unbonding() {
    let stage = Stage::new();
    let record = stage.staked(1_000);
    let stake = record.stake(&stage.secp);
    let (_, mut tx) = stage.unbonding(&record);
    tx.output[0].script_pubkey = stage.address();
    let prevouts = [stake.coin().to_txout()];
    let mut cache = bitcoin::sighash::SighashCache::new(&tx);
    let leaf = stake.coin().output.unbonding();
    let spend = tapstake_tx::LeafSpend::new(&stage.secp, &mut cache, 0, &prevouts, leaf).unwrap();
    let witness = spend.witness(&stage.secp, &stage.sign(&spend, &[stage.staker])).unwrap();
    tx.input[0].witness = witness;
    assert_eq!(classify_spend(&stage.secp, &stake, &tx, 0), SpendKind::Unknown);
    let txid = stage.send(&tx);
    let state = StakeState::SpentUnknown { from: Origin::Staking, txid, height: None };
    assert_eq!(stage.state(&record), state);
}

#[test]
fn spends_are_told_apart_by_the_leaf_in_their_witness() {
    let stage = Stage::new();
    let record = stage.prepare(20);
    let stake = record.stake(&stage.secp);
    let kind = |tx: &_| classify_spend(&stage.secp, &stake, tx, 0);
    let (unbonding, mut tx) = stage.unbonding(&record);
    assert_eq!(kind(&tx), SpendKind::Unbonding(unbonding.coin().clone()));
    // Any other script, control block, or none at all.
    let items: Vec<Vec<u8>> = tx.input[0].witness.iter().map(<[u8]>::to_vec).collect();
    for changed in [items.len() - 2, items.len() - 1] {
        let mut items = items.clone();
        items[changed][1] ^= 1;
        tx.input[0].witness = bitcoin::Witness::from_slice(&items);
        assert_eq!(kind(&tx), SpendKind::Unknown);
    }
    tx.input[0].witness.clear();
    assert_eq!(kind(&tx), SpendKind::Unknown);
    assert_eq!(classify_spend(&stage.secp, &stake, &tx, 1), SpendKind::Unknown);

    let (slashing, mut tx) = stage.slashing(&record, stake.coin());
    assert_eq!(kind(&tx), SpendKind::Slashing(Some(slashing.refund().clone())));
    tx.output.pop();
    assert_eq!(kind(&tx), SpendKind::Slashing(None));
    assert_eq!(kind(&stage.withdrawal(&stake.coin().into())), SpendKind::Withdrawal);
}

#[test]
fn records_of_another_network_or_output_are_refused() {
    let stage = Stage::new();
    let mut record = stage.staked(20);
    record.value += Amount::ONE_SAT;
    let refused = stage.try_observe(&record);
    assert!(matches!(refused, Err(TrackerError::NotTheStake(outpoint)) if outpoint == record.outpoint));
    record.network = Network::Signet;
    assert!(matches!(stage.try_observe(&record), Err(TrackerError::Network { .. })));
}

#[test]
fn a_stake_that_staker_and_covenant_spend_with_another_input_is_expanded() {
    let stage = Stage::new();
    let record = stage.staked(1_000);
    let stake = record.stake(&stage.secp);
    let funding = stage.coin(Amount::from_sat(10_000));
    let output = TxOut { value: VALUE, script_pubkey: stage.address() };
    let mut tx = stage.pay(&funding, vec![output]);
    let mut old = tx.input[0].clone();
    old.previous_output = stake.outpoint();
    old.witness.clear();
    tx.input.insert(0, old);
    let prevouts = [stake.coin().to_txout(), funding.1];
    let leaf = stake.coin().output.unbonding();
    let mut cache = bitcoin::sighash::SighashCache::new(&tx);
    let spend = tapstake_tx::LeafSpend::new(&stage.secp, &mut cache, 0, &prevouts, leaf).unwrap();
    let witness = spend.witness(&stage.secp, &stage.sign(&spend, &[stage.staker])).unwrap();
    tx.input[0].witness = witness;
    assert_eq!(classify_spend(&stage.secp, &stake, &tx, 0), SpendKind::Expansion);
    // As the second input it is no expansion, and neither is it with a third one.
    let mut other = tx.clone();
    other.input.swap(0, 1);
    assert_eq!(classify_spend(&stage.secp, &stake, &other, 1), SpendKind::Unknown);
    other.input.swap(0, 1);
    other.input.push(other.input[1].clone());
    assert_eq!(classify_spend(&stage.secp, &stake, &other, 0), SpendKind::Unknown);
}

#[test]
fn a_stake_restored_without_its_transaction_is_found() {
    let stage = Stage::new();
    let mut record = stage.prepare(20);
    let tx = record.staking_tx.take().unwrap();
    assert_eq!(stage.state(&record), StakeState::Prepared);
    stage.send(&tx);
    stage.devnet.mine(20).unwrap();
    assert!(matches!(stage.state(&record), StakeState::Expired { height, .. } if height < stage.tip()));
    assert!(stage.tip() > Height::GENESIS);
}
