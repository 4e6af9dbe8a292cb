//! Scripts, trees and descriptors against opcodes assembled by hand, and the way back from a leaf.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

use bitcoin::blockdata::opcodes::all as op;
use bitcoin::blockdata::script::Builder;
use bitcoin::key::{Keypair, Secp256k1, TapTweak, TweakedPublicKey};
use bitcoin::secp256k1::{All, SecretKey};
use bitcoin::taproot::{LeafVersion, TapNodeHash};
use bitcoin::{Network, ScriptBuf, XOnlyPublicKey};
use miniscript::{Descriptor, Miniscript, Tap};
use proptest::prelude::*;
use tapstake_params::{Quorum, Timelock};
use tapstake_script::{
    LeafName, ParseLeafError, ParsedLeaf, Parties, Providers, StakeTerms, TermsError, nums_key,
};

fn key(secp: &Secp256k1<All>, n: u32) -> XOnlyPublicKey {
    let mut bytes = [1u8; 32];
    bytes[28..].copy_from_slice(&n.to_be_bytes());
    Keypair::from_secret_key(secp, &SecretKey::from_slice(&bytes).unwrap()).x_only_public_key().0
}

fn keys(secp: &Secp256k1<All>, numbers: std::ops::Range<u32>) -> Vec<XOnlyPublicKey> {
    numbers.map(|n| key(secp, n)).collect()
}

fn terms(seed: u32, providers: u32, members: u32, quorum: usize, time: u32, unbonding: u32) -> StakeTerms {
    let secp = Secp256k1::new();
    let from = seed.wrapping_mul(1000) % 4_000_000;
    let providers = Providers::new(keys(&secp, from + 1..from + 1 + providers)).unwrap();
    let covenant = Quorum::new(quorum, keys(&secp, from + 100..from + 100 + members)).unwrap();
    StakeTerms {
        parties: Parties::new(key(&secp, from), providers, covenant).unwrap(),
        staking_time: Timelock::new(time).unwrap(),
        unbonding_time: Timelock::new(unbonding).unwrap(),
    }
}

/// CHECKSIG, CHECKSIGADD …, threshold, comparison: or the single key with its own check.
fn hand_quorum(mut script: Builder, keys: &[XOnlyPublicKey], threshold: usize, verify: bool) -> Builder {
    if let [key] = keys {
        return script.push_x_only_key(key).push_opcode(if verify {
            op::OP_CHECKSIGVERIFY
        } else {
            op::OP_CHECKSIG
        });
    }
    for (i, key) in keys.iter().enumerate() {
        script = script.push_x_only_key(key).push_opcode(if i == 0 {
            op::OP_CHECKSIG
        } else {
            op::OP_CHECKSIGADD
        });
    }
    script.push_int(i64::try_from(threshold).unwrap()).push_opcode(if verify {
        op::OP_NUMEQUALVERIFY
    } else {
        op::OP_NUMEQUAL
    })
}

fn hand_timelock(terms: &StakeTerms, time: Timelock) -> ScriptBuf {
    Builder::new()
        .push_x_only_key(&terms.parties.staker())
        .push_opcode(op::OP_CHECKSIGVERIFY)
        .push_int(time.blocks().into())
        .push_opcode(op::OP_CSV)
        .into_script()
}

fn hand_unbonding(terms: &StakeTerms) -> ScriptBuf {
    let script = Builder::new().push_x_only_key(&terms.parties.staker()).push_opcode(op::OP_CHECKSIGVERIFY);
    let covenant = terms.parties.covenant();
    hand_quorum(script, covenant.keys(), covenant.threshold(), false).into_script()
}

fn hand_slashing(terms: &StakeTerms) -> ScriptBuf {
    let script = Builder::new().push_x_only_key(&terms.parties.staker()).push_opcode(op::OP_CHECKSIGVERIFY);
    let script = hand_quorum(script, terms.parties.providers().keys(), 1, true);
    let covenant = terms.parties.covenant();
    hand_quorum(script, covenant.keys(), covenant.threshold(), false).into_script()
}

fn hand_output(secp: &Secp256k1<All>, root: TapNodeHash) -> ScriptBuf {
    let (output_key, _) = nums_key().tap_tweak(secp, Some(root));
    ScriptBuf::new_p2tr_tweaked(TweakedPublicKey::dangerous_assume_tweaked(output_key.to_x_only_public_key()))
}

fn hash(script: &ScriptBuf) -> TapNodeHash {
    TapNodeHash::from_script(script, LeafVersion::TapScript)
}

