//! Every transaction of a stake before a real bitcoind: what we build it takes, what we refuse it refuses.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

use bitcoin::hashes::Hash;
use bitcoin::key::{Keypair, Secp256k1};
use bitcoin::secp256k1::{All, SecretKey};
use bitcoin::sighash::{Prevouts, SighashCache, TapSighashType};
use bitcoin::{
    Amount, FeeRate, OutPoint, ScriptBuf, Sequence, Transaction, TxOut, WPubkeyHash, Witness, XOnlyPublicKey,
};
use tapstake_params::{Height, Quorum, Slashing, SlashingRate, Timelock};
use tapstake_regtest::{Bitcoind, anyone_can_spend};
use tapstake_script::{Parties, Providers, StakeTerms};
use tapstake_tx::{
    LeafSpend, Signatures, SlashingTx, SpendError, Stake, UnbondingTx, Withdrawable, Withdrawal,
    WithdrawalError, WitnessError,
};

const COMMITTEES: [(usize, u32); 4] = [(1, 1), (3, 5), (6, 9), (15, 20)];
const VALUE: Amount = Amount::from_sat(100_000);
const UNBONDING_FEE: Amount = Amount::from_sat(1_500);
const SLASHING_FEE: Amount = Amount::from_sat(2_000);
const RATE: FeeRate = FeeRate::from_sat_per_vb_u32(2);
const STAKING_TIME: u32 = 9;
const UNBONDING_TIME: u32 = 5;

/// A node, and everybody's keys.
struct Stage {
    node: Bitcoind,
    secp: Secp256k1<All>,
    staker: Keypair,
    providers: Vec<Keypair>,
    covenant: Vec<Keypair>,
    terms: StakeTerms,
    paid: Slashing,
}

fn keypairs(secp: &Secp256k1<All>, numbers: std::ops::Range<u32>) -> Vec<Keypair> {
    let keypair = |n: u32| {
        let mut bytes = [3; 32];
        bytes[28..].copy_from_slice(&n.to_be_bytes());
        Keypair::from_secret_key(secp, &SecretKey::from_slice(&bytes).unwrap())
    };
    numbers.map(keypair).collect()
}

fn key(keypair: &Keypair) -> XOnlyPublicKey {
    keypair.x_only_public_key().0
}

fn home() -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&WPubkeyHash::all_zeros())
}

impl Stage {
    fn new(providers: u32, committee: (usize, u32)) -> Self {
        let node = Bitcoind::start().unwrap();
        Stage::on(node, providers, committee)
    }

    fn on(node: Bitcoind, providers: u32, (quorum, members): (usize, u32)) -> Self {
        let secp = Secp256k1::new();
        let staker = keypairs(&secp, 0..1)[0];
        let (providers, covenant) =
            (keypairs(&secp, 100..100 + providers), keypairs(&secp, 200..200 + members));
        let known = Providers::new(providers.iter().map(key).collect()).unwrap();
        let committee = Quorum::new(quorum, covenant.iter().map(key).collect()).unwrap();
        let terms = StakeTerms {
            parties: Parties::new(key(&staker), known, committee).unwrap(),
            staking_time: Timelock::new(STAKING_TIME).unwrap(),
            unbonding_time: Timelock::new(UNBONDING_TIME).unwrap(),
        };
        let paid = Slashing {
            rate: SlashingRate::from_ten_thousandths(1_000).unwrap(),
            pk_script: home(),
            min_fee: SLASHING_FEE,
        };
        Stage { node, secp, staker, providers, covenant, terms, paid }
    }

    /// Locks stakes on the chain, in one transaction.
    fn stakes<const N: usize>(&self) -> [Stake; N] {
        let script_pubkey = self.terms.staking_output(&self.secp).script_pubkey().clone();
        let outputs = vec![TxOut { value: VALUE, script_pubkey }; N];
        let txid = self.node.fund_outputs(outputs).unwrap().compute_txid();
        self.mine(1);
        std::array::from_fn(|vout| {
            let outpoint = OutPoint { txid, vout: u32::try_from(vout).unwrap() };
            Stake::new(&self.secp, self.terms.clone(), outpoint, VALUE)
        })
    }

    fn mine(&self, blocks: u32) {
        self.node.mine(blocks, &anyone_can_spend(self.node.network())).unwrap();
    }

