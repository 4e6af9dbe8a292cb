//! A live stake moves into a larger one, of the next parameters and their committee, by the old committee's leave.

use bitcoin::{Amount, Network, TxOut};
use tapstake_regtest::Bitcoind;
use tapstake_tx::delegation::{
    CheckedDelegation, Delegation, DelegationError, PreSigned, SignedTx, Verified,
};
use tapstake_tx::{ExpansionTx, Funding, Signatures};

use crate::stage::{
    CASTS, SLASHING_FEE, Slashed, Stage, VALUE, by_hand, home, key, verified, wallet_witness, with_witness,
};

const MORE: Amount = Amount::from_sat(50_000);
const FUNDING: Amount = Amount::from_sat(60_000);
const CHANGE: Amount = Amount::from_sat(7_000);

/// The expansion of a live stake, with everything its staker signs.
fn pre_signed(stage: &Stage<'_>, previous: &Delegation<Verified>) -> Delegation<PreSigned> {
    let (outpoint, prevout) = stage.coin(FUNDING);
    let change = vec![TxOut { value: CHANGE, script_pubkey: home() }];
    let terms = stage.terms(1, &stage.staker, &stage.providers);
    let (old, funding) = (previous.stake(), Funding { outpoint, prevout, change });
    let expansion = ExpansionTx::build(&stage.secp, old, terms, VALUE + MORE, funding).unwrap();
    let mut funded = expansion.tx().clone();
    funded.input[1].witness = wallet_witness();
    let (new_params, old_params) = (stage.params(1), stage.params(0));
    let (secp, network) = (&stage.secp, Network::Regtest);
    Delegation::expand(secp, network, new_params, old, old_params, &expansion, SLASHING_FEE)
        .unwrap()
        .fund(&funded)
        .unwrap()
        .sign(secp, &stage.staker, &[0; 32], stage.possession(&stage.staker))
        .unwrap()
}

/// The signatures on input 0, put together by hand: the staker's, and those of so many of the old committee.
fn input_0(expansion: &Delegation<Verified>, members: usize) -> Signatures {
    let part = expansion.package().expansion.unwrap();
    let staker = (expansion.package().staker, part.staker.unwrap());
    part.covenant.into_iter().take(members).chain([staker]).collect()
}

#[test]
fn a_live_stake_moves_into_a_larger_one_which_is_then_slashed_and_unbonded() {
    let node = Bitcoind::start().unwrap();
    for cast in CASTS {
        let stage = Stage::new(&node, cast, Slashed::Burned);
        // One of the old committee more than is needed, where there is one: it is left out.
        let (new_members, old_members) =
            (stage.members(1, 0), stage.members(0, isize::from(stage.has_spare_members())));
        let [slashed, unbonded] = stage.locked().map(|previous: Delegation<Verified>| {
            let package = stage.signed(&pre_signed(&stage, &previous), new_members, old_members);
            let expansion = stage.lock(&package);
            assert!(!node.is_unspent(previous.stake().outpoint()).unwrap());
            assert!(node.is_unspent(expansion.stake().outpoint()).unwrap());
            assert_eq!(expansion.stake().value(), VALUE + MORE);
            (previous, expansion)
        });
        let equivocation = stage.equivocation(stage.providers.last().unwrap());
        let exposed = equivocation.exposed_key();

        let (previous, expansion) = slashed;
        let gone = "missing-inputs";
        assert_eq!(stage.refusal(&previous.verified_parts().slash(&stage.secp, exposed).unwrap()), gone);
        assert_eq!(stage.refusal(&stage.unbonding_tx(&previous, &stage.staker)), gone);
        stage.accepted(&expansion.verified_parts().slash(&stage.secp, exposed).unwrap());
        stage.withdrawn(expansion.slashing().refund(), &stage.staker, stage.tip());

        let (_, expansion) = unbonded;
        stage.accepted(&stage.unbonding_tx(&expansion, &stage.staker));
        if cast.0 == 1 {
            stage.withdrawn(expansion.unbonding().coin(), &stage.staker, stage.tip());
        } else {
            stage.accepted(&expansion.verified_parts().slash_unbonding(&stage.secp, exposed).unwrap());
            stage.withdrawn(expansion.unbonding_slashing().refund(), &stage.staker, stage.tip());
        }
    }
}