fn any_terms() -> impl Strategy<Value = StakeTerms> {
    (any::<u32>(), 1u32..=5, 1u32..=20, 1u32..=20, 1u32..=65_535, 1u32..=65_535).prop_map(
        |(seed, providers, members, quorum, time, unbonding)| {
            terms(seed, providers, members, quorum.min(members) as usize, time, unbonding)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_output_is_what_opcodes_assembled_by_hand_give(terms in any_terms()) {
        let secp = Secp256k1::new();
        let (timelock, unbonding, slashing) =
            (hand_timelock(&terms, terms.staking_time), hand_unbonding(&terms), hand_slashing(&terms));
        let root = TapNodeHash::from_node_hashes(
            TapNodeHash::from_node_hashes(hash(&timelock), hash(&unbonding)),
            hash(&slashing),
        );
        let staking = terms.staking_output(&secp);
        prop_assert_eq!(&staking.timelock().script, &timelock);
        prop_assert_eq!(&staking.unbonding().script, &unbonding);
        prop_assert_eq!(&staking.slashing().script, &slashing);
        prop_assert_eq!(staking.merkle_root(), root);
        prop_assert_eq!(staking.script_pubkey(), &hand_output(&secp, root));

        let late = hand_timelock(&terms, terms.unbonding_time);
        let unbonding_output = terms.unbonding_output(&secp);
        let root = TapNodeHash::from_node_hashes(hash(&late), hash(&slashing));
        prop_assert_eq!(&unbonding_output.timelock().script, &late);
        prop_assert_eq!(unbonding_output.script_pubkey(), &hand_output(&secp, root));
        let refund = terms.refund_output(&secp);
        prop_assert_eq!(refund.script_pubkey(), &hand_output(&secp, hash(&late)));
    }

    #[test]
    fn descriptors_and_control_blocks_agree_with_the_output(terms in any_terms()) {
        let secp = Secp256k1::new();
        let (staking, unbonding, refund) =
            (terms.staking_output(&secp), terms.unbonding_output(&secp), terms.refund_output(&secp));
        for output in [&*staking, &*unbonding, &*refund] {
            let text = output.descriptor().to_string();
            let parsed: Descriptor<XOnlyPublicKey> = text.parse().unwrap();
            prop_assert_eq!(&parsed.script_pubkey(), output.script_pubkey());
            prop_assert_eq!(&output.address(Network::Signet).script_pubkey(), output.script_pubkey());
            prop_assert_eq!(output.tap_tree().script_leaves().count(), output.leaves().len());
            let output_key = XOnlyPublicKey::from_slice(&output.script_pubkey().as_bytes()[2..]).unwrap();
            for leaf in output.leaves() {
                prop_assert!(leaf.control_block.verify_taproot_commitment(&secp, output_key, &leaf.script));
                prop_assert_eq!(&leaf.miniscript().parse::<Miniscript<XOnlyPublicKey, Tap>>().unwrap().encode(), &leaf.script);
                // Miniscript counts a sighash byte for every signature; we never write one.
                let sighash_bytes = terms.parties.covenant().threshold() as u64 + 2;
                let bound = output.descriptor().max_weight_to_satisfy().unwrap();
                prop_assert!(leaf.witness_weight().to_wu() <= bound.to_wu() + 1);
                if leaf.name == LeafName::Slashing {
                    // That bound leaves out the byte that counts the items of an unsatisfied input.
                    prop_assert_eq!(leaf.witness_weight().to_wu() + sighash_bytes, bound.to_wu() + 1);
                }
            }
        }
    }

    #[test]
    fn every_leaf_reads_back_as_what_it_is(terms in any_terms()) {
        let secp = Secp256k1::new();
        let staking = terms.staking_output(&secp);
        let staker = terms.parties.staker();
        prop_assert_eq!(
            ParsedLeaf::parse(&staking.timelock().script),
            Ok(ParsedLeaf::Timelock { staker, time: terms.staking_time })
        );
        prop_assert_eq!(
            ParsedLeaf::parse(&staking.unbonding().script),
            Ok(ParsedLeaf::Unbonding { staker, covenant: terms.parties.covenant().clone() })
        );
        prop_assert_eq!(ParsedLeaf::parse(&staking.slashing().script), Ok(ParsedLeaf::Slashing(terms.parties)));
    }

    #[test]
    fn a_leaf_with_a_changed_byte_reads_as_something_else_or_not_at_all(
        terms in any_terms(), at in any::<prop::sample::Index>(), to in any::<u8>(),
    ) {
        let secp = Secp256k1::new();
        for leaf in terms.staking_output(&secp).leaves() {
            let mut bytes = leaf.script.to_bytes();
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != to);
            bytes[at] = to;
            let changed = ScriptBuf::from_bytes(bytes);
            prop_assert_ne!(ParsedLeaf::parse(&changed), ParsedLeaf::parse(&leaf.script));
        }
    }

    #[test]
    fn arbitrary_scripts_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = ParsedLeaf::parse(&ScriptBuf::from_bytes(bytes));
    }
}

