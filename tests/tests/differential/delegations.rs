//! Witnesses of unbonding, slashing and expansion, and expansion transactions, as the npm package makes them.

use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::hashes::Hash;
use bitcoin::hex::{DisplayHex, FromHex};
use bitcoin::key::{Keypair, Secp256k1};
use bitcoin::secp256k1::{All, SecretKey};
use bitcoin::{
    Address, Amount, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, WPubkeyHash,
    Witness, XOnlyPublicKey,
};
use serde_json::{Value, json};
use tapstake_crypto::ExposedKey;
use tapstake_crypto::pop::{Account, ProofOfPossession};
use tapstake_params::{Height, Quorum, Schedule, Slashing, SlashingRate, StakingParams, Timelock};
use tapstake_regtest::differential;
use tapstake_script::{Providers, StakeTerms};
use tapstake_tx::delegation::{CheckedDelegation, Delegation, DelegationPackage, Verified};
use tapstake_tx::{ExpansionTx, Funding, LeafSpend, Signatures, Stake};

use super::Random;

const CASES: u32 = 60;

/// A stake with everybody's keys, verified, and one that it is expanded into.
struct Case {
    network: Network,
    staker: Keypair,
    providers: Vec<Keypair>,
    /// Of the stake and of its expansion.
    committees: [Vec<Keypair>; 2],
    /// Likewise.
    params: [StakingParams; 2],
    times: [Timelock; 2],
    delegation: Delegation<Verified>,
    funding: Vec<(OutPoint, TxOut)>,
    change: ScriptBuf,
    fee_rate: u64,
}

fn key(keypair: &Keypair) -> XOnlyPublicKey {
    keypair.x_only_public_key().0
}

fn keypairs(secp: &Secp256k1<All>, random: &mut Random, count: u64) -> Vec<Keypair> {
    let secret = |random: &mut Random| SecretKey::from_slice(&random.bytes()).unwrap();
    let mut keypairs: Vec<_> = (0..count).map(|_| Keypair::from_secret_key(secp, &secret(random))).collect();
    keypairs.sort_by_key(key);
    keypairs
}

fn quorum(threshold: usize, members: &[Keypair]) -> Quorum {
    Quorum::new(threshold, members.iter().map(key).collect()).unwrap()
}

impl Case {
    fn draw(secp: &Secp256k1<All>, case: u32) -> Self {
        let mut random = Random { case: 1_000_000 + case, drawn: 0 };
        let network = random.one_of(&[Network::Bitcoin, Network::Signet, Network::Regtest]);
        let staker = keypairs(secp, &mut random, 1)[0];
        let count = random.one_of(&[1, 1, 2, 5]);
        let providers = keypairs(secp, &mut random, count);
        let members = random.between(1, 12);
        let threshold = usize::try_from(random.between(members / 2 + 1, members)).unwrap();
        let old = keypairs(secp, &mut random, members);
        // As many of the old committee stay as must, the others are new.
        let fresh = members - u64::try_from(threshold).unwrap();
        let mut new = [&old[..threshold], &keypairs(secp, &mut random, fresh)].concat();
        new.sort_by_key(key);
        let sat = |random: &mut Random, low, high| Amount::from_sat(random.between(low, high));
        let longest_unbonding = Timelock::new(65_534).unwrap();
        let old_params = StakingParams {
            version: 0,
            activation_height: Height::GENESIS,
            covenant: quorum(threshold, &old),
            min_staking_value: Amount::from_sat(100_000),
            max_staking_value: Amount::from_sat(500_000_000_000),
            min_staking_time: Timelock::new(1).unwrap(),
            max_staking_time: Timelock::MAX,
            unbonding_time: random.timelock().min(longest_unbonding),
            unbonding_fee: sat(&mut random, 200, 3_000),
            slashing: Some(Slashing {
                rate: SlashingRate::from_ten_thousandths(random.one_of(&[10, 1_000, 5_555])).unwrap(),
                pk_script: ScriptBuf::new_op_return(b"babylon"),
                min_fee: sat(&mut random, 200, 3_000),
            }),
            phase_1: None,
        };
        let new_params = StakingParams {
            version: 1,
            activation_height: Height::new(1),
            covenant: quorum(threshold, &new),
            unbonding_time: random.timelock().min(longest_unbonding),
            ..old_params.clone()
        };
        // The package takes any; ours has to be above both unbonding times.
        let unbonding = old_params.unbonding_time.max(new_params.unbonding_time).blocks();
        let longer = Timelock::new(u32::from(unbonding) + 1).unwrap();
        let times = [random.timelock(), random.timelock().max(longer)];
        let value = sat(&mut random, 100_000, 10_000_000_000);
        let scripts = |random: &mut Random| match random.between(0, 1) {
            0 => ScriptBuf::new_p2wpkh(&WPubkeyHash::from_slice(&random.bytes()[..20]).unwrap()),
            _ => ScriptBuf::new_p2tr(secp, random.key(secp), None),
        };
        let outpoint = |random: &mut Random| OutPoint {
            txid: Txid::from_byte_array(random.bytes()),
            vout: u32::try_from(random.between(0, 3)).unwrap(),
        };
        let funding = (0..random.between(1, 3)).map(|_| {
            let (outpoint, value) = (outpoint(&mut random), sat(&mut random, 3_000, 300_000));
            (outpoint, TxOut { value, script_pubkey: scripts(&mut random) })
        });
        let funding: Vec<_> = funding.collect();
        let change = scripts(&mut random);
        let fee_rate = random.between(1, 20);
        let staked = (outpoint(&mut random), TxOut { value: value * 2, script_pubkey: scripts(&mut random) });

        let known = Providers::new(providers.iter().map(key).collect()).unwrap();
        let terms = StakeTerms::under(&old_params, key(&staker), known, times[0]).unwrap();
        let committees = [old, new];
        let delegation = verified(secp, network, &old_params, terms, value, staked, &staker, &committees[0]);
        let params = [old_params, new_params];
        Case { network, staker, providers, committees, params, times, delegation, funding, change, fee_rate }
    }

