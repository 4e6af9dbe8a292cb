//! What a verdict says, and what of the chain it depends on.

use alloc::string::ToString;
use alloc::vec;

use bitcoin::hashes::Hash;
use bitcoin::{Amount, CompactTarget, Network, OutPoint, TxMerkleNode, Txid};
use tapstake_params::{Height, Schedule, local};

use super::fixture::*;
use crate::headers::{Anchor, HeaderChain, HeaderError, Update};
use crate::{Depth, OwnHeaders, Policy, Rule, StakeProof, Status, VerifyError, verify_with_own_headers};

#[test]
fn the_verdict_has_outpoint_terms_heights_and_confirmations() {
    let world = World::honest();
    let included = world.verify().unwrap();
    assert_eq!(included.outpoint(), OutPoint::new(staking_tx().compute_txid(), 1));
    assert_eq!(included.value(), Amount::from_sat(VALUE));
    assert_eq!(included.terms(), &terms());
    assert_eq!(included.params_version(), 0);
    assert_eq!(included.cap(), None);
    assert_eq!(included.network(), Network::Regtest);
    assert_eq!(included.inclusion_height(), Height::new(HEIGHT));
    assert_eq!(included.block_hash(), world.headers[HEIGHT as usize].block_hash());
    assert_eq!(included.confirmations(), ABOVE + 1);
    assert_eq!(included.tip(), world.chain.tip());
    // 20 + 100 blocks of staking - 10 blocks of unbonding.
    assert_eq!(included.expires_at(), Height::new(110));
    assert_eq!(included.status(), Status::Active);
    assert_eq!(
        included.to_string(),
        "included at height 20, not reported spent as of tip 30, valid until height 110"
    );
}

#[test]
fn the_verdict_has_what_the_staking_transaction_spends_in_the_order_of_its_inputs() {
    let mut stake = staking_tx();
    let [second, third] = [tx(90, vec![]), tx(80, vec![])].map(|other| other.input[0].clone());
    stake.input.extend([second, third]);
    let included = World::with_stake(stake).verify().unwrap();
    let outpoint = |seed: u32| OutPoint::new(Txid::hash(&seed.to_le_bytes()), seed);
    assert_eq!(included.spends(), [outpoint(1), outpoint(90), outpoint(80)]);
}

#[test]
fn a_stake_expires_at_the_height_where_unbonding_is_no_shorter_than_its_timelock() {
    let mut world = World::honest();
    let mut last = *world.headers.last().unwrap();
    let mut grow = |world: &mut World, to: u32| {
        while world.chain.tip().0 < Height::new(to) {
            last = next_header(&last, TxMerkleNode::all_zeros());
            world.chain.extend(&[last]).unwrap();
        }
    };
    grow(&mut world, 109);
    let included = world.verify().unwrap();
    assert_eq!(included.status(), Status::Active);
    assert!(included.require_active().is_ok());
    grow(&mut world, 110);
    let included = world.verify().unwrap();
    assert_eq!(included.status(), Status::Expired);
    let expired = included.require_active().unwrap_err();
    assert_eq!((expired.rule(), expired.expires_at), (Rule::Active, Height::new(110)));
    assert_eq!(
        included.to_string(),
        "included at height 20, not reported spent as of tip 110, expired at height 110"
    );
}

#[test]
fn a_reorganisation_takes_the_proof_with_it() {
    let mut world = World::honest();
    assert!(world.verify().is_ok());
    let mut last = world.headers[HEIGHT as usize - 1];
    let mut branch = vec![];
    for _ in 0..ABOVE + 2 {
        last = next_header(&last, TxMerkleNode::from_byte_array([8; 32]));
        branch.push(last);
    }
    let update = world.chain.extend(&branch).unwrap();
    assert!(matches!(update, Update::Reorganised { .. }));
    let error = world.verify().unwrap_err();
    let refusal = VerifyError::NotInChain {
        height: Height::new(HEIGHT),
        claimed: world.proof.block_hash(),
        found: Some(branch[0].block_hash()),
    };
    assert_eq!(error, refusal);
    assert_eq!(error.rule(), Rule::BestChain);
}

#[test]
fn a_block_at_another_height_is_not_that_block() {
    let mut world = World::honest();
    for height in [HEIGHT - 1, HEIGHT + 1, HEIGHT + ABOVE + 1, u32::MAX] {
        world.proof.inclusion_height = Height::new(height);
        assert_eq!(world.verify().unwrap_err().rule(), Rule::BestChain);
    }
}

#[test]
fn a_block_below_the_anchor_is_not_known() {
    let mut world = World::honest();
    let above = &world.headers[HEIGHT as usize + 1..];
    let work = world.chain.total_work();
    let anchor = Anchor::new(Network::Regtest, Height::new(HEIGHT + 1), above[0], work, vec![]).unwrap();
    world.chain = HeaderChain::new(anchor, 6);
    world.chain.extend(&above[1..]).unwrap();
    assert!(matches!(world.verify(), Err(VerifyError::NotInChain { found: None, .. })));
}