#[test]
fn timelocks_are_minimal_script_numbers() {
    for (blocks, push) in [
        (1, vec![0x51]),
        (16, vec![0x60]),
        (17, vec![0x01, 0x11]),
        (127, vec![0x01, 0x7f]),
        (128, vec![0x02, 0x80, 0x00]),
        (255, vec![0x02, 0xff, 0x00]),
        (1000, vec![0x02, 0xe8, 0x03]),
        (32_767, vec![0x02, 0xff, 0x7f]),
        (32_768, vec![0x03, 0x00, 0x80, 0x00]),
        (64_000, vec![0x03, 0x00, 0xfa, 0x00]),
        (65_535, vec![0x03, 0xff, 0xff, 0x00]),
    ] {
        let secp = Secp256k1::new();
        let output = terms(7, 1, 3, 2, blocks, 1).staking_output(&secp);
        assert_eq!(output.timelock().script.as_bytes()[34..], [push, vec![0xb2]].concat(), "{blocks} blocks");
    }
}

#[test]
fn foreign_timelocks_beyond_the_range_are_refused() {
    let staker = key(&Secp256k1::new(), 1);
    for blocks in [0u32, 65_536, 0x0040_0001] {
        let script = Builder::new()
            .push_x_only_key(&staker)
            .push_opcode(op::OP_CHECKSIGVERIFY)
            .push_int(blocks.into())
            .push_opcode(op::OP_CSV)
            .into_script();
        let error = ParsedLeaf::parse(&script).unwrap_err();
        match blocks {
            0 => assert!(matches!(error, ParseLeafError::NotMiniscript(_)), "{error}"),
            _ => assert!(
                matches!(error, ParseLeafError::Timelock(e) if e.blocks == u64::from(blocks)),
                "{error}"
            ),
        }
    }
}

#[test]
fn leaves_of_another_order_or_shape_are_refused() {
    let secp = Secp256k1::new();
    let terms = terms(3, 2, 3, 2, 100, 10);
    let parties = &terms.parties;
    let staker = || Builder::new().push_x_only_key(&parties.staker()).push_opcode(op::OP_CHECKSIGVERIFY);
    let mut unsorted = parties.covenant().keys().to_vec();
    unsorted.reverse();
    let script = hand_quorum(staker(), &unsorted, 2, false).into_script();
    assert_eq!(ParsedLeaf::parse(&script), Err(ParseLeafError::NotCanonical));

    let two_of_two = hand_quorum(staker(), parties.providers().keys(), 2, true);
    let script = hand_quorum(two_of_two, parties.covenant().keys(), 2, false).into_script();
    assert_eq!(ParsedLeaf::parse(&script), Err(ParseLeafError::Shape));

    let script = hand_quorum(staker(), &[parties.staker()], 1, true);
    let script = hand_quorum(script, parties.covenant().keys(), 2, false).into_script();
    assert_eq!(
        ParsedLeaf::parse(&script),
        Err(ParseLeafError::Terms(TermsError::StakerIsProvider(parties.staker())))
    );

    let long = ScriptBuf::from_bytes(vec![0x51; 100_000]);
    assert_eq!(ParsedLeaf::parse(&long), Err(ParseLeafError::TooLong { length: 100_000 }));
    assert!(matches!(ParsedLeaf::parse(&ScriptBuf::new()), Err(ParseLeafError::NotMiniscript(_))));
    let bare = Builder::new().push_x_only_key(&key(&secp, 1)).push_opcode(op::OP_CHECKSIG).into_script();
    assert_eq!(ParsedLeaf::parse(&bare), Err(ParseLeafError::Shape));
}

#[test]
fn one_key_has_one_role() {
    let secp = Secp256k1::new();
    let [a, b, c, d] = [1, 2, 3, 4].map(|n| key(&secp, n));
    let covenant = || Quorum::new(1, vec![c, d]).unwrap();
    let new = |staker, provider| Parties::new(staker, Providers::one(provider), covenant()).map(|_| ());
    assert_eq!(new(a, b), Ok(()));
    assert_eq!(new(a, a), Err(TermsError::StakerIsProvider(a)));
    assert_eq!(new(c, b), Err(TermsError::StakerIsCovenant(c)));
    assert_eq!(new(a, d), Err(TermsError::ProviderIsCovenant(d)));
    assert!(matches!(Providers::new(vec![a, b, a]), Err(TermsError::Providers(_))));
    assert!(matches!(Providers::new(vec![]), Err(TermsError::Providers(_))));
}

#[test]
fn policies_read_as_what_the_leaf_asks() {
    let secp = Secp256k1::new();
    let terms = terms(9, 1, 1, 1, 144, 10);
    let (staker, provider) = (terms.parties.staker(), terms.parties.providers().keys()[0]);
    let member = terms.parties.covenant().keys()[0];
    let output = terms.staking_output(&secp);
    assert_eq!(output.timelock().policy(), format!("and(pk({staker}),older(144))"));
    assert_eq!(output.unbonding().policy(), format!("and(pk({staker}),pk({member}))"));
    assert_eq!(output.slashing().policy(), format!("and(pk({staker}),pk({provider}),pk({member}))"));
    assert!(
        output.descriptor().to_string().starts_with(&format!(
            "tr({},{{{{and_v(v:pk({staker}),older(144)),and_v(v:pk({staker}),pk({member}))}},and_v(and_v(v:pk({staker}),v:pk({provider})),pk({member}))}})#",
            nums_key()
        ))
    );
}
