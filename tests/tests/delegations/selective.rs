//! A provider that slashes one staker of its own choice gives its key away with the slashing, and all its stakes with it.

use std::collections::BTreeMap;

use bitcoin::key::Keypair;
use bitcoin::secp256k1::schnorr::Signature;
use bitcoin::secp256k1::{Parity, Scalar, SecretKey};
use bitcoin::{Transaction, XOnlyPublicKey};
use tapstake_crypto::adaptor::AdaptorSignature;
use tapstake_regtest::Bitcoind;
use tapstake_tx::Signatures;
use tapstake_tx::delegation::{CovenantSignatures, Delegation, Verified};
use tapstake_verifier::equivocation::{Equivocation, Evidence, SelectiveSlashing};

use crate::stage::{Slashed, Stage, key};

/// A decryption with nothing but the provider's secret: `s + y`, or `s - y` if the nonce is odd.
fn decrypted(adaptor: &AdaptorSignature, provider: &Keypair) -> Signature {
    let bytes = adaptor.to_bytes();
    let mut y = provider.secret_key();
    if provider.x_only_public_key().1 == Parity::Odd {
        y = y.negate();
    }
    if bytes[0] == 3 {
        y = y.negate();
    }
    let s = SecretKey::from_slice(&bytes[33..]).unwrap().add_tweak(&Scalar::from(y)).unwrap();
    Signature::from_slice(&[&bytes[1..33], &s.secret_bytes()].concat()).unwrap()
}

type Given = fn(&CovenantSignatures) -> &[AdaptorSignature];

/// What a delegation's file holds for one of its providers.
fn adaptors(
    delegation: &Delegation<Verified>,
    provider: &Keypair,
    given: Given,
) -> BTreeMap<XOnlyPublicKey, AdaptorSignature> {
    let providers = delegation.stake().terms().parties.providers().keys();
    let position = providers.iter().position(|it| *it == key(provider)).unwrap();
    let covenant = &delegation.parts().covenant;
    covenant.iter().map(|(member, signatures)| (*member, given(signatures)[position])).collect()
}

/// The slashing that a provider completes by itself, of the unbonding output if it is `late`.
fn slashed_by_its_provider(
    stage: &Stage<'_>,
    delegation: &Delegation<Verified>,
    provider: &Keypair,
    late: bool,
) -> Transaction {
    let (stake, staker) = (delegation.stake(), delegation.parts().staker.unwrap());
    let parties = &stake.terms().parties;
    let covenant = adaptors(delegation, provider, given(late)).into_iter();
    let mut signatures: Signatures =
        covenant.map(|(member, adaptor)| (member, decrypted(&adaptor, provider))).collect();
    if late {
        let (slashing, coin) = (delegation.unbonding_slashing(), delegation.unbonding().coin());
        signatures.insert(parties.staker(), staker.unbonding_slashing);
        signatures.extend([slashing.spend(coin).sign(&stage.secp, provider, &[0; 32])]);
        slashing.finish(&stage.secp, coin, &signatures).unwrap()
    } else {
        let slashing = delegation.slashing();
        signatures.insert(parties.staker(), staker.slashing);
        signatures.extend([slashing.spend(stake.coin()).sign(&stage.secp, provider, &[0; 32])]);
        slashing.finish(&stage.secp, stake.coin(), &signatures).unwrap()
    }
}

fn given(late: bool) -> Given {
    if late { |signatures| &signatures.unbonding_slashing } else { |signatures| &signatures.slashing }
}

/// The provider slashes the first staker; from the chain and that delegation's file a bystander slashes the second.
fn slash_one_lose_all(stage: &Stage<'_>, late: bool) {
    for (position, provider) in stage.providers.iter().enumerate() {
        let [victim] = stage.locked();
        let others = stage.locked_by(&stage.other_staker(), &[*provider], 2);
        if late {
            stage.accepted(&stage.unbonding_tx(&victim, &stage.staker));
        }
        let txid = {
            let slashing = slashed_by_its_provider(stage, &victim, provider, late);
            stage.accepted(&slashing);
            slashing.compute_txid()
        };

        // What the chain and the file say, and nothing else.
        let slashing_tx = stage.node.transaction(txid).unwrap();
        let spent = slashing_tx.input[0].previous_output;
        let prevout = stage.node.transaction(spent.txid).unwrap().output[spent.vout as usize].clone();
        let evidence = |encrypted_to: &Keypair| {
            Evidence::SelectiveSlashing(Box::new(SelectiveSlashing {
                slashing_tx: slashing_tx.clone(),
                prevout: prevout.clone(),
                provider: key(provider),
                adaptor_signatures: adaptors(&victim, encrypted_to, given(late)),
            }))
        };
        let equivocation = stage.verify_evidence(&evidence(provider));
        assert_eq!(equivocation.provider(), key(provider));
        let staker = key(&stage.staker);
        assert_eq!(*equivocation.equivocation(), Equivocation::Slashing { staker, spent, txid });
        // Those encrypted to another provider say nothing of this one.
        let other = &stage.providers[(position + 1) % stage.providers.len()];
        if other != provider {
            assert_eq!(evidence(other).verify(&stage.secp).unwrap_err().rule(), "extraction");
        }

        let exposed = equivocation.exposed_key();
        stage.accepted(&others[0].verified_parts().slash(&stage.secp, exposed).unwrap());
        stage.accepted(&stage.unbonding_tx(&others[1], &stage.other_staker()));
        stage.accepted(&others[1].verified_parts().slash_unbonding(&stage.secp, exposed).unwrap());
        let refund = others[1].unbonding_slashing().refund();
        stage.withdrawn(refund, &stage.other_staker(), stage.tip());
    }
}

#[test]
fn a_provider_that_slashes_one_stake_by_itself_loses_its_others_to_anyone() {
    let node = Bitcoind::start().unwrap();
    for cast in [(1, (1, 1)), (2, (3, 5)), (5, (6, 9))] {
        slash_one_lose_all(&Stage::new(&node, cast, Slashed::Burned), false);
    }
}

#[test]
fn a_provider_that_slashes_one_unbonding_stake_by_itself_loses_its_others_to_anyone() {
    let node = Bitcoind::start().unwrap();
    for cast in [(1, (15, 20)), (2, (3, 5))] {
        slash_one_lose_all(&Stage::new(&node, cast, Slashed::Paid), true);
    }
}
