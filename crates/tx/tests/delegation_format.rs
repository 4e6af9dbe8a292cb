//! The delegation file, in JSON and in bytes: what goes in comes out, and nothing else is taken.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

mod common;

use std::time::{Duration, Instant};

use bitcoin::consensus::serialize;
use bitcoin::hashes::{Hash, sha256};
use bitcoin::hex::{DisplayHex, FromHex};
use bitcoin::{Amount, OutPoint, Sequence, TxIn, Witness};
use common::delegation::{default_world, some_witness};
use common::{World, key, keypair, outpoint, world};
use proptest::prelude::*;
use tapstake_params::Timelock;
use tapstake_tx::ReadError;
use tapstake_tx::delegation::{
    DelegationPackage, DelegationParts, ExpansionPart, MAX_PACKAGE_BYTES, MAX_PACKAGE_JSON_BYTES,
    PackageDecodeError, PackageVersion, PreviousStake, StakingTx,
};

/// A delegation in each shape: nobody has signed, the staker has, some members, all of them, of an expansion.
fn packages(world: &World) -> Vec<DelegationPackage> {
    let all = world.covenant.len();
    let mut expansion = world.signed_by(all.min(2));
    let signature = expansion.parts.staker.unwrap().slashing;
    expansion.expansion = Some(ExpansionPart {
        previous: PreviousStake {
            outpoint: outpoint(4),
            value: Amount::from_sat(5),
            params_version: 6,
            staking_time: Timelock::new(7).unwrap(),
        },
        staker: Some(signature),
        covenant: [(key(&keypair(8)), signature)].into(),
    });
    let mut barely = expansion.clone();
    barely.expansion.as_mut().unwrap().staker = None;
    barely.expansion.as_mut().unwrap().covenant.clear();
    let draft = world.draft().package();
    vec![
        draft.clone().without_witnesses(),
        draft,
        world.signed_by(0),
        world.signed_by(all),
        expansion,
        barely,
    ]
}

fn error(bytes: &[u8]) -> PackageDecodeError {
    DelegationPackage::from_bytes(bytes).expect_err("bytes that are no delegation")
}

#[test]
fn bytes_and_json_give_back_what_went_in() {
    for world in [default_world(), world(1, (1, 1)), world(5, (15, 20))] {
        for package in packages(&world) {
            assert_eq!(DelegationPackage::from_bytes(&package.to_bytes()).unwrap(), package);
            for text in
                [serde_json::to_string(&package).unwrap(), serde_json::to_string_pretty(&package).unwrap()]
            {
                assert_eq!(serde_json::from_str::<DelegationPackage>(&text).unwrap(), package);
            }
            let parts = serde_json::to_string(&package.parts).unwrap();
            assert_eq!(serde_json::from_str::<DelegationParts>(&parts).unwrap(), package.parts);
            let mut bytes = Vec::new();
            package.parts.encode(&mut bytes);
            bytes.extend([1, 2, 3]);
            let mut rest = bytes.as_slice();
            assert_eq!(DelegationParts::decode(&mut rest).unwrap(), package.parts);
            assert_eq!(rest, [1, 2, 3]);
        }
    }
}

#[test]
fn every_changed_byte_of_the_binary_form_is_refused() {
    let world = world(1, (2, 3));
    for package in packages(&world) {
        let bytes = package.to_bytes();
        for position in 0..bytes.len() {
            for change in [0x01, 0x02, 0x20, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[position] ^= change;
                let refusal = DelegationPackage::from_bytes(&changed);
                assert!(refusal.is_err(), "byte {position} changed by {change:#04x}");
            }
        }
    }
}

#[test]
fn every_changed_byte_of_the_json_form_is_refused_but_for_one_blank_instead_of_another() {
    let world = world(1, (2, 3));
    let blank = |byte: &u8| b" \t\r\n".contains(byte);
    // A draft, and one that has everything.
    let packages = packages(&world);
    for package in [&packages[0], &packages[4]] {
        let text = serde_json::to_string_pretty(package).unwrap().into_bytes();
        for position in 0..text.len() {
            // Upper case, the neighbours, a blank, and what is no text at all.
            for change in [0x01, 0x02, 0x04, 0x20, 0x80] {
                let mut changed = text.clone();
                changed[position] ^= change;
                if blank(&text[position]) && blank(&changed[position]) {
                    continue;
                }
                let refusal = serde_json::from_slice::<DelegationPackage>(&changed);
                assert!(refusal.is_err(), "byte {position} changed by {change:#04x}");
            }
        }
    }
}

