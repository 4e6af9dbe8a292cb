//! Anyone slashes with the files and the exposed key alone; nobody with another key.

use bitcoin::key::Keypair;
use tapstake_crypto::ExposedKey;
use tapstake_crypto::adaptor::{self, AdaptorError};
use tapstake_regtest::Bitcoind;
use tapstake_tx::delegation::{Delegation, DelegationError, Verified};
use tapstake_tx::{Signatures, WitnessError};

use crate::stage::{CASTS, Slashed, Stage, by_hand, key, with_witness};

/// One key of a stake's providers opens the signatures encrypted to it, and none of the others.
fn opens_nothing_else(
    stage: &Stage<'_>,
    delegation: &Delegation<Verified>,
    exposed: &ExposedKey,
    others: &[Keypair],
) {
    let parties = &delegation.stake().terms().parties;
    let spend = delegation.slashing().spend(delegation.stake().coin());
    for other in others {
        let position =
            parties.providers().keys().iter().position(|provider| *provider == key(other)).unwrap();
        let mut signatures = Signatures::new();
        for (member, given) in &delegation.parts().covenant {
            let adaptor = &given.slashing[position];
            let refused = adaptor::decrypt(adaptor, &key(other), exposed);
            assert_eq!(refused, Err(AdaptorError::DecryptionKey { encryption_key: key(other) }));
            // Under the name of the key's own provider, so that something comes out.
            signatures.insert(*member, adaptor::decrypt(adaptor, &exposed.public_key(), exposed).unwrap());
        }
        signatures.insert(parties.staker(), delegation.parts().staker.unwrap().slashing);
        signatures.extend([spend.sign(&stage.secp, &exposed.keypair(&stage.secp), &[0; 32])]);
        let ours = delegation.slashing().finish(&stage.secp, delegation.stake().coin(), &signatures);
        assert!(matches!(ours, Err(WitnessError::BadSignature { .. })), "{ours:?}");
        let theirs =
            stage.refusal(&with_witness(delegation.slashing().tx(), by_hand(spend.leaf(), &signatures)));
        assert!(theirs.contains("Invalid Schnorr signature"), "{theirs}");
    }
}

/// A bystander slashes both outputs with each provider's key in turn; the refunds go back to the staker in time.
fn slash_with_every_provider(stage: &Stage<'_>) {
    for provider in &stage.providers {
        let others: Vec<_> = stage.providers.iter().filter(|it| *it != provider).copied().collect();
        let [staked, unbonded] = stage.locked();
        stage.accepted(&stage.unbonding_tx(&unbonded, &stage.staker));

        // From here on there is nothing but files: no key of anybody but what comes out of the evidence.
        let equivocation = stage.equivocation(provider);
        let exposed = equivocation.exposed_key();
        assert_eq!(exposed.public_key(), key(provider));
        opens_nothing_else(stage, &staked, exposed, &others);

        stage.accepted(&staked.verified_parts().slash(&stage.secp, exposed).unwrap());
        stage.withdrawn(staked.slashing().refund(), &stage.staker, stage.tip());
        stage.accepted(&unbonded.verified_parts().slash_unbonding(&stage.secp, exposed).unwrap());
        stage.withdrawn(unbonded.unbonding_slashing().refund(), &stage.staker, stage.tip());
    }
}

#[test]
fn anyone_burns_from_both_outputs_with_two_votes_and_the_delegations_file_alone() {
    let node = Bitcoind::start().unwrap();
    for cast in CASTS {
        slash_with_every_provider(&Stage::new(&node, cast, Slashed::Burned));
    }
}

#[test]
fn anyone_pays_out_from_both_outputs_with_two_votes_and_the_delegations_file_alone() {
    let node = Bitcoind::start().unwrap();
    for cast in CASTS {
        slash_with_every_provider(&Stage::new(&node, cast, Slashed::Paid));
    }
}

#[test]
fn a_stake_without_the_exposed_provider_is_untouched_by_its_key() {
    let node = Bitcoind::start().unwrap();
    let stage = Stage::new(&node, (2, (3, 5)), Slashed::Burned);
    let [bad, good] = [stage.providers[0], stage.providers[1]];
    let safe = stage.locked_by(&stage.staker, &[good], 1).remove(0);
    let exposed = stage.equivocation(&bad);
    let unknown = DelegationError::UnknownProvider { key: key(&bad) };
    assert_eq!(safe.verified_parts().slash(&stage.secp, exposed.exposed_key()), Err(unknown.clone()));
    assert_eq!(safe.verified_parts().slash_unbonding(&stage.secp, exposed.exposed_key()), Err(unknown));
    assert!(node.is_unspent(safe.stake().outpoint()).unwrap());
    stage.accepted(
        &safe.verified_parts().slash(&stage.secp, stage.equivocation(&good).exposed_key()).unwrap(),
    );
}