    fn tip(&self) -> Height {
        Height::new(self.node.height().unwrap())
    }

    /// The node would take it, does, and mines it.
    fn accepted(&self, tx: &Transaction) {
        let acceptance = self.node.test_accept(tx).unwrap();
        assert_eq!(acceptance.refusal, None, "{tx:?}");
        let txid = self.node.broadcast(tx).unwrap();
        self.mine(1);
        let block = self.node.block(self.node.best_block_hash().unwrap()).unwrap();
        assert!(block.txdata.iter().any(|mined| mined.compute_txid() == txid));
    }

    /// The node's reason for refusing it.
    fn refusal(&self, tx: &Transaction) -> String {
        self.node.test_accept(tx).unwrap().refusal.expect("the node must refuse it")
    }

    fn sign<'k>(&self, spend: &LeafSpend<'_>, keys: impl IntoIterator<Item = &'k Keypair>) -> Signatures {
        keys.into_iter().map(|keypair| spend.sign(&self.secp, keypair, &[0; 32])).collect()
    }

    fn unbonders(&self) -> Vec<&Keypair> {
        let quorum = self.terms.parties.covenant().threshold();
        self.covenant.iter().take(quorum).chain([&self.staker]).collect()
    }

    fn slashers(&self) -> Vec<&Keypair> {
        self.unbonders().into_iter().chain(self.providers.last()).collect()
    }

    fn unbond(&self, stake: &Stake) -> UnbondingTx {
        let unbonding = UnbondingTx::build(&self.secp, stake, UNBONDING_FEE).unwrap();
        let signatures = self.sign(&unbonding.spend(stake), self.unbonders());
        self.accepted(&unbonding.finish(&self.secp, stake, &signatures).unwrap());
        unbonding
    }

    fn slash<O: tapstake_tx::Slashable>(&self, stake: &Stake, coin: &tapstake_tx::Coin<O>) -> SlashingTx {
        let slashing = SlashingTx::build(coin, stake.refund_output(), &self.paid, SLASHING_FEE).unwrap();
        let signatures = self.sign(&slashing.spend(coin), self.slashers());
        self.accepted(&slashing.finish(&self.secp, coin, &signatures).unwrap());
        slashing
    }

    fn withdrawal(&self, coins: Vec<Withdrawable>) -> Transaction {
        let withdrawal = Withdrawal::build(coins, home(), RATE).unwrap();
        let signatures: Vec<_> =
            withdrawal.spends().iter().map(|spend| self.sign(spend, [&self.staker])).collect();
        withdrawal.finish(&self.secp, &signatures).unwrap()
    }

    /// Refused one block too early by us and by the node, then accepted. The coin lies in the block at `included`.
    fn withdraw(&self, coin: impl Into<Withdrawable>, included: Height) {
        let coin = coin.into();
        let tx = self.withdrawal(vec![coin.clone()]);
        let mature = coin.mature_at(included);
        let blocks = mature.blocks_since(self.tip()).expect("not mature yet") - 2;
        self.mine(blocks);
        let next = self.tip().saturating_add(1);
        let early = WithdrawalError::Immature { outpoint: coin.outpoint(), mature, next };
        assert_eq!(coin.check_mature(included, self.tip()), Err(early));
        assert_eq!(self.refusal(&tx), "non-BIP68-final");
        self.mine(1);
        assert_eq!(coin.check_mature(included, self.tip()), Ok(()));
        self.accepted(&tx);
    }
}

fn tell_every_ending(providers: u32) {
    let mut node = Some(Bitcoind::start().unwrap());
    for committee in COMMITTEES {
        let stage = Stage::on(node.take().unwrap(), providers, committee);
        let [slashed, unbonded, late, expired] = stage.stakes();
        let staked = stage.tip();

        let slashing = stage.slash(&slashed, slashed.coin());
        stage.withdraw(slashing.refund(), stage.tip());

        let unbonding = stage.unbond(&late);
        let slashing = stage.slash(&late, unbonding.coin());
        stage.withdraw(slashing.refund(), stage.tip());

        let unbonding = stage.unbond(&unbonded);
        stage.withdraw(unbonding.coin(), stage.tip());

        // By now long expired; the next one is waited for to the block.
        assert!(stage.tip() > staked.saturating_add(STAKING_TIME));
        stage.accepted(&stage.withdrawal(vec![expired.coin().into()]));
        let [expiring] = stage.stakes();
        stage.withdraw(expiring.coin(), stage.tip());
        node = Some(stage.node);
    }
}