/// The checksum as documented: SHA-256 over the tag's hash twice and the content.
fn with_checksum(content: &[u8]) -> Vec<u8> {
    let tag = sha256::Hash::hash(b"tapstake/delegation").to_byte_array();
    let checksum = sha256::Hash::hash(&[&tag[..], &tag, content].concat()).to_byte_array();
    [content, &checksum].concat()
}

#[test]
fn an_attacker_who_mends_the_checksum_changes_nothing_but_witnesses_and_prevouts() {
    let world = world(1, (2, 3));
    let package = world.signed_by(3);
    let bytes = package.to_bytes();
    let content = &bytes[..bytes.len() - 32];
    assert_eq!(with_checksum(content), bytes);

    // What no signature in the file commits to: nodes judge the one, and the other is the staker's word.
    let place = |part: &[u8]| {
        let start = content.windows(part.len()).position(|window| window == part).unwrap();
        start..start + part.len()
    };
    let open = [place(&serialize(&some_witness())), place(&serialize(&package.prevouts[0]))];
    let mut taken = 0;
    for position in 0..content.len() {
        for change in [0x01, 0x10, 0xff] {
            let mut changed = content.to_vec();
            changed[position] ^= change;
            let Ok(read) = DelegationPackage::from_bytes(&with_checksum(&changed)) else { continue };
            if world.check(&read).is_ok() {
                assert!(
                    open.iter().any(|range| range.contains(&position)),
                    "byte {position} ^ {change:#04x}"
                );
                taken += 1;
            }
        }
    }
    assert!(taken > 0, "witnesses are not judged here");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = DelegationPackage::from_bytes(&bytes);
        let _ = DelegationParts::decode(&mut bytes.as_slice());
        let headed = [b"tsdl\x01\x00\xfa\xbf\xb5\xda".as_slice(), &bytes].concat();
        prop_assert!(DelegationPackage::from_bytes(&headed).is_err());
    }
}

