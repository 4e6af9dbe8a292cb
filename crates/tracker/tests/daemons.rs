//! Lives of stakes on a real bitcoind, with its indexes and without any.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use bitcoin::{Amount, Network, TxOut};
use support::{Stage, VALUE};
use tapstake_chain::{Bitcoind, BitcoindConfig};
use tapstake_params::Height;
use tapstake_regtest::{Bitcoind as Node, anyone_can_spend};
use tapstake_tracker::{Observed, Origin, StakeRecord, StakeState, observe};
use tapstake_tx::Stake;

/// A real node, and hands that sign; of the hands' own chain nothing is used.
struct World {
    node: Node,
    source: Bitcoind,
    hands: Stage,
}

impl World {
    fn new(node: Node) -> Self {
        let config = BitcoindConfig::with_cookie(node.rpc_url(), node.cookie_file());
        let source = Bitcoind::connect(&config, node.network()).unwrap();
        World { node, source, hands: Stage::new() }
    }

    fn tip(&self) -> Height {
        Height::new(self.node.height().unwrap())
    }

    fn mine(&self, blocks: u32) {
        self.node.mine(blocks, &anyone_can_spend(Network::Regtest)).unwrap();
    }

    fn observe(&self, record: &StakeRecord) -> Observed {
        observe(&self.source, &self.hands.secp, record).unwrap()
    }

    /// A stake in the mempool.
    fn stake(&self, blocks: u32) -> StakeRecord {
        let Stage { secp, params, .. } = &self.hands;
        // So that the search for it has blocks to pass.
        self.mine(3);
        let made_at = self.tip();
        let terms = self.hands.terms(blocks);
        let script_pubkey = terms.staking_output(secp).script_pubkey().clone();
        let tx = self.node.fund_outputs(vec![TxOut { value: VALUE, script_pubkey }]).unwrap();
        let stake = Stake::find(secp, terms, &tx, VALUE).unwrap();
        StakeRecord::new(Network::Regtest, &stake, params, tx, made_at).unwrap()
    }

    /// Mines until the withdrawal is taken, and sees at each tip that the node and the state agree.
    fn withdraw(&self, record: &StakeRecord, from: Origin) {
        loop {
            let seen = self.observe(record);
            let withdrawal = self.hands.withdrawal(seen.withdrawable().unwrap());
            let answer = self.node.test_accept(&withdrawal).unwrap();
            assert_eq!(answer.is_accepted(), seen.state.is_withdrawable(), "{}", seen.state);
            if !answer.is_accepted() {
                assert_eq!(answer.refusal.as_deref(), Some("non-BIP68-final"));
                self.mine(1);
                continue;
            }
            assert_eq!(Some(self.tip().saturating_add(1)), seen.state.withdrawable_at());
            let txid = self.node.broadcast(&withdrawal).unwrap();
            let state = |height| StakeState::Withdrawn { from, txid, height };
            assert_eq!(self.observe(record).state, state(None));
            self.mine(1);
            assert_eq!(self.observe(record).state, state(Some(self.tip())));
            return;
        }
    }
}

fn every_ending(world: &World) {
    let Stage { secp, .. } = &world.hands;

    // Expiry. A stake in a block is found with a hint, without one, and with a wrong one.
    let mut record = world.stake(20);
    assert_eq!(world.observe(&record).state, StakeState::InMempool);
    world.mine(2);
    let seen = world.observe(&record);
    assert!(matches!(seen.state, StakeState::Confirmed { confirmations: 2, .. }), "{}", seen.state);
    let height = seen.included.map(|block| block.height);
    for hint in [height, height.and_then(|height| height.checked_sub(1)), Some(Height::new(u32::MAX))] {
        record.included_at = hint;
        assert_eq!(world.observe(&record), seen);
    }
    world.withdraw(&record, Origin::Staking);

    // Early unbonding.
    let record = world.stake(1_000);
    world.mine(1);
    world.node.broadcast(&world.hands.unbonding(&record).1).unwrap();
    let state = world.observe(&record).state;
    assert!(matches!(state, StakeState::Unbonding { height: None, .. }), "{state}");
    world.mine(1);
    world.withdraw(&record, Origin::Unbonding);

    // Slashing, of the stake and of its unbonding output.
    for unbonded in [false, true] {
        let record = world.stake(1_000);
        world.mine(1);
        let slashing = if unbonded {
            let (unbonding, tx) = world.hands.unbonding(&record);
            world.node.broadcast(&tx).unwrap();
            world.mine(1);
            world.hands.slashing(&record, unbonding.coin()).1
        } else {
            world.hands.slashing(&record, record.stake(secp).coin()).1
        };
        world.node.broadcast_burning(&slashing, Amount::ONE_BTC).unwrap();
        let state = world.observe(&record).state;
        assert!(matches!(state, StakeState::Slashed { height: None, .. }), "{state}");
        world.mine(1);
        world.withdraw(&record, Origin::Refund);
    }
}

#[test]
fn every_ending_is_followed_on_a_node_with_indexes() {
    every_ending(&World::new(Node::start().unwrap()));
}

#[test]
fn every_ending_is_followed_on_a_node_without_indexes() {
    let world = World::new(Node::builder().without_indexes().start().unwrap());
    // One that was never sent is looked for in vain.
    let mut record = world.stake(20);
    record.staking_tx = None;
    record.outpoint.vout += 1;
    record.outpoint.txid = "11".repeat(32).parse().unwrap();
    assert_eq!(world.observe(&record).state, StakeState::Prepared);
    every_ending(&world);
}

#[test]
fn a_reorganisation_moves_the_stake_and_its_timelock() {
    let world = World::new(Node::start().unwrap());
    let record = world.stake(20);
    world.mine(2);
    let before = world.observe(&record);
    let lost = before.included.unwrap();
    world.node.reorganise(lost.hash, 3).unwrap();
    assert_eq!(world.observe(&record).state, StakeState::InMempool);
    world.mine(1);
    let after = world.observe(&record);
    assert_eq!(after.included.map(|block| block.height), Some(lost.height.saturating_add(3)));
    assert_eq!(after.state.withdrawable_at(), Some(lost.height.saturating_add(23)));
    world.withdraw(&record, Origin::Staking);
}