    /// What the package is asked: of the stake itself, or of its expansion.
    fn to_json(&self, of_expansion: bool) -> Value {
        let hex = |keys: &Quorum| keys.keys().iter().rev().map(ToString::to_string).collect::<Vec<_>>();
        let at = usize::from(of_expansion);
        let (stake, params) = (self.delegation.stake(), &self.params[at]);
        let slashing = params.slashing.as_ref().unwrap();
        let known = stake.terms().parties.providers();
        let mut asked = json!({
            "network": self.network.to_string(),
            "staker": key(&self.staker).to_string(),
            "providers": hex(known.as_quorum()),
            "covenant": hex(&params.covenant),
            "quorum": params.covenant.threshold(),
            "staking_time": self.times[at].blocks(),
            "unbonding_time": params.unbonding_time.blocks(),
            "staking_txid": stake.outpoint().txid.to_string(),
            "staking_vout": stake.outpoint().vout,
            "staking_value": stake.value().to_sat(),
            "unbonding_fee": params.unbonding_fee.to_sat(),
            "slashing_pk_script": slashing.pk_script.to_hex_string(),
            "slashing_rate": slashing.rate.to_string(),
            "min_slashing_fee": slashing.min_fee.to_sat(),
        });
        if of_expansion {
            let funding = self.funding.iter().map(|(outpoint, prevout)| {
                json!({
                    "txid": outpoint.txid.to_string(),
                    "vout": outpoint.vout,
                    "value": prevout.value.to_sat(),
                    "script_pubkey": prevout.script_pubkey.to_hex_string(),
                })
            });
            let old = &self.params[0];
            asked["expansion"] = json!({
                "covenant": hex(&old.covenant),
                "quorum": old.covenant.threshold(),
                "staking_time": self.times[0].blocks(),
                "unbonding_time": old.unbonding_time.blocks(),
                "txid": stake.outpoint().txid.to_string(),
                "vout": stake.outpoint().vout,
                "change_address": Address::from_script(&self.change, self.network).unwrap().to_string(),
                "fee_rate": self.fee_rate,
                "funding": funding.collect::<Vec<_>>(),
            });
        }
        asked
    }

    /// The last provider's key, as its equivocation gives it away.
    fn exposed(&self, secp: &Secp256k1<All>) -> ExposedKey {
        let provider = self.providers.last().unwrap();
        ExposedKey::from_bytes(secp, &provider.secret_bytes(), &key(provider)).unwrap()
    }

