//! Moving a stake into a larger one: what the old committee signs, and when it does not.

use std::collections::BTreeMap;

use bitcoin::secp256k1::schnorr;
use bitcoin::{Network, OutPoint, TxOut};
use tapstake_params::StakingParams;
use tapstake_signer::covenant::Refusal;
use tapstake_tx::delegation::{Delegation, DelegationPackage, ExpansionPart, PreviousStake};
use tapstake_tx::{ExpansionTx, Funding, Stake};

use crate::member::Folder;
use crate::world::{
    MEMBERS, Make, STAKER, blocks, coin, input, key, keypair, params, policy, possession, quorum, restake,
    sat, secp, wallet_script,
};

/// A stake of 1,000,000 sat, wherever it lies, into one of 1,500,000 sat.
pub(crate) struct Move {
    pub(crate) old: StakingParams,
    pub(crate) new: StakingParams,
    pub(crate) previous: OutPoint,
    pub(crate) funding: OutPoint,
    pub(crate) funding_value: u64,
}

impl Default for Move {
    fn default() -> Self {
        Move { old: params(), new: params(), previous: coin(30), funding: coin(31), funding_value: 600_000 }
    }
}

impl Move {
    pub(crate) fn package(&self) -> DelegationPackage {
        let secp = secp();
        let old = Make { params: self.old.clone(), ..Make::default() };
        let new = Make { params: self.new.clone(), ..Make::default() };
        let previous = Stake::new(&secp, old.terms(), self.previous, sat(1_000_000));
        let funding = Funding {
            outpoint: self.funding,
            prevout: TxOut { value: sat(self.funding_value), script_pubkey: wallet_script() },
            change: vec![TxOut { value: sat(90_000), script_pubkey: wallet_script() }],
        };
        let tx = ExpansionTx::build(&secp, &previous, new.terms(), sat(1_500_000), funding).unwrap();
        let draft =
            Delegation::expand(&secp, Network::Regtest, &self.new, &previous, &self.old, &tx, sat(3_000))
                .unwrap();
        draft.sign(&secp, &keypair(STAKER), &[0; 32], possession(None)).unwrap().package()
    }
}

/// Two versions: in the second, from height 100 on, so many of members `new` are the committee; in the first 3 of 5.
pub(crate) fn versions(threshold: usize, new: std::ops::Range<u32>) -> [StakingParams; 2] {
    let activation_height = tapstake_params::Height::new(100);
    let second =
        StakingParams { version: 1, activation_height, covenant: quorum(threshold, new), ..params() };
    [params(), second]
}

#[test]
fn a_member_of_both_committees_signs_for_the_old_and_the_new_stake() {
    let folder = Folder::new(&policy(vec![params()]));
    let expansion = Move::default();
    let answer = folder.ask(&expansion.package(), 50).unwrap();
    assert!(answer.package.parts.covenant.contains_key(&key(MEMBERS)));
    assert!(answer.package.expansion.as_ref().unwrap().covenant.contains_key(&key(MEMBERS)));
    let signed = folder.open().signed().unwrap();
    assert_eq!(signed[0].subject.expansion.unwrap().previous, expansion.previous);
    let again = folder.ask(&expansion.package(), 50).unwrap();
    assert_eq!((again.package, again.repeated), (answer.package, true));
}

#[test]
fn a_member_of_the_new_committee_alone_signs_for_the_new_stake_alone() {
    let [mut old, mut new] = versions(3, 0..5);
    old.covenant = quorum(3, 1..6);
    new.covenant = quorum(3, 0..5);
    let folder = Folder::new(&policy(vec![old.clone(), new.clone()]));
    let package = folder.ask(&Move { old, new, ..Move::default() }.package(), 100).unwrap().package;
    assert_eq!(package.parts.covenant.keys().collect::<Vec<_>>(), [&key(MEMBERS)]);
    assert!(package.expansion.unwrap().covenant.is_empty());
}

/// What the hand of a staker can put together, whether or not a rule forbids it.
struct ByHand {
    old: StakingParams,
    new: StakingParams,
    value: u64,
    inputs: Vec<OutPoint>,
    prevouts: Vec<TxOut>,
    part: ExpansionPart,
}

impl ByHand {
    fn new() -> Self {
        let [old, new] = versions(3, 0..6);
        let previous = PreviousStake {
            outpoint: coin(30),
            value: sat(1_000_000),
            params_version: 0,
            staking_time: blocks(1_000),
        };
        let script_pubkey = Make { params: old.clone(), ..Make::default() }
            .terms()
            .staking_output(&secp())
            .script_pubkey()
            .clone();
        ByHand {
            old,
            new,
            value: 1_500_000,
            inputs: vec![coin(30), coin(31)],
            prevouts: vec![
                TxOut { value: sat(1_000_000), script_pubkey },
                TxOut { value: sat(600_000), script_pubkey: wallet_script() },
            ],
            part: ExpansionPart { previous, staker: None, covenant: BTreeMap::new() },
        }
    }

    fn package(self) -> DelegationPackage {
        let make = Make { params: self.new.clone(), value: self.value, ..Make::default() };
        let mut package = make.package();
        let mut tx = make.staking_tx();
        tx.input = self.inputs.into_iter().map(input).collect();
        package.expansion = Some(self.part);
        restake(&mut package, tx, self.prevouts, &self.new);
        package
    }
}

