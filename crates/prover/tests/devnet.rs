//! From a stake on the embedded chain to a proof that the verifier takes.
#![allow(clippy::unwrap_used, reason = "helpers of tests, outside #[test] functions")]

mod common;

use std::cell::Cell;
use std::thread;
use std::time::{Duration, Instant};

use bitcoin::{Amount, CompactTarget, Network, OutPoint, Txid};
use tapstake_chain::{ChainError, ChainSource, ElectrumConfig, SourceConfig, connect};
use tapstake_devnet::{Config, Devnet};
use tapstake_params::Height;
use tapstake_prover::{
    ProveError, StakeProof, Wait, claim_from_op_return, find_stake, own_headers, prove, prove_in_block,
    scan_blocks, sync_headers, wait_for_confirmations,
};
use tapstake_script::FindError;
use tapstake_verifier::headers::{Anchor, HeaderChain, HeaderError};
use tapstake_verifier::{Policy, Registration, VerifyError, verify, verify_with_own_headers};

use common::{STAKED, World, open_script, policy, spending};

fn devnet() -> (Devnet, Box<dyn ChainSource>) {
    let devnet = Devnet::start(&Config::default()).unwrap();
    let config =
        ElectrumConfig { timeout_secs: 5, attempts: 2, ..ElectrumConfig::new(devnet.electrum_url()) };
    let source = connect(&SourceConfig::Electrum(config), Network::Regtest).unwrap();
    (devnet, source)
}

fn light_client(max_reorg_depth: u32) -> HeaderChain {
    HeaderChain::new(Anchor::genesis(Network::Regtest), max_reorg_depth)
}

/// A stake in the mempool.
fn staked(devnet: &Devnet, world: &World) -> OutPoint {
    let txid = devnet.fund(&world.staking_script(), STAKED).unwrap();
    let tx = devnet.transaction(&txid).unwrap();
    let vout = tx.output.iter().position(|output| output.script_pubkey == world.staking_script()).unwrap();
    OutPoint { txid, vout: u32::try_from(vout).unwrap() }
}

/// A phase-1 stake in the mempool.
fn staked_in_phase_1(devnet: &Devnet, world: &World) -> OutPoint {
    let txid = devnet.fund(&open_script(), STAKED + Amount::from_sat(1_000)).unwrap();
    let tx = devnet.transaction(&txid).unwrap();
    let vout = tx.output.iter().position(|output| output.script_pubkey == open_script()).unwrap();
    let coin = OutPoint { txid, vout: u32::try_from(vout).unwrap() };
    let stake = spending(coin, world.phase_1_outputs());
    OutPoint { txid: devnet.broadcast(&stake).unwrap(), vout: 0 }
}

fn prove_unregistered(
    source: &dyn ChainSource,
    world: &World,
    outpoint: OutPoint,
) -> Result<StakeProof, ProveError> {
    prove(source, outpoint, None, world.claim(Registration::None))
}

#[test]
fn a_stake_is_proven_and_the_proof_is_taken() {
    let (devnet, source) = devnet();
    let world = World::new();
    let outpoint = staked(&devnet, &world);
    devnet.mine(1).unwrap();
    let height = Height::new(devnet.tip().height);
    devnet.mine(2).unwrap();

    assert_eq!(find_stake(&world.secp, &*source, outpoint.txid, &world.terms).unwrap(), outpoint);
    let proof = prove_unregistered(&*source, &world, outpoint).unwrap();
    let mut headers = light_client(6);
    let reached = Cell::new(Height::GENESIS);
    let tip = sync_headers(&*source, &mut headers, |height| reached.set(height)).unwrap();
    assert_eq!((tip, reached.get()), (source.tip().unwrap().height, tip));

    let stake = verify(&world.secp, &proof, &headers, &world.schedule, &policy(3)).unwrap();
    assert_eq!((stake.outpoint(), stake.value()), (outpoint, STAKED));
    assert_eq!((stake.inclusion_height(), stake.confirmations()), (height, 3));

    // The same from the raw block, and by the height of the block.
    let block = devnet.block(height.to_u32()).unwrap();
    let claim = world.claim(Registration::None);
    let offline = prove_in_block(&block, height, Network::Regtest, outpoint, claim.clone()).unwrap();
    assert_eq!(offline, proof);
    assert_eq!(prove(&*source, outpoint, Some(height), claim).unwrap(), proof);
}

