//! Transactions that differ from those that are signed: refused by us with the rule, and by the node for the signatures.

use bitcoin::absolute::LockTime;
use bitcoin::secp256k1::schnorr::Signature;
use bitcoin::transaction::Version;
use bitcoin::{Amount, ScriptBuf, Sequence, Transaction};
use tapstake_params::Timelock;
use tapstake_regtest::Bitcoind;
use tapstake_script::{Providers, StakeTerms};
use tapstake_tx::delegation::{Delegation, DelegationError, DelegationParts, Verified};
use tapstake_tx::{Signatures, WitnessError};

use crate::stage::{MIN_SLASHING_FEE, SLASHING_FEE, Slashed, Stage, by_hand, home, key, with_witness};

const ONE_SAT: Amount = Amount::from_sat(1);
const NOT_SIGNED: &str = "Invalid Schnorr signature";

/// A complete transaction, and where its delegation carries it: to be broken.
struct Whole<'a> {
    stage: &'a Stage<'a>,
    delegation: &'a Delegation<Verified>,
    tx: Transaction,
    part: fn(&mut DelegationParts) -> &mut Transaction,
}

impl Whole<'_> {
    /// With a change that breaks a rule it is refused, by us naming that rule, and by the node for its own reason.
    fn refused(&self, rule: &str, reason: &str, change: impl Fn(&mut Transaction)) {
        let mut package = self.delegation.package();
        change((self.part)(&mut package.parts));
        assert_eq!(package.check(&self.stage.secp, &self.stage.schedule).unwrap_err().rule(), rule);
        let mut tx = self.tx.clone();
        change(&mut tx);
        let theirs = self.stage.refusal(&tx);
        assert!(theirs.contains(reason), "{rule}: {theirs}");
    }

    /// The same of a rule that unbonding and slashing transactions share.
    fn refused_shapes(&self, of: &str) {
        self.refused(&format!("{of}-locktime"), NOT_SIGNED, |tx| tx.lock_time = LockTime::from_consensus(1));
        let replaceable = Sequence::ENABLE_RBF_NO_LOCKTIME;
        self.refused(&format!("{of}-sequence"), NOT_SIGNED, |tx| tx.input[0].sequence = replaceable);
        self.refused(&format!("{of}-outpoint"), "missing-inputs", |tx| tx.input[0].previous_output.vout += 1);
    }

    fn refused_refunds(&self) {
        let stage = self.stage;
        let providers = Providers::new(stage.providers.iter().map(key).collect()).unwrap();
        let terms = self.delegation.stake().terms();
        let time = terms.staking_time;
        let other = StakeTerms::under(stage.params(0), key(&stage.other_staker()), providers, time).unwrap();
        let sooner = Timelock::new(u32::from(terms.unbonding_time) - 1).unwrap();
        let sooner = StakeTerms { unbonding_time: sooner, ..terms.clone() };
        for terms in [other, sooner] {
            let script = terms.refund_output(&stage.secp).script_pubkey().clone();
            self.refused("refund-output", NOT_SIGNED, |tx| tx.output[1].script_pubkey = script.clone());
        }
    }
}

#[test]
fn a_changed_unbonding_transaction_is_refused_by_us_and_by_the_node() {
    let node = Bitcoind::start().unwrap();
    let stage = Stage::new(&node, (2, (3, 5)), Slashed::Burned);
    let [delegation] = stage.locked();
    let tx = stage.unbonding_tx(&delegation, &stage.staker);
    let whole = Whole { stage: &stage, delegation: &delegation, tx, part: |parts| &mut parts.unbonding_tx };
    whole.refused_shapes("unbonding");
    whole.refused("unbonding-version", NOT_SIGNED, |tx| tx.version = Version::ONE);
    whole.refused("unbonding-fee", NOT_SIGNED, |tx| tx.output[0].value -= ONE_SAT);
    whole.refused("unbonding-fee", NOT_SIGNED, |tx| tx.output[0].value += ONE_SAT);
    whole.refused("unbonding-output", NOT_SIGNED, |tx| tx.output[0].script_pubkey = home());
    stage.accepted(&whole.tx);
}