#[test]
fn every_ending_with_one_provider_is_accepted_and_a_block_too_early_refused() {
    tell_every_ending(1);
}

#[test]
fn every_ending_with_two_providers_is_accepted_and_a_block_too_early_refused() {
    tell_every_ending(2);
}

#[test]
fn every_ending_with_five_providers_is_accepted_and_a_block_too_early_refused() {
    tell_every_ending(5);
}

#[test]
fn many_outputs_of_every_kind_are_withdrawn_at_once() {
    let stage = Stage::new(2, (3, 5));
    let stakes: [Stake; 40] = stage.stakes();
    let unbonding = stage.unbond(&stakes[0]);
    let slashing = stage.slash(&stakes[1], stakes[1].coin());
    stage.mine(STAKING_TIME);
    let mut coins: Vec<Withdrawable> = vec![unbonding.coin().into(), slashing.refund().into()];
    coins.extend(stakes[2..].iter().map(|stake| Withdrawable::from(stake.coin())));
    let tx = stage.withdrawal(coins);
    assert_eq!(tx.input.len(), 40);
    stage.accepted(&tx);
}

/// One signed spend, to be broken.
struct Signed<'a> {
    stage: &'a Stage,
    tx: Transaction,
    spend: LeafSpend<'a>,
}

impl Signed<'_> {
    /// Refused by us with the error, and by the node for the script.
    fn refused(&self, items: &[Vec<u8>]) -> WitnessError {
        let mut tx = self.tx.clone();
        tx.input[0].witness = Witness::from_slice(items);
        let ours = self.spend.check_witness(&self.stage.secp, &tx.input[0].witness).unwrap_err();
        let theirs = self.stage.refusal(&tx);
        assert!(theirs.contains("script-verify-flag-failed"), "{theirs} where we say: {ours}");
        ours
    }

    /// One signature too few, too many, and each two neighbours in the wrong order.
    fn attack(&self) {
        let whole = self.tx.input[0].witness.to_vec();
        let leaf = self.spend.leaf();
        let slots = whole.len() - 2;
        let owners: Vec<_> = leaf.signers().iter().flat_map(|group| group.keys()).rev().collect();
        assert_eq!(owners.len(), slots);
        for (slot, owner) in owners.into_iter().enumerate() {
            let mut items = whole.clone();
            if whole[slot].is_empty() {
                let mut everybody = self.stage.covenant.iter().chain(&self.stage.providers);
                let signer = everybody.find(|keypair| key(keypair) == *owner).unwrap();
                items[slot] = self.spend.sign(&self.stage.secp, signer, &[0; 32]).1.as_ref().to_vec();
                assert!(matches!(self.refused(&items), WitnessError::TooMany { .. }));
            } else {
                items[slot].clear();
                assert!(matches!(self.refused(&items), WitnessError::TooFew { .. }));
            }
            if slot > 0 && whole[slot] != whole[slot - 1] {
                let mut items = whole.clone();
                items.swap(slot, slot - 1);
                self.refused(&items);
            }
        }
    }
}

#[test]
fn too_few_too_many_and_misplaced_signatures_are_refused_by_us_and_by_the_node() {
    let mut node = Some(Bitcoind::start().unwrap());
    for (providers, committee) in [(1, (1, 1)), (2, (3, 5)), (5, (6, 9)), (1, (15, 20))] {
        let stage = Stage::on(node.take().unwrap(), providers, committee);
        let [stake, unbonded] = stage.stakes();

        let unbonding = UnbondingTx::build(&stage.secp, &stake, UNBONDING_FEE).unwrap();
        let spend = unbonding.spend(&stake);
        let tx = unbonding.finish(&stage.secp, &stake, &stage.sign(&spend, stage.unbonders())).unwrap();
        Signed { stage: &stage, tx, spend }.attack();

        let refund = stake.refund_output();
        let slashing = SlashingTx::build(stake.coin(), refund, &stage.paid, SLASHING_FEE).unwrap();
        let spend = slashing.spend(stake.coin());
        let signatures = stage.sign(&spend, stage.slashers());
        let tx = slashing.finish(&stage.secp, stake.coin(), &signatures).unwrap();
        Signed { stage: &stage, tx, spend }.attack();

        let unbonding = stage.unbond(&unbonded);
        let slashing = SlashingTx::build(unbonding.coin(), refund, &stage.paid, SLASHING_FEE).unwrap();
        let spend = slashing.spend(unbonding.coin());
        let signatures = stage.sign(&spend, stage.slashers());
        let tx = slashing.finish(&stage.secp, unbonding.coin(), &signatures).unwrap();
        Signed { stage: &stage, tx, spend }.attack();
        node = Some(stage.node);
    }
}

