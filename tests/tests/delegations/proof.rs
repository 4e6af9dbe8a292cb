//! A service that has the stake's proof and no delegation file slashes and unbonds all the same: verified means slashable.

use bitcoin::{Network, Txid};
use tapstake_params::Height;
use tapstake_regtest::Bitcoind;
use tapstake_tx::delegation::{Delegation, Verified};
use tapstake_verifier::{
    Claim, Depth, InclusionProof, MerkleBranch, Policy, Registration, ServicePolicy, StakeProof,
    VerifiedStake, VerifyError, verify_slashable_in_trusted_block,
};

use crate::stage::{CASTS, Slashed, Stage, key};

/// The proof of a stake that the best block makes.
fn proof(stage: &Stage<'_>, delegation: &Delegation<Verified>) -> StakeProof {
    let (stake, package) = (delegation.stake(), delegation.package());
    let block = stage.node.block(stage.node.best_block_hash().unwrap()).unwrap();
    let txids: Vec<Txid> = block.txdata.iter().map(|tx| tx.compute_txid()).collect();
    let index = txids.iter().position(|txid| *txid == stake.outpoint().txid).unwrap();
    let branch = |index| MerkleBranch::from_txids(&txids, index).unwrap();
    let (tx, coinbase) = (block.txdata[index].clone(), block.txdata[0].clone());
    StakeProof {
        network: Network::Regtest,
        vout: stake.outpoint().vout,
        claim: Claim {
            staker: package.staker,
            providers: package.providers,
            staking_time: package.staking_time,
            registration: Registration::None,
        },
        inclusion_height: stage.tip(),
        header: block.header,
        inclusion: InclusionProof::new(tx, branch(index), coinbase, branch(0)),
        own_headers: None,
        delegation: Some(package.parts),
    }
}

fn service(stage: &Stage<'_>) -> ServicePolicy {
    ServicePolicy::new(Policy::new(Depth::Confirmations(1)), stage.providers.iter().map(key))
}

/// What a service makes of a proof's bytes, with a node that knows the block.
fn judged(stage: &Stage<'_>, height: Height, proof: &StakeProof) -> Result<VerifiedStake, VerifyError> {
    let proof = StakeProof::from_bytes(&proof.to_bytes()).unwrap();
    let block = (height, stage.node.block_hash(height.to_u32()).unwrap());
    verify_slashable_in_trusted_block(&stage.secp, &proof, block, &stage.schedule, &service(stage))
}

#[test]
fn a_stake_that_a_service_verified_is_slashed_with_its_proof_and_the_evidence_alone() {
    let node = Bitcoind::start().unwrap();
    for cast in CASTS {
        let stage = Stage::new(&node, cast, Slashed::Burned);
        let [staked, unbonded] = [(); 2].map(|()| {
            let [delegation] = stage.locked();
            let (proof, height) = (proof(&stage, &delegation), stage.tip());
            let without = StakeProof { delegation: None, ..proof.clone() };
            assert_eq!(judged(&stage, height, &without), Err(VerifyError::NoDelegation));
            judged(&stage, height, &proof).unwrap()
        });
        let unbonding = unbonded.delegation().unbonding();
        let spend = unbonding.spend(unbonded.delegation().stake());
        let (_, signature) = spend.sign(&stage.secp, &stage.staker, &[0; 32]);
        stage.accepted(&unbonded.delegation().finish_unbonding(&stage.secp, signature).unwrap());

        let equivocation = stage.equivocation(&stage.providers[0]);
        let exposed = equivocation.exposed_key();
        stage.accepted(&staked.delegation().slash(&stage.secp, exposed).unwrap());
        stage.accepted(&unbonded.delegation().slash_unbonding(&stage.secp, exposed).unwrap());

        let provider = equivocation.provider();
        let mut policy = service(&stage);
        policy.slashed_providers.insert(provider);
        assert_eq!(staked.recheck_providers(&policy), Err(VerifyError::SlashedProvider { provider }));
    }
}