#[test]
fn a_proof_with_its_own_headers_needs_no_light_client() {
    let (devnet, source) = devnet();
    let world = World::new();
    let outpoint = staked(&devnet, &world);
    devnet.mine(3).unwrap();
    let mut proof = prove_unregistered(&*source, &world, outpoint).unwrap();
    proof.own_headers = Some(own_headers(&*source, &proof).unwrap());
    let least = Policy::work_of_blocks(CompactTarget::from_consensus(0x207f_ffff), 3);
    let policy = Policy { least_work: Some(least), ..policy(3) };
    let stake = verify_with_own_headers(&world.secp, &proof, None, &world.schedule, &policy).unwrap();
    assert_eq!(stake.outpoint(), outpoint);
}

#[test]
fn a_phase_1_stake_says_itself_what_it_is() {
    let (devnet, source) = devnet();
    let world = World::new();
    let outpoint = staked_in_phase_1(&devnet, &world);
    devnet.mine(1).unwrap();
    let tx = devnet.transaction(&outpoint.txid).unwrap();
    let claim = claim_from_op_return(&tx).unwrap();
    assert_eq!(claim, world.claim(Registration::Phase1));
    let proof = prove(&*source, outpoint, None, claim).unwrap();
    let mut headers = light_client(6);
    sync_headers(&*source, &mut headers, |_| {}).unwrap();
    verify(&world.secp, &proof, &headers, &world.schedule, &policy(1)).unwrap();

    let plain = staked(&devnet, &world).txid;
    let refusal = claim_from_op_return(&devnet.transaction(&plain).unwrap()).unwrap_err();
    assert!(matches!(refusal, ProveError::NoOpReturn(txid) if txid == plain), "{refusal}");
}

#[test]
fn what_cannot_be_proven_is_refused_with_the_reason() {
    let (devnet, source) = devnet();
    let world = World::new();
    let outpoint = staked(&devnet, &world);
    let nowhere = OutPoint { txid: "44".repeat(32).parse().unwrap(), vout: 0 };
    let refusal = prove_unregistered(&*source, &world, outpoint).unwrap_err();
    assert!(matches!(refusal, ProveError::Unconfirmed(_)), "{refusal}");
    let refusal = prove_unregistered(&*source, &world, nowhere).unwrap_err();
    assert!(matches!(refusal, ProveError::UnknownTransaction(_)), "{refusal}");

    devnet.mine(1).unwrap();
    let refusal = prove_unregistered(&*source, &world, OutPoint { vout: 9, ..outpoint }).unwrap_err();
    assert!(matches!(refusal, ProveError::NoSuchOutput { outputs: 2, .. }), "{refusal}");
    let claim = || world.claim(Registration::None);
    let refusal = prove(&*source, outpoint, Some(Height::new(1)), claim()).unwrap_err();
    assert!(matches!(refusal, ProveError::NotInBlock { .. }), "{refusal}");

    let block = devnet.block(1).unwrap();
    let coinbase = OutPoint { txid: block.txdata[0].compute_txid(), vout: 0 };
    for refusal in [
        prove(&*source, coinbase, None, claim()).unwrap_err(),
        prove_in_block(&block, Height::new(1), Network::Regtest, coinbase, claim()).unwrap_err(),
    ] {
        assert!(matches!(refusal, ProveError::Coinbase(_)), "{refusal}");
    }
    let mut damaged = (*devnet.block(devnet.tip().height).unwrap()).clone();
    damaged.txdata.swap(0, 1);
    let height = Height::new(devnet.tip().height);
    let refusal = prove_in_block(&damaged, height, Network::Regtest, outpoint, claim()).unwrap_err();
    assert!(matches!(refusal, ProveError::Chain(ChainError::BadBlock { .. })), "{refusal}");
}