type Row = (&'static str, fn(&mut ByHand), &'static str, &'static str);

const DEPARTURES: &[Row] = &[
    (
        "too few of the old committee in the new one",
        |it| it.new.covenant = quorum(3, 3..8),
        "expansion-committee",
        "2 members of the old committee sit in the new one, 3 are needed",
    ),
    (
        "a smaller stake",
        |it| it.value = 999_999,
        "expansion-value",
        "999999 sat is below the old one of 1000000 sat",
    ),
    ("no fee", |it| it.prevouts[1].value = sat(550_000), "expansion-fee", "no fee"),
    (
        "a third input",
        |it| {
            it.inputs.push(coin(32));
            it.prevouts.push(it.prevouts[1].clone());
        },
        "expansion-inputs",
        "3 inputs instead of 2",
    ),
    (
        "no funding input",
        |it| {
            it.inputs.pop();
            it.prevouts.pop();
            it.value = 949_000;
        },
        "expansion-inputs",
        "1 inputs instead of 2",
    ),
    (
        "inputs in another order",
        |it| {
            it.inputs.reverse();
            it.prevouts.reverse();
        },
        "expansion-previous",
        "input 0 spends",
    ),
    ("another old stake", |it| it.part.previous.outpoint = coin(33), "expansion-previous", "input 0 spends"),
    (
        "another value of the old stake",
        |it| it.part.previous.value = sat(999_999),
        "expansion-previous",
        "prevout 0",
    ),
    (
        "another time of the old stake",
        |it| it.part.previous.staking_time = blocks(999),
        "expansion-previous",
        "prevout 0",
    ),
    (
        "another version of the old stake",
        |it| it.part.previous.params_version = 1,
        "expansion-previous",
        "prevout 0",
    ),
    (
        "a version that is not there",
        |it| it.part.previous.params_version = 7,
        "params-version",
        "no parameters version 7",
    ),
    (
        "a wrong signature of an old member",
        |it| {
            it.part.covenant.insert(key(MEMBERS + 1), schnorr::Signature::from_slice(&[7; 64]).unwrap());
        },
        "covenant-signature",
        "the signature on the expansion does not verify",
    ),
    (
        "a signature of a member of the new committee alone",
        |it| {
            it.part.covenant.insert(key(MEMBERS + 5), schnorr::Signature::from_slice(&[7; 64]).unwrap());
        },
        "committee",
        "signed the expansion, but is no member",
    ),
    (
        "a wrong signature of the staker",
        |it| it.part.staker = Some(schnorr::Signature::from_slice(&[7; 64]).unwrap()),
        "staker-signature",
        "staker's signature on the expansion does not verify",
    ),
];

#[test]
fn a_member_refuses_every_departure_in_an_expansion() {
    for (row, change, rule, text) in DEPARTURES {
        let mut by_hand = ByHand::new();
        change(&mut by_hand);
        let folder = Folder::new(&policy(vec![by_hand.old.clone(), by_hand.new.clone()]));
        let refusal = folder.ask(&by_hand.package(), 100).expect_err(row);
        assert_eq!(refusal.rule(), Some(*rule), "{row}: {refusal}");
        assert!(refusal.to_string().contains(text), "{row}: {refusal}");
    }
    let by_hand = ByHand::new();
    let folder = Folder::new(&policy(vec![by_hand.old.clone(), by_hand.new.clone()]));
    folder.ask(&by_hand.package(), 100).unwrap();
}

#[test]
fn an_expansion_is_refused_where_the_policy_signs_none() {
    let mut policy = policy(vec![params()]);
    policy.rules.expansions = false;
    let refusal = Folder::new(&policy).ask(&Move::default().package(), 50).unwrap_err();
    assert_eq!(refusal.rule(), Some("no-expansions"));
}

#[test]
fn an_expansion_funded_by_a_stake_is_refused() {
    let folder = Folder::new(&policy(vec![params()]));
    let stake = folder.ask(&Make::default().package(), 50).unwrap().package;
    // The record knows the outpoint, whatever the file says lies there.
    let refusal =
        folder.ask(&Move { funding: stake.outpoint(), ..Move::default() }.package(), 50).unwrap_err();
    let tapstake_signer::covenant::CovenantError::Refused(refusal) = refusal else { panic!("{refusal}") };
    assert_eq!(refusal, Refusal::FundingIsStake { coin: stake.outpoint(), stake: stake.outpoint() });
    // Without a record the file's own words are enough, if they are true.
    let mut package = Move::default().package();
    package.prevouts[1].script_pubkey =
        Make::default().terms().staking_output(&secp()).script_pubkey().clone();
    let refusal = Folder::new(&policy(vec![params()])).ask(&package, 50).unwrap_err();
    assert_eq!(refusal.rule(), Some("funding-is-stake"), "{refusal}");
    // The stake that was signed for is what an expansion moves.
    let package = Move { previous: stake.outpoint(), ..Move::default() }.package();
    folder.ask(&package, 50).unwrap();
}

#[test]
fn one_expansion_over_other_prevouts_is_not_signed_twice() {
    let folder = Folder::new(&policy(vec![params()]));
    let first = Move::default().package();
    folder.ask(&first, 50).unwrap();
    let second = Move { funding_value: 700_000, ..Move::default() }.package();
    assert_eq!(first.outpoint(), second.outpoint(), "a txid commits to no value of a prevout");
    let refusal = folder.ask(&second, 50).unwrap_err();
    assert_eq!(refusal.rule(), Some("second-expansion"), "{refusal}");
}