    /// Our transactions with their witnesses, and the digests that they are signed over.
    fn signed(&self, secp: &Secp256k1<All>) -> [(&'static str, Transaction, [u8; 32]); 3] {
        let (delegation, exposed) = (self.delegation.verified_parts(), self.exposed(secp));
        let (stake, unbonding) = (delegation.stake(), delegation.unbonding());
        let (_, staker) = unbonding.spend(stake).sign(secp, &self.staker, &[0; 32]);
        let digest = |spend: LeafSpend<'_>| spend.sighash().to_byte_array();
        [
            ("unbonding", delegation.finish_unbonding(secp, staker).unwrap(), digest(unbonding.spend(stake))),
            (
                "slashing",
                delegation.slash(secp, &exposed).unwrap(),
                digest(delegation.slashing().spend(stake.coin())),
            ),
            (
                "unbonding_slashing",
                delegation.slash_unbonding(secp, &exposed).unwrap(),
                digest(delegation.unbonding_slashing().spend(unbonding.coin())),
            ),
        ]
    }
}

/// A delegation that the whole committee has signed.
#[expect(clippy::too_many_arguments, reason = "each is a fact of its own")]
fn verified(
    secp: &Secp256k1<All>,
    network: Network,
    params: &StakingParams,
    terms: StakeTerms,
    value: Amount,
    (previous_output, prevout): (OutPoint, TxOut),
    staker: &Keypair,
    committee: &[Keypair],
) -> Delegation<Verified> {
    let tx = Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: bitcoin::absolute::LockTime::ZERO,
        input: vec![TxIn { previous_output, sequence: Sequence::MAX, ..TxIn::default() }],
        output: vec![TxOut { value, script_pubkey: terms.staking_output(secp).script_pubkey().clone() }],
    };
    let fee = params.slashing.as_ref().unwrap().min_fee;
    let draft = Delegation::build(secp, network, params, terms, tx, &[prevout], value, fee).unwrap();
    let account = Account::text("differential").unwrap();
    let possession = ProofOfPossession::bip340(secp, staker, account, None, &[0; 32]);
    let signed = draft.sign(secp, staker, &[0; 32], possession).unwrap();
    let mut package: DelegationPackage = signed.package();
    for member in committee {
        let given = signed.covenant_signatures(secp, member, &[0; 32]);
        package.parts.covenant.insert(key(member), given);
    }
    let schedule = Schedule::new(network, vec![params.clone()]).unwrap();
    match package.check(secp, &schedule).unwrap() {
        CheckedDelegation::Verified(delegation) => delegation,
        other => panic!("everybody has signed: {other:?}"),
    }
}

/// The signatures in one of our witnesses, as the package takes them: no slot and no order.
fn given(
    secp: &Secp256k1<All>,
    case: &Case,
    committee: &[Keypair],
    witness: &Witness,
    digest: [u8; 32],
) -> Value {
    let message = bitcoin::secp256k1::Message::from_digest(digest);
    let items: Vec<_> = witness
        .iter()
        .filter_map(|item| bitcoin::secp256k1::schnorr::Signature::from_slice(item).ok())
        .collect();
    let by = |keypair: &Keypair| {
        let found = items.iter().find(|item| secp.verify_schnorr(item, &message, &key(keypair)).is_ok())?;
        Some(json!({ "key": key(keypair).to_string(), "signature": found.to_string() }))
    };
    let mut given = json!({
        "staker": by(&case.staker).unwrap()["signature"],
        "covenant": committee.iter().filter_map(by).collect::<Vec<_>>(),
    });
    if let Some(provider) = case.providers.iter().find_map(by) {
        given["provider"] = provider;
    }
    given
}

fn compare_witness(name: &str, witness: &Witness, digest: [u8; 32], theirs: &Value) {
    assert!(theirs.get("error").is_none(), "{name}: {theirs}");
    assert_eq!(theirs["sighash"], digest.to_lower_hex_string(), "{name}");
    let theirs: Vec<Vec<u8>> = theirs["witness"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| Vec::from_hex(item.as_str().unwrap()).unwrap())
        .collect();
    assert_eq!(witness.to_vec(), theirs, "{name}");
}