#[test]
fn a_transaction_with_no_or_two_staking_outputs_is_refused() {
    let (devnet, source) = devnet();
    let world = World::new();
    let find = |txid: Txid| find_stake(&world.secp, &*source, txid, &world.terms).unwrap_err();
    let none = devnet.fund(&open_script(), STAKED * 2 + Amount::from_sat(1_000)).unwrap();
    let refusal = find(none);
    assert!(matches!(refusal, ProveError::NoSuchStake { error: FindError::NotFound, .. }), "{refusal}");

    let tx = devnet.transaction(&none).unwrap();
    let vout = tx.output.iter().position(|output| output.script_pubkey == open_script()).unwrap();
    let coin = OutPoint { txid: none, vout: u32::try_from(vout).unwrap() };
    let stake = world.phase_1_outputs()[0].clone();
    let two = spending(coin, vec![stake.clone(), stake]);
    let refusal = find(devnet.broadcast(&two).unwrap());
    assert!(matches!(refusal, ProveError::NoSuchStake { error: FindError::Several { .. }, .. }), "{refusal}");
}

#[test]
fn confirmations_are_waited_for_and_told() {
    let (devnet, source) = devnet();
    let world = World::new();
    let txid = staked(&devnet, &world).txid;
    let wait = Wait { confirmations: 3, poll: Duration::from_millis(10), timeout: None };
    let mut seen = Vec::new();
    let have = wait_for_confirmations(&*source, txid, wait, |have| {
        seen.push(have);
        devnet.mine(1).unwrap();
        true
    });
    assert_eq!(have.unwrap(), 3);
    assert_eq!(seen, [0, 1, 2, 3]);
}

#[test]
fn waiting_ends_by_timeout_by_hand_and_for_unknown_transactions() {
    let (devnet, source) = devnet();
    let world = World::new();
    let txid = staked(&devnet, &world).txid;
    let wait =
        Wait { confirmations: 1, poll: Duration::from_secs(60), timeout: Some(Duration::from_millis(200)) };
    let start = Instant::now();
    let end = wait_for_confirmations(&*source, txid, wait, |_| true).unwrap_err();
    assert!(matches!(end, ProveError::TimedOut { have: 0, want: 1, .. }), "{end}");
    assert!(start.elapsed() < Duration::from_secs(5));
    let end = wait_for_confirmations(&*source, txid, wait, |_| false).unwrap_err();
    assert!(matches!(end, ProveError::Stopped), "{end}");
    let nowhere = "44".repeat(32).parse().unwrap();
    let end = wait_for_confirmations(&*source, nowhere, wait, |_| true).unwrap_err();
    assert!(matches!(end, ProveError::UnknownTransaction(_)), "{end}");
}

#[test]
fn waiting_outlives_an_absence_of_the_server() {
    let (devnet, source) = devnet();
    let world = World::new();
    let txid = staked(&devnet, &world).txid;
    let (address, tx) = (devnet.addr(), devnet.transaction(&txid).unwrap());
    let chain = devnet.with(Clone::clone);
    drop(devnet);
    let back = thread::spawn(move || {
        thread::sleep(Duration::from_millis(500));
        let devnet = Devnet::with_chain(chain, address).unwrap();
        assert_eq!(devnet.transaction(&txid), Some(tx));
        devnet.mine(2).unwrap();
        devnet
    });
    let wait =
        Wait { confirmations: 2, poll: Duration::from_millis(50), timeout: Some(Duration::from_secs(30)) };
    assert_eq!(wait_for_confirmations(&*source, txid, wait, |_| true).unwrap(), 2);
    drop(back.join().unwrap());
}