#[test]
fn a_withdrawal_of_another_sequence_is_refused_by_us_and_by_the_node() {
    let stage = Stage::new(1, (3, 5));
    let [stake] = stage.stakes();
    stage.mine(STAKING_TIME);
    let coin = stake.coin();
    let (leaf, prevout) = (coin.output.timelock(), coin.to_txout());
    let whole = stage.withdrawal(vec![coin.into()]);
    let expected = leaf.timelock().unwrap();
    // A block less, no relative timelock at all, and a timelock in units of time.
    for actual in [STAKING_TIME - 1, 0xffff_fffd, STAKING_TIME | 1 << 22] {
        let mut tx = whole.clone();
        tx.input[0].sequence = Sequence(actual);
        tx.input[0].witness.clear();
        let refused =
            LeafSpend::new(&stage.secp, &mut SighashCache::new(&tx), 0, &[&prevout], leaf).unwrap_err();
        assert_eq!(refused, SpendError::Sequence { actual, expected });

        // Signed all the same, by hand, so that nothing else is wrong with it.
        let digest = SighashCache::new(&tx)
            .taproot_script_spend_signature_hash(
                0,
                &Prevouts::All(&[&prevout]),
                leaf.leaf_hash,
                TapSighashType::Default,
            )
            .unwrap();
        let signature = stage.secp.sign_schnorr_no_aux_rand(&digest.into(), &stage.staker);
        let control_block = leaf.control_block.serialize();
        let items = [signature.as_ref().as_slice(), leaf.script.as_bytes(), &control_block];
        tx.input[0].witness = Witness::from_slice(&items);
        let theirs = stage.refusal(&tx);
        assert!(
            theirs.contains("Locktime requirement not satisfied") || theirs == "non-BIP68-final",
            "{theirs}"
        );
    }
    stage.accepted(&whole);
}

#[test]
fn a_burning_slashing_goes_out_only_with_the_value_allowed() {
    let stage = Stage::new(1, (3, 5));
    let [stake, unbonded] = stage.stakes();
    let burned = Slashing { pk_script: ScriptBuf::new_op_return(b"tapstake"), ..stage.paid };
    let unbonding = stage.unbond(&unbonded);

    let refund = stake.refund_output();
    let early = SlashingTx::build(stake.coin(), refund, &burned, SLASHING_FEE).unwrap();
    let signatures = stage.sign(&early.spend(stake.coin()), stage.slashers());
    let early_tx = early.finish(&stage.secp, stake.coin(), &signatures).unwrap();
    let late = SlashingTx::build(unbonding.coin(), refund, &burned, SLASHING_FEE).unwrap();
    let signatures = stage.sign(&late.spend(unbonding.coin()), stage.slashers());
    let late_tx = late.finish(&stage.secp, unbonding.coin(), &signatures).unwrap();

    for (slashing, tx) in [(early, early_tx), (late, late_tx)] {
        assert!(slashing.burns());
        let refused = stage.node.broadcast(&tx).expect_err("burning must be asked for");
        assert!(refused.rpc_message().is_some_and(|text| text.contains("maxburnamount")), "{refused}");
        let less = slashing.slashed() - Amount::from_sat(1);
        stage.node.broadcast_burning(&tx, less).expect_err("a sat more is burned than allowed");
        assert_eq!(stage.node.broadcast_burning(&tx, slashing.slashed()).unwrap(), tx.compute_txid());
        stage.mine(1);
        stage.withdraw(slashing.refund(), stage.tip());
    }
}