#[test]
fn too_few_confirmations_are_refused_and_the_last_one_makes_it() {
    let mut world = World::honest();
    world.policy.depth = Depth::Confirmations(ABOVE + 1);
    assert!(world.verify().is_ok());
    world.policy.depth = Depth::Above(ABOVE);
    assert!(world.verify().is_ok());
    for needed in [Depth::Confirmations(ABOVE + 2), Depth::Above(ABOVE + 1)] {
        world.policy.depth = needed;
        let error = world.verify().unwrap_err();
        let (height, tip) = (Height::new(HEIGHT), Height::new(HEIGHT + ABOVE));
        assert_eq!(error, VerifyError::Depth { height, tip, confirmations: ABOVE + 1, needed });
        assert_eq!(error.rule(), Rule::Confirmations);
    }
}

#[test]
fn too_little_work_is_refused_of_any_chain() {
    let mut world = World::honest();
    let work = |blocks| Policy::work_of_blocks(world.headers[0].bits, blocks);
    let (enough, needed) = (work(ABOVE + 1), work(ABOVE + 2));
    world.policy.least_work = Some(enough);
    assert!(world.verify().is_ok());
    world.policy.least_work = Some(needed);
    let error = world.verify().unwrap_err();
    assert_eq!(error, VerifyError::Work { found: enough, needed });
    assert_eq!(error.rule(), Rule::OwnHeaders);
}

#[test]
fn mainnet_headers_of_the_first_days_carry_too_little_work() {
    let genesis = bitcoin::constants::genesis_block(Network::Bitcoin).header;
    let mut world = World::honest();
    world.schedule = Schedule::bbn_1();
    world.proof = StakeProof {
        network: Network::Bitcoin,
        inclusion_height: Height::GENESIS,
        header: genesis,
        own_headers: Some(OwnHeaders { start_height: Height::GENESIS, headers: alloc::vec![genesis] }),
        ..world.proof
    };
    world.chain = HeaderChain::new(Anchor::genesis(Network::Bitcoin), 6);
    // Ten blocks at the difficulty of late 2023.
    let needed = Policy::work_of_blocks(CompactTarget::from_consensus(0x1705_0000), 10);
    world.policy = Policy { least_work: Some(needed), ..Policy::new(Depth::Confirmations(1)) };
    let refusal = VerifyError::Work { found: Policy::work_of_blocks(genesis.bits, 1), needed };
    assert_eq!(world.verify().unwrap_err(), refusal);
    let World { secp, proof, schedule, policy, .. } = &world;
    assert_eq!(verify_with_own_headers(secp, proof, None, schedule, policy).unwrap_err(), refusal);
    // With that one block's work asked for, the proof goes on to the next rule and breaks it.
    world.policy.least_work = Some(Policy::work_of_blocks(genesis.bits, 1));
    assert_eq!(world.verify().unwrap_err().rule(), Rule::MerkleRoot);
}

#[test]
fn a_frozen_chain_gives_no_verdicts() {
    let mut world = World::honest();
    let mut chain = HeaderChain::new(world.chain.anchor().clone(), 0);
    chain.extend(&world.headers).unwrap();
    world.chain = chain;
    let mut last = world.headers[HEIGHT as usize + 5];
    let branch: alloc::vec::Vec<_> = (0..10)
        .map(|_| {
            last = next_header(&last, TxMerkleNode::all_zeros());
            last
        })
        .collect();
    assert!(matches!(world.chain.extend(&branch), Err(HeaderError::Frozen(_))));
    let error = world.verify().unwrap_err();
    assert!(matches!(error, VerifyError::Frozen(_)));
    assert_eq!(error.rule(), Rule::ReorganisationDepth);
    world.chain.unfreeze(0);
    assert!(world.verify().is_ok());
}

#[test]
fn proof_chain_and_parameters_are_of_one_network() {
    let mut world = World::honest();
    world.proof.network = Network::Signet;
    let error = world.verify().unwrap_err();
    assert_eq!(error.to_string(), "proof is of signet, the header chain of regtest");
    assert_eq!(error.rule().to_string(), "rule 1 (network)");

    let mut world = World::honest();
    let secp = &world.secp;
    let signet: Schedule = local::schedule(secp, Network::Signet, local::Slashed::Burned).unwrap();
    world.schedule = signet;
    let error = world.verify().unwrap_err();
    assert_eq!(error.to_string(), "proof is of regtest, the parameters of signet");
    assert_eq!(error.rule(), Rule::Network);
}

#[test]
fn a_single_trusted_block_is_enough_for_one_confirmation() {
    let world = World::honest();
    let block = (world.proof.inclusion_height, world.proof.block_hash());
    let judged = |block, confirmations| {
        let policy = crate::Policy::new(Depth::Confirmations(confirmations));
        crate::verify_in_trusted_block(&world.secp, &world.proof, block, &world.schedule, &policy)
    };
    let included = judged(block, 1).unwrap();
    assert_eq!((included.outpoint(), included.tip()), (world.verify().unwrap().outpoint(), block));
    assert_eq!(included.confirmations(), 1);
    assert!(matches!(judged(block, 2), Err(VerifyError::Depth { confirmations: 1, .. })));

    let above = (block.0.saturating_add(1), block.1);
    assert!(
        matches!(judged(above, 1), Err(VerifyError::TrustedBlock { .. })),
        "the same block at another height"
    );
    let other = (block.0, world.headers[1].block_hash());
    assert!(matches!(judged(other, 1), Err(VerifyError::TrustedBlock { .. })), "another block");
}