#[test]
fn a_reorganisation_is_followed_and_the_old_proof_refused() {
    let (devnet, source) = devnet();
    let world = World::new();
    let outpoint = staked(&devnet, &world);
    let block = devnet.mine(1).unwrap()[0];
    devnet.mine(1).unwrap();
    let old = prove_unregistered(&*source, &world, outpoint).unwrap();
    let mut headers = light_client(6);
    sync_headers(&*source, &mut headers, |_| {}).unwrap();
    verify(&world.secp, &old, &headers, &world.schedule, &policy(1)).unwrap();

    devnet.invalidate_block(&block).unwrap();
    devnet.mine_to(3, &open_script()).unwrap();
    let tip = sync_headers(&*source, &mut headers, |_| {}).unwrap();
    assert_eq!((tip, headers.tip().1), (source.tip().unwrap().height, devnet.tip().hash));
    let refusal = verify(&world.secp, &old, &headers, &world.schedule, &policy(1)).unwrap_err();
    assert!(matches!(refusal, VerifyError::NotInChain { .. }), "{refusal}");
    let new = prove_unregistered(&*source, &world, outpoint).unwrap();
    verify(&world.secp, &new, &headers, &world.schedule, &policy(1)).unwrap();
}

#[test]
fn a_source_that_falls_behind_changes_nothing() {
    let (devnet, source) = devnet();
    let blocks = devnet.mine(5).unwrap();
    let mut headers = light_client(6);
    sync_headers(&*source, &mut headers, |_| {}).unwrap();
    let tip = headers.tip();
    devnet.invalidate_block(&blocks[2]).unwrap();
    devnet.mine_to(1, &open_script()).unwrap();
    assert_eq!(sync_headers(&*source, &mut headers, |_| {}).unwrap(), tip.0);
    assert_eq!(headers.tip(), tip);
}

#[test]
fn a_reorganisation_deeper_than_the_policy_freezes_the_client() {
    let (devnet, source) = devnet();
    let blocks = devnet.mine(5).unwrap();
    let mut headers = light_client(2);
    sync_headers(&*source, &mut headers, |_| {}).unwrap();
    devnet.invalidate_block(&blocks[1]).unwrap();
    devnet.mine_to(6, &open_script()).unwrap();
    for _ in 0..2 {
        let refusal = sync_headers(&*source, &mut headers, |_| {}).unwrap_err();
        assert!(matches!(refusal, ProveError::Headers(HeaderError::Frozen(_))), "{refusal}");
    }
    headers.unfreeze(4);
    sync_headers(&*source, &mut headers, |_| {}).unwrap();
    assert_eq!(headers.tip().1, devnet.tip().hash);
}

#[test]
fn a_source_of_another_chain_is_refused() {
    let (other, source) = devnet();
    other.mine(3).unwrap();
    let (devnet, own_source) = devnet_with(5);
    let anchor_at = devnet.block(3).unwrap().header;
    let mut headers = light_client(6);
    sync_headers(&*own_source, &mut headers, |_| {}).unwrap();
    let anchor = Anchor::new(Network::Regtest, Height::new(3), anchor_at, headers.total_work(), Vec::new());
    let mut from_there = HeaderChain::new(anchor.unwrap(), 6);
    let refusal = sync_headers(&*source, &mut from_there, |_| {}).unwrap_err();
    assert!(matches!(refusal, ProveError::OtherChain(_)), "{refusal}");
}

fn devnet_with(blocks: u32) -> (Devnet, Box<dyn ChainSource>) {
    let (devnet, source) = devnet();
    devnet.mine_to(blocks, &open_script()).unwrap();
    (devnet, source)
}

#[test]
fn headers_come_in_batches_and_progress_is_told() {
    let (devnet, source) = devnet();
    devnet.mine_to_height(4_100).unwrap();
    let mut headers = light_client(6);
    let mut told = Vec::new();
    sync_headers(&*source, &mut headers, |height| told.push(height.to_u32())).unwrap();
    assert_eq!(told, [2_016, 4_032, 4_100]);
    assert_eq!(headers.tip().1, devnet.tip().hash);
}

#[test]
fn an_electrum_server_cannot_be_scanned() {
    let (_devnet, source) = devnet();
    let world = World::new();
    let (from, to) = (Height::GENESIS, Height::new(1));
    let refusal =
        scan_blocks(&world.secp, &*source, &world.schedule, from, to, |_, _| {}, |_| {}).unwrap_err();
    assert!(matches!(refusal, ProveError::Chain(ChainError::Unsupported { .. })), "{refusal}");
}