#[test]
fn witnesses_of_unbonding_and_slashing_are_those_of_the_npm_package() {
    let secp = Secp256k1::new();
    let cases: Vec<Case> = (0..CASES).map(|case| Case::draw(&secp, case)).collect();
    let asked: Vec<Value> = cases
        .iter()
        .map(|case| {
            let mut asked = case.to_json(false);
            for (name, tx, digest) in case.signed(&secp) {
                let witness = &tx.input[0].witness;
                asked["signatures"][name] = given(&secp, case, &case.committees[0], witness, digest);
            }
            asked
        })
        .collect();
    for (case, theirs) in cases.iter().zip(differential(&asked).unwrap()) {
        assert!(theirs.get("error").is_none(), "refused as a whole: {theirs}");
        for (name, mut tx, digest) in case.signed(&secp) {
            let theirs = &theirs[&format!("{name}_tx")];
            compare_witness(name, &tx.input[0].witness, digest, theirs);
            tx.input[0].witness.clear();
            assert_eq!(theirs["hex"], serialize_hex(&tx), "{name}");
        }
    }
}

/// The same transaction as theirs, built by us from its funding and what they call the fee.
fn expanded(secp: &Secp256k1<All>, case: &Case, theirs: &Value) -> ExpansionTx {
    let foreign: Transaction = deserialize_hex(theirs["hex"].as_str().unwrap()).unwrap();
    let chosen = foreign.input[1].previous_output;
    let (outpoint, prevout) = case.funding.iter().find(|(outpoint, _)| *outpoint == chosen).unwrap().clone();
    let stake: &Stake = case.delegation.stake();
    let known = stake.terms().parties.providers().clone();
    let terms = StakeTerms::under(&case.params[1], key(&case.staker), known, case.times[1]).unwrap();
    let rest = prevout.value - Amount::from_sat(theirs["fee"].as_u64().unwrap());
    let change = TxOut { value: rest, script_pubkey: case.change.clone() };
    // They leave a rest of 546 sat and less to the fee.
    let change = if rest > Amount::from_sat(546) { vec![change] } else { vec![] };
    let funding = Funding { outpoint, prevout, change };
    ExpansionTx::build(secp, stake, terms, stake.value(), funding).unwrap()
}

#[test]
fn expansions_and_their_witnesses_are_those_of_the_npm_package() {
    let secp = Secp256k1::new();
    let cases: Vec<Case> = (0..CASES).map(|case| Case::draw(&secp, case)).collect();
    let mut asked: Vec<Value> = cases.iter().map(|case| case.to_json(true)).collect();
    let answers = differential(&asked).unwrap();
    let mut ours = Vec::new();
    for ((case, theirs), asked) in cases.iter().zip(&answers).zip(&mut asked) {
        let theirs = &theirs["expansion_tx"];
        if theirs["error"].as_str().is_some_and(|error| error.starts_with("Insufficient funds")) {
            ours.push(None);
            continue;
        }
        assert!(theirs.get("error").is_none(), "{theirs} for {asked}");
        let expansion = expanded(&secp, case, theirs);
        assert_eq!(theirs["hex"], serialize_hex(expansion.tx()));
        assert_eq!(theirs["txid"], expansion.tx().compute_txid().to_string());

        let stake = case.delegation.stake();
        let spend = expansion.spend(stake);
        let signers = case.committees[0].iter().chain([&case.staker]);
        let signatures: Signatures = signers.map(|signer| spend.sign(&secp, signer, &[0; 32])).collect();
        let tx = expansion.finish(&secp, stake, &signatures, Witness::new()).unwrap();
        let (witness, digest) = (tx.input[0].witness.clone(), spend.sighash().to_byte_array());
        asked["signatures"]["expansion"] = given(&secp, case, &case.committees[0], &witness, digest);
        ours.push(Some((witness, digest)));
    }
    let compared = ours.iter().flatten().count();
    assert!(compared * 2 > cases.len(), "{compared} expansions compared");
    for (ours, theirs) in ours.iter().zip(differential(&asked).unwrap()) {
        if let Some((witness, digest)) = ours {
            compare_witness("expansion", witness, *digest, &theirs["expansion_tx"]);
        }
    }
}
