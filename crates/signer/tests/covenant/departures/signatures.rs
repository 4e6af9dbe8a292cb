//! Signatures of others that are missing or wrong.

use tapstake_crypto::pop::{Account, ProofOfPossession};
use tapstake_tx::delegation::CovenantSignatures;

use super::{Case, Row, rows};
use crate::world::{MEMBERS, account, key, keypair, secp};

fn member_signatures(case: &Case) -> CovenantSignatures {
    let signed = case.ask().unwrap();
    signed.parts.covenant[&key(MEMBERS)].clone()
}

const SIGNATURES: &[Row] = &[
    (
        "nothing signed",
        |case| {
            case.package.parts.staker = None;
            case.package.parts.possession = None;
        },
        "staker-signature",
        "staker's signatures on the slashing transactions are missing",
    ),
    (
        "no staker's signatures",
        |case| case.package.parts.staker = None,
        "staker-signature",
        "staker's signatures on the slashing transactions are missing",
    ),
    (
        "the staker's signatures exchanged",
        |case| {
            let signatures = case.package.parts.staker.as_mut().unwrap();
            std::mem::swap(&mut signatures.slashing, &mut signatures.unbonding_slashing);
        },
        "staker-signature",
        "on the slashing transaction does not verify",
    ),
    (
        "one signature of the staker over another transaction",
        |case| {
            let signatures = case.package.parts.staker.as_mut().unwrap();
            signatures.unbonding_slashing = signatures.slashing;
        },
        "staker-signature",
        "slashing transaction of the unbonding output does not verify",
    ),
    ("no proof of possession", |case| case.package.parts.possession = None, "possession", "missing"),
    (
        "another's proof of possession",
        |case| {
            case.package.parts.possession =
                Some(ProofOfPossession::bip340(&secp(), &keypair(77), account(), None, &[0; 32]));
        },
        "possession",
        "the signature is not of staker",
    ),
    (
        "a proof of possession for another account",
        |case| {
            case.package.parts.possession.as_mut().unwrap().account =
                Account::text("another account").unwrap();
        },
        "possession",
        "the signature is not of staker",
    ),
    (
        "another member's wrong signature",
        |case| {
            let mut signatures = member_signatures(case);
            signatures.unbonding = case.package.parts.staker.unwrap().slashing;
            case.package.parts.covenant.insert(key(MEMBERS), signatures);
        },
        "covenant-signature",
        "the signature on the unbonding transaction does not verify",
    ),
    (
        "a member's signatures under another's name",
        |case| {
            let signatures = member_signatures(case);
            case.package.parts.covenant.insert(key(MEMBERS + 1), signatures);
        },
        "covenant-signature",
        "does not verify",
    ),
    (
        "adaptor signatures in another order of providers",
        |case| {
            let mut signatures = member_signatures(case);
            signatures.slashing.reverse();
            case.package.parts.covenant.insert(key(MEMBERS), signatures);
        },
        "covenant-signature",
        "adaptor signature on the slashing transaction for provider",
    ),
    (
        "an adaptor signature too few",
        |case| {
            let mut signatures = member_signatures(case);
            signatures.unbonding_slashing.pop();
            case.package.parts.covenant.insert(key(MEMBERS), signatures);
        },
        "covenant-signature",
        "1 adaptor signatures on the slashing transaction of the unbonding output for 2 providers",
    ),
    (
        "signatures of somebody on no committee",
        |case| {
            let signatures = member_signatures(case);
            case.package.parts.covenant.insert(key(77), signatures);
        },
        "committee",
        "is no member of its covenant",
    ),
];

#[test]
fn a_member_refuses_missing_and_wrong_signatures_of_anybody() {
    rows(SIGNATURES);
}