#[test]
fn a_changed_slashing_transaction_is_refused_by_us_and_by_the_node() {
    let node = Bitcoind::start().unwrap();
    let stage = Stage::new(&node, (2, (3, 5)), Slashed::Burned);
    let [staked, unbonded] = stage.locked();
    stage.accepted(&stage.unbonding_tx(&unbonded, &stage.staker));
    let equivocation = stage.equivocation(&stage.providers[1]);
    let exposed = equivocation.exposed_key();
    let early = staked.verified_parts().slash(&stage.secp, exposed).unwrap();
    let late = unbonded.verified_parts().slash_unbonding(&stage.secp, exposed).unwrap();
    // What the slashing pays above the least fee, and a sat that it has not got.
    let (too_little, too_much) = (SLASHING_FEE - MIN_SLASHING_FEE + ONE_SAT, SLASHING_FEE + ONE_SAT);
    let elsewhere = ScriptBuf::new_op_return(b"elsewhere");
    for whole in [
        Whole { stage: &stage, delegation: &staked, tx: early, part: |parts| &mut parts.slashing_tx },
        Whole {
            stage: &stage,
            delegation: &unbonded,
            tx: late,
            part: |parts| &mut parts.unbonding_slashing_tx,
        },
    ] {
        whole.refused_shapes("slashing");
        whole.refused_refunds();
        whole.refused("slashing-version", NOT_SIGNED, |tx| tx.version = Version::non_standard(3));
        whole.refused("slashing-rate", NOT_SIGNED, |tx| tx.output[0].value -= ONE_SAT);
        whole.refused("slashing-script", NOT_SIGNED, |tx| tx.output[0].script_pubkey = elsewhere.clone());
        whole.refused("slashing-fee", NOT_SIGNED, |tx| tx.output[1].value += too_little);
        whole.refused("too-small", "bad-txns-in-belowout", |tx| tx.output[1].value += too_much);
        stage.accepted(&whole.tx);
    }
}

#[test]
fn only_the_stakers_own_signature_completes_the_unbonding_transaction() {
    let node = Bitcoind::start().unwrap();
    let stage = Stage::new(&node, (1, (3, 5)), Slashed::Burned);
    let [delegation] = stage.locked();
    let stake = delegation.stake();
    let (unbonding, slashing) = (delegation.unbonding(), delegation.slashing());
    let spend = unbonding.spend(stake);
    let covenant = delegation.parts().covenant.iter().map(|(member, given)| (*member, given.unbonding));
    let covenant: Signatures = covenant.collect();

    let (_, by_another) = spend.sign(&stage.secp, &stage.other_staker(), &[0; 32]);
    let (_, by_provider) = spend.sign(&stage.secp, &stage.providers[0], &[0; 32]);
    let (_, on_another) = slashing.spend(stake.coin()).sign(&stage.secp, &stage.staker, &[0; 32]);
    for signature in [by_another, by_provider, on_another] {
        let ours = delegation.verified_parts().finish_unbonding(&stage.secp, signature).unwrap_err();
        assert!(matches!(ours, DelegationError::Witness(WitnessError::BadSignature { .. })), "{ours}");
        let mut signatures = covenant.clone();
        signatures.insert(key(&stage.staker), signature);
        let theirs = stage.refusal(&with_witness(unbonding.tx(), by_hand(spend.leaf(), &signatures)));
        assert!(theirs.contains("Invalid Schnorr signature"), "{theirs}");
    }
    let theirs = stage.refusal(&with_witness(unbonding.tx(), by_hand(spend.leaf(), &covenant)));
    assert!(theirs.contains("OP_CHECKSIGVERIFY"), "{theirs}");

    stage.accepted(&stage.unbonding_tx(&delegation, &stage.staker));
    stage.withdrawn(unbonding.coin(), &stage.staker, stage.tip());
}

#[test]
fn encrypted_signatures_slash_nothing_before_the_provider_is_exposed() {
    let node = Bitcoind::start().unwrap();
    let stage = Stage::new(&node, (1, (3, 5)), Slashed::Burned);
    let [delegation] = stage.locked();
    let spend = delegation.slashing().spend(delegation.stake().coin());
    // As if nonce and scalar were a signature: what a covenant and a provider together could try without the key.
    let mut signatures: Signatures = (delegation.parts().covenant.iter())
        .map(|(member, given)| {
            let bytes = given.slashing[0].to_bytes();
            (*member, Signature::from_slice(&bytes[1..]).unwrap())
        })
        .collect();
    signatures.insert(key(&stage.staker), delegation.parts().staker.unwrap().slashing);
    signatures.extend([spend.sign(&stage.secp, &stage.providers[0], &[0; 32])]);
    let ours = delegation.slashing().finish(&stage.secp, delegation.stake().coin(), &signatures);
    assert!(matches!(ours, Err(WitnessError::BadSignature { .. })), "{ours:?}");
    let theirs = stage.refusal(&with_witness(delegation.slashing().tx(), by_hand(spend.leaf(), &signatures)));
    assert!(theirs.contains("Invalid Schnorr signature"), "{theirs}");

    let exposed = stage.equivocation(&stage.providers[0]);
    stage.accepted(&delegation.verified_parts().slash(&stage.secp, exposed.exposed_key()).unwrap());
}