#[test]
fn bytes_cut_off_anywhere_are_refused_with_the_field_they_end_in() {
    let world = world(1, (2, 3));
    for package in packages(&world) {
        let bytes = package.to_bytes();
        for length in 0..bytes.len() {
            assert!(matches!(
                error(&bytes[..length]),
                PackageDecodeError::Read(ReadError::Truncated { .. })
                    | PackageDecodeError::Read(ReadError::Consensus { .. })
            ));
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(error(&longer).to_string(), "1 bytes after the end of the delegation");
        assert_eq!(error(&bytes[..3]).to_string(), "delegation is truncated in magic");
    }
}

#[test]
fn versions_and_magic_are_told_apart() {
    let bytes = default_world().draft().package().to_bytes();
    assert!(matches!(error(b"tspf\x01\x00"), PackageDecodeError::Magic));
    let mut newer = bytes.clone();
    newer[4] = 2;
    assert!(matches!(error(&newer), PackageDecodeError::Version { found: 2, known: 1 }));
    let mut elsewhere = bytes;
    elsewhere[6] ^= 1;
    assert!(matches!(error(&elsewhere), PackageDecodeError::Read(ReadError::Network { .. })));

    let newer = r#"{"version": 2, "what": "ever"}"#;
    let version: PackageVersion = serde_json::from_str(newer).unwrap();
    assert!(matches!(version.check(), Err(PackageDecodeError::Version { found: 2, known: 1 })));
    let refusal = serde_json::from_str::<DelegationPackage>(newer).unwrap_err().to_string();
    assert!(refusal.starts_with("delegation of version 2: this program reads version 1"), "{refusal}");
}

#[test]
fn json_with_a_field_too_many_too_few_or_twice_is_refused() {
    let package = default_world().signed_by(3);
    let text = serde_json::to_string(&package).unwrap();
    let refusal = |text: String| serde_json::from_str::<DelegationPackage>(&text).unwrap_err().to_string();
    assert!(refusal(text.replacen("{", r#"{"more": 1, "#, 1)).contains("unknown field `more`"));
    assert!(refusal(text.replacen(r#""vout":1,"#, "", 1)).contains("missing field `vout`"));
    assert!(refusal(text.replacen(r#""vout":1,"#, r#""vout":1,"vout":1,"#, 1)).contains("duplicate field"));

    // One member twice: which of the two counts is nobody's to guess.
    let member = serde_json::to_string(&package.parts.covenant).unwrap();
    let entries = &member[1..member.len() - 1];
    let twice = text.replacen(entries, &format!("{entries},{entries}"), 1);
    assert!(refusal(twice).contains("appears twice"));
}

#[test]
fn witnesses_where_signatures_stand_beside_are_refused() {
    let world = default_world();
    for field in 0..3 {
        let mut package = world.draft().package();
        let parts = &mut package.parts;
        let txs = [&mut parts.unbonding_tx, &mut parts.slashing_tx, &mut parts.unbonding_slashing_tx];
        txs.into_iter().nth(field).unwrap().input[0].witness = some_witness();
        assert!(matches!(error(&package.to_bytes()), PackageDecodeError::Witness { .. }));
        let text = serde_json::to_string(&package).unwrap();
        let refusal = serde_json::from_str::<DelegationPackage>(&text).unwrap_err().to_string();
        assert!(refusal.contains("carries a witness"), "{refusal}");
    }
}

/// The offsets of what the binary form counts: providers, prevouts and members.
fn with_count(bytes: &[u8], at: usize, count: &[u8]) -> Vec<u8> {
    [&bytes[..at], count, &bytes[at + 1..]].concat()
}

#[test]
fn absurd_counts_are_refused_before_anything_is_read_for_them() {
    let world = world(1, (2, 3));
    let package = world.signed_by(2);
    let bytes = package.to_bytes();
    let providers = 4 + 2 + 4 + 4 + 32;
    assert_eq!(bytes[providers], 1);
    for (count, varint) in [
        (65, &[65][..]),
        (0xffff, &[0xfd, 0xff, 0xff]),
        (0xffff_ffff, &[0xfe, 0xff, 0xff, 0xff, 0xff]),
        (u64::MAX, &[0xff; 9]),
    ] {
        let refusal = error(&with_count(&bytes, providers, varint));
        assert!(
            matches!(refusal, PackageDecodeError::Count { field: "providers", count: c, most: 64 } if c == count)
        );
    }
    assert!(matches!(error(&with_count(&bytes, providers, &[0])), PackageDecodeError::Providers(_)));
    // A count in more bytes than it needs.
    assert!(matches!(
        error(&with_count(&bytes, providers, &[0xfd, 1, 0])),
        PackageDecodeError::Read(ReadError::Consensus { .. })
    ));
    // Inputs and outputs of the staking transaction.
    let staking_tx = providers + 1 + 32 + 2 + 8 + 4;
    let inputs = staking_tx + 4 + 2;
    assert_eq!(bytes[inputs], 1);
    let absurd = with_count(&bytes, inputs, &[0xfe, 0xff, 0xff, 0xff, 0x00]);
    assert!(matches!(
        error(&absurd),
        PackageDecodeError::Read(ReadError::Truncated { field: "staking_tx", .. })
            | PackageDecodeError::Read(ReadError::Consensus { field: "staking_tx", .. })
    ));

    // In JSON: more entries than there can be, though each is right.
    let mut many = package.clone();
    let given = many.parts.covenant.values().next().unwrap().clone();
    many.parts.covenant = (0..65).map(|n| (key(&keypair(n)), given.clone())).collect();
    let refusal = |package: &DelegationPackage| {
        let text = serde_json::to_string(package).unwrap();
        let refusal = serde_json::from_str::<DelegationPackage>(&text).unwrap_err().to_string();
        let binary = DelegationPackage::from_bytes(&package.to_bytes()).unwrap_err();
        assert!(matches!(binary, PackageDecodeError::Count { .. }));
        refusal
    };
    assert!(refusal(&many).contains("more than 64 members"));
    let mut many = package.clone();
    let member = many.parts.covenant.values_mut().next().unwrap();
    member.slashing = vec![member.slashing[0]; 65];
    assert!(refusal(&many).contains("more than 64 entries"));
    let mut many = package;
    many.prevouts = vec![many.prevouts[0].clone(); 2_501];
    assert!(refusal(&many).contains("more than 2500 entries"));
}

#[test]
fn a_hundred_megabytes_are_refused_at_once() {
    let mut bytes = default_world().draft().package().to_bytes();
    bytes.resize(100_000_000, 0);
    let started = Instant::now();
    assert!(matches!(
        error(&bytes),
        PackageDecodeError::Size { actual: 100_000_000, most: MAX_PACKAGE_BYTES }
    ));
    assert!(started.elapsed() < Duration::from_millis(100), "{:?}", started.elapsed());

    // In JSON nothing is decoded of a text that is too long for any delegation.
    let text = serde_json::to_string(&default_world().draft().package()).unwrap();
    let long = text.replacen(r#""staking_tx":""#, &format!(r#""staking_tx":"{}"#, "00".repeat(5_000_000)), 1);
    let refusal = serde_json::from_str::<DelegationPackage>(&long).unwrap_err().to_string();
    assert!(refusal.contains("is no part of a delegation"), "{refusal}");

    // The largest delegation there can be fits: 64 of 64 members, 64 providers.
    let world = world(64, (33, 64));
    let mut package = world.pre_signed().package();
    let given = world.pre_signed().covenant_signatures(&world.secp, &world.covenant[0], &[0; 32]);
    package.parts.covenant = world.covenant.iter().map(|member| (key(member), given.clone())).collect();
    let (bytes, text) = (package.to_bytes(), serde_json::to_string_pretty(&package).unwrap());
    assert!(bytes.len() < MAX_PACKAGE_BYTES, "{}", bytes.len());
    assert!(text.len() < MAX_PACKAGE_JSON_BYTES, "{}", text.len());
    assert_eq!(DelegationPackage::from_bytes(&bytes).unwrap(), package);
}

#[test]
fn the_staking_transaction_keeps_its_witnesses_in_the_file() {
    let mut package = default_world().draft().package();
    let mut tx = package.staking_tx.unsigned().clone();
    tx.input.push(TxIn {
        previous_output: OutPoint { vout: 3, ..outpoint(3) },
        sequence: Sequence::MAX,
        ..TxIn::default()
    });
    tx.input[0].witness = Witness::new();
    tx.input[1].witness = some_witness();
    package.staking_tx = StakingTx::from(tx);
    let read = DelegationPackage::from_bytes(&package.to_bytes()).unwrap();
    assert_eq!((read.staking_tx.has_witness(0), read.staking_tx.has_witness(1)), (false, true));
    assert_eq!(read, package);
    assert!(!read.without_witnesses().staking_tx.has_witness(1));
}

/// A delegation of 3 of 5 members and two providers, kept as it was first written: what is read today is read tomorrow.
#[test]
fn the_recorded_delegation_reads_and_writes_as_ever() {
    let recorded = include_str!("../../../fixtures/delegation/package.json");
    let hex = include_str!("../../../fixtures/delegation/package.hex").trim();
    let package: DelegationPackage = serde_json::from_str(recorded).unwrap();
    assert_eq!(serde_json::to_string_pretty(&package).unwrap(), recorded.trim_end());
    assert_eq!(package.to_bytes().to_lower_hex_string(), hex);
    assert_eq!(DelegationPackage::from_bytes(&Vec::from_hex(hex).unwrap()).unwrap(), package);
    let world = default_world();
    assert_eq!(package, world.verified().package());
    assert!(world.check(&package).is_ok());
}

#[test]
fn the_documented_fields_and_sizes_are_those_of_the_format() {
    let docs = include_str!("../../../docs/delegation-format.md");
    let recorded: serde_json::Value =
        serde_json::from_str(include_str!("../../../fixtures/delegation/package.json")).unwrap();
    let fields = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    for field in fields(&recorded).iter().chain(&fields(&recorded["parts"])) {
        assert!(docs.contains(&format!("| `{field}` |")), "{field} is not documented");
    }

    // Fixed parts of one delegation of n providers: all but the transactions, the prevout and the proof.
    for (members, providers) in [(0, 1), (3, 1), (0, 5), (5, 5)] {
        let world = world(providers, (3, 5));
        let package = world.signed_by(members);
        let n = usize::try_from(providers).unwrap();
        let parts = &package.parts;
        let mut tx = package.staking_tx.unsigned().clone();
        tx.input[0].witness = some_witness();
        let txs = [&tx, &parts.unbonding_tx, &parts.slashing_tx, &parts.unbonding_slashing_tx];
        let proof = parts.possession.as_ref().unwrap().to_bytes().len();
        let head = 4 + 2 + 4 + 4 + 32 + (1 + 32 * n) + 2 + 8 + 4;
        let prevouts = 1 + 8 + 1 + package.prevouts[0].script_pubkey.len();
        let signed = (1 + 128) + (1 + proof) + 1 + members * (98 + 130 * n);
        let expected =
            head + txs.map(|tx| tx.total_size()).iter().sum::<usize>() + prevouts + signed + 1 + 32;
        assert_eq!(package.to_bytes().len(), expected);
    }
    assert!(docs.contains("98 + 130 n"));
    assert_eq!((6 * (98 + 130), 15 * (98 + 5 * 130)), (1_368, 11_220));
    assert!(docs.contains("1,368 bytes") && docs.contains("11,220."));
    let commas = |bytes: usize| format!("{},000,000", bytes / 1_000_000);
    assert!(docs.contains(&format!("at most {} bytes", commas(MAX_PACKAGE_BYTES))));
    assert!(docs.contains(&format!("{} of JSON", commas(MAX_PACKAGE_JSON_BYTES))));
}