#[test]
fn an_expansion_moves_nothing_without_exactly_the_old_quorum() {
    let node = Bitcoind::start().unwrap();
    for cast in [(2, (3, 5)), (1, (6, 9)), (1, (15, 20))] {
        let stage = Stage::new(&node, cast, Slashed::Paid);
        let [previous] = stage.locked();
        let pre_signed = pre_signed(&stage, &previous);

        // The new committee alone cannot let go of what the old one guards.
        for old_members in [&[][..], stage.members(0, -1)] {
            let package = stage.signed(&pre_signed, stage.members(1, 0), old_members);
            let CheckedDelegation::PartlySigned(delegation) = stage.check(&package) else {
                panic!("{package:?}")
            };
            let quorum = stage.params(0).covenant.threshold();
            assert_eq!(
                (delegation.missing(), delegation.missing_previous()),
                (0, quorum - old_members.len())
            );
        }
        let newcomer = stage.members(1, 0).iter().find(|it| !stage.params(0).covenant.contains(&key(it)));
        let newcomer = newcomer.expect("the new committee has a member that the old one has not");
        let signature = pre_signed.expansion_signature(&stage.secp, newcomer, &[0; 32]).unwrap();
        let refused = pre_signed.clone().add_previous(&stage.secp, key(newcomer), signature).unwrap_err();
        let unknown = DelegationError::UnknownMember { member: key(newcomer), tx: SignedTx::Expansion };
        assert_eq!(refused, unknown);

        // One too few and one too many, by hand.
        let package = stage.signed(&pre_signed, stage.members(1, 0), stage.members(0, 1));
        let whole = verified(stage.check(&package));
        let (tx, quorum) = (whole.staking_tx().unwrap(), stage.params(0).covenant.threshold());
        let leaf = previous.stake().coin().output.unbonding();
        for members in [quorum - 1, quorum + 1] {
            let theirs = stage.refusal(&with_witness(&tx, by_hand(leaf, &input_0(&whole, members))));
            assert!(theirs.contains("finished with a false/empty top stack element"), "{theirs}");
        }
        assert_eq!(tx, with_witness(&tx, by_hand(leaf, &input_0(&whole, quorum))));
        assert!(node.is_unspent(previous.stake().outpoint()).unwrap());
        stage.accepted(&tx);
    }
}

#[test]
fn an_expansion_whose_funding_is_not_what_was_said_is_refused_by_the_node_and_locks_nothing() {
    let node = Bitcoind::start().unwrap();
    let stage = Stage::new(&node, (1, (3, 5)), Slashed::Burned);
    let [previous] = stage.locked();
    let honest = pre_signed(&stage, &previous);
    let package = stage.signed(&honest, stage.members(1, 0), stage.members(0, 0));
    // Everybody's signature on input 0 commits to the funding: another value in the file is found out by each of them.
    let mut lie = package.clone();
    lie.prevouts[1].value += Amount::from_sat(1);
    assert_eq!(lie.check(&stage.secp, &stage.schedule).unwrap_err().rule(), "staker-signature");
    // And a committee that was told so from the beginning signs what no node takes.
    lie.expansion.as_mut().unwrap().staker = None;
    lie.expansion.as_mut().unwrap().covenant.clear();
    lie.parts.covenant.clear();
    let CheckedDelegation::PreSigned(lied) = stage.check(&lie) else { panic!("{lie:?}") };
    let spend = lied.expansion().unwrap().spend(previous.stake());
    let (_, signature) = spend.sign(&stage.secp, &stage.staker, &[0; 32]);
    let lied = lied.sign_expansion(&stage.secp, signature).unwrap();
    let signed = stage.signed(&lied, stage.members(1, 0), stage.members(0, 0));
    let theirs = stage.refusal(&verified(stage.check(&signed)).staking_tx().unwrap());
    assert!(theirs.contains("Invalid Schnorr signature"), "{theirs}");
    stage.accepted(&verified(stage.check(&package)).staking_tx().unwrap());
}
