//! A quorum is a number, not a minimum: one signature less and one more are refused by the script.

use bitcoin::Transaction;
use tapstake_crypto::adaptor;
use tapstake_regtest::Bitcoind;
use tapstake_script::Leaf;
use tapstake_tx::delegation::{CheckedDelegation, Delegation, DelegationError, SignedTx, Verified};
use tapstake_tx::{Signatures, WitnessError};
use tapstake_verifier::equivocation::VerifiedEquivocation;

use crate::stage::{CASTS, Slashed, Stage, by_hand, with_witness};

/// What a node says of a script that ends with another number of signatures than the quorum.
const NOT_THE_QUORUM: &str = "mempool-script-verify-flag-failed (Script evaluated without error but finished with a false/empty top stack element)";

/// One of the transactions on top of a stake, with the signatures of all who are to sign it.
struct Signed<'a> {
    tx: &'a Transaction,
    leaf: &'a Leaf,
    everybody: Signatures,
}

impl<'a> Signed<'a> {
    fn unbonding(stage: &Stage<'_>, delegation: &'a Delegation<Verified>) -> Self {
        let spend = delegation.unbonding().spend(delegation.stake());
        let covenant = &delegation.parts().covenant;
        let members = covenant.iter().map(|(member, given)| (*member, given.unbonding));
        let everybody = members.chain([spend.sign(&stage.secp, &stage.staker, &[0; 32])]).collect();
        Signed { tx: delegation.unbonding().tx(), leaf: spend.leaf(), everybody }
    }

    fn slashing(
        stage: &Stage<'_>,
        delegation: &'a Delegation<Verified>,
        equivocation: &VerifiedEquivocation,
        tx: SignedTx,
    ) -> Self {
        let exposed = equivocation.exposed_key();
        let (parties, staker) = (&delegation.stake().terms().parties, delegation.parts().staker.unwrap());
        let provider = parties.providers().as_quorum().position(&equivocation.provider()).unwrap();
        let (slashing, spend, staker) = if tx == SignedTx::Slashing {
            let slashing = delegation.slashing();
            (slashing, slashing.spend(delegation.stake().coin()), staker.slashing)
        } else {
            let slashing = delegation.unbonding_slashing();
            (slashing, slashing.spend(delegation.unbonding().coin()), staker.unbonding_slashing)
        };
        let covenant = delegation.parts().covenant.iter().map(|(member, given)| {
            let given = if tx == SignedTx::Slashing { &given.slashing } else { &given.unbonding_slashing };
            (*member, adaptor::decrypt(&given[provider], &equivocation.provider(), exposed).unwrap())
        });
        let own = spend.sign(&stage.secp, &exposed.keypair(&stage.secp), &[0; 32]);
        let everybody = covenant.chain([(parties.staker(), staker), own]).collect();
        Signed { tx: slashing.tx(), leaf: spend.leaf(), everybody }
    }

    /// With so many of the committee's signatures, put together by hand.
    fn of_members(&self, stage: &Stage<'_>, members: usize) -> Transaction {
        let mut signatures = self.everybody.clone();
        let committee = stage.params(0).covenant.keys();
        for member in committee.iter().filter(|member| self.everybody.contains_key(member)).skip(members) {
            signatures.remove(member);
        }
        with_witness(self.tx, by_hand(self.leaf, &signatures))
    }

    /// The node refuses it with this many members' signatures; `finished` is our own, of exactly a quorum, and accepted.
    fn only_the_quorum(&self, stage: &Stage<'_>, members: usize, finished: &Transaction) {
        assert_eq!(stage.refusal(&self.of_members(stage, members)), NOT_THE_QUORUM, "{members} members");
        let quorum = stage.params(0).covenant.threshold();
        assert_eq!(*finished, self.of_members(stage, quorum));
        stage.accepted(finished);
    }
}

/// All three transactions with this many members' signatures are refused by the node, and accepted as we finish them.
fn only_a_quorum_moves(stage: &Stage<'_>, members: usize, [staked, unbonded]: [&Delegation<Verified>; 2]) {
    let equivocation = stage.equivocation(&stage.providers[0]);
    let exposed = equivocation.exposed_key();
    let unbonding = stage.unbonding_tx(unbonded, &stage.staker);
    Signed::unbonding(stage, unbonded).only_the_quorum(stage, members, &unbonding);
    for (delegation, tx, finished) in [
        (staked, SignedTx::Slashing, staked.verified_parts().slash(&stage.secp, exposed).unwrap()),
        (
            unbonded,
            SignedTx::UnbondingSlashing,
            unbonded.verified_parts().slash_unbonding(&stage.secp, exposed).unwrap(),
        ),
    ] {
        Signed::slashing(stage, delegation, &equivocation, tx).only_the_quorum(stage, members, &finished);
    }
}

#[test]
fn one_signature_less_than_the_quorum_is_no_verified_delegation_and_refused_by_the_node() {
    let node = Bitcoind::start().unwrap();
    for cast in CASTS {
        let stage = Stage::new(&node, cast, Slashed::Paid);
        let (quorum, pre_signed) =
            (stage.params(0).covenant.threshold(), stage.pre_signed(&stage.staker, &stage.providers));
        let package = stage.signed(&pre_signed, stage.members(0, -1), &[]);
        match stage.check(&package) {
            CheckedDelegation::PartlySigned(delegation) => assert_eq!(delegation.missing(), 1),
            CheckedDelegation::PreSigned(delegation) if quorum == 1 => assert_eq!(delegation.missing(), 1),
            other => panic!("{other:?}"),
        }
        let refused = package.parts.check(&stage.secp, stage.params(0), pre_signed.stake());
        let too_few = DelegationError::Quorum { given: quorum - 1, needed: quorum, tx: SignedTx::Unbonding };
        assert_eq!(refused, Err(too_few));

        let [staked, unbonded] = stage.locked();
        only_a_quorum_moves(&stage, quorum - 1, [&staked, &unbonded]);
        // What the node refused before, we do not even put together.
        let signatures: Signatures =
            package.parts.covenant.iter().map(|(key, it)| (*key, it.unbonding)).collect();
        let ours = pre_signed.unbonding().finish(&stage.secp, pre_signed.stake(), &signatures);
        assert!(matches!(ours, Err(WitnessError::TooFew { .. })), "{ours:?}");
    }
}

#[test]
fn one_signature_more_than_the_quorum_is_refused_by_the_node_and_left_out_by_us() {
    let node = Bitcoind::start().unwrap();
    for cast in CASTS {
        let stage = Stage::new(&node, cast, Slashed::Burned);
        if !stage.has_spare_members() {
            continue;
        }
        let locked = [(); 2].map(|()| {
            let pre_signed = stage.pre_signed(&stage.staker, &stage.providers);
            stage.lock(&stage.signed(&pre_signed, stage.members(0, 1), &[]))
        });
        let quorum = stage.params(0).covenant.threshold();
        assert!(locked.iter().all(|delegation| delegation.signed_by().count() == quorum + 1));
        only_a_quorum_moves(&stage, quorum + 1, locked.each_ref());
    }
}
