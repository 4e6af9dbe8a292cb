//! Scripts, addresses and transactions of random stakes equal those of the established TypeScript implementation.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

#[path = "differential/delegations.rs"]
mod delegations;

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hashes::{Hash, HashEngine, sha256};
use bitcoin::hex::DisplayHex;
use bitcoin::key::{Keypair, Secp256k1};
use bitcoin::secp256k1::{All, SecretKey};
use bitcoin::{Amount, Network, OutPoint, ScriptBuf, Transaction, Txid, WPubkeyHash, XOnlyPublicKey};
use serde_json::{Value, json};
use tapstake_params::{Quorum, Slashing, SlashingRate, Timelock};
use tapstake_regtest::differential;
use tapstake_script::{Leaf, OpReturn, Parties, Providers, StakeOutput, StakeTerms};
use tapstake_tx::{SlashingTx, Stake, UnbondingTx};

const CASES: u32 = 250;
/// The package refuses outputs of so many sat and less.
const REFUSED: u64 = 546;

/// Numbers that look random and are the same in every run: SHA-256 of a counter.
struct Random {
    case: u32,
    drawn: u32,
}

impl Random {
    fn bytes(&mut self) -> [u8; 32] {
        self.drawn += 1;
        let mut engine = sha256::Hash::engine();
        engine.input(b"tapstake/differential/");
        engine.input(&self.case.to_be_bytes());
        engine.input(&self.drawn.to_be_bytes());
        sha256::Hash::from_engine(engine).to_byte_array()
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        let number = u64::from_be_bytes(self.bytes()[..8].try_into().unwrap());
        low + number % (high - low + 1)
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        let last = u64::try_from(choices.len()).unwrap() - 1;
        choices[usize::try_from(self.between(0, last)).unwrap()]
    }

    fn key(&mut self, secp: &Secp256k1<All>) -> XOnlyPublicKey {
        let secret = SecretKey::from_slice(&self.bytes()).unwrap();
        Keypair::from_secret_key(secp, &secret).x_only_public_key().0
    }

    /// Times around every change of their encoding, and any others.
    fn timelock(&mut self) -> Timelock {
        let any = u32::try_from(self.between(1, 65_535)).unwrap();
        let edges = [1, 16, 17, 127, 128, 255, 256, 1_000, 32_767, 32_768, 64_000, 65_535];
        let blocks = if self.between(0, 1) == 0 { any } else { self.one_of(&edges) };
        Timelock::new(blocks).unwrap()
    }
}

struct Case {
    network: Network,
    stake: Stake,
    unbonding_fee: Amount,
    slashing: Slashing,
    tag: Option<[u8; 4]>,
}

impl Case {
    fn draw(secp: &Secp256k1<All>, case: u32) -> Self {
        let mut random = Random { case, drawn: 0 };
        let network = random.one_of(&[Network::Bitcoin, Network::Testnet, Network::Signet, Network::Regtest]);
        let count = random.one_of(&[1, 1, 2, 3, 5]);
        let providers = Providers::new((0..count).map(|_| random.key(secp)).collect()).unwrap();
        let members = random.between(1, 20);
        let quorum = usize::try_from(random.between(1, members)).unwrap();
        let covenant = Quorum::new(quorum, (0..members).map(|_| random.key(secp)).collect()).unwrap();
        let terms = StakeTerms {
            parties: Parties::new(random.key(secp), providers, covenant).unwrap(),
            staking_time: random.timelock(),
            unbonding_time: random.timelock(),
        };
        let vout = u32::try_from(random.between(0, 3)).unwrap();
        let outpoint = OutPoint { txid: Txid::from_byte_array(random.bytes()), vout };
        // From what cannot pay its fees to the greatest stake of mainnet.
        let most = random.one_of(&[5_000, 100_000, 10_000_000, 500_000_000_000]);
        let value = Amount::from_sat(random.between(2_000, most));
        let pk_script = match random.between(0, 2) {
            0 => ScriptBuf::new_op_return(b"babylon"),
            1 => ScriptBuf::new_p2wpkh(&WPubkeyHash::from_slice(&random.bytes()[..20]).unwrap()),
            _ => terms.refund_output(secp).script_pubkey().clone(),
        };
        let rate = u16::try_from(random.between(1, 9_999)).unwrap();
        let rate = random.one_of(&[10, 1_000, rate, rate, rate, 9_999]);
        let slashing = Slashing {
            rate: SlashingRate::from_ten_thousandths(rate).unwrap(),
            pk_script,
            min_fee: Amount::from_sat(random.between(200, 3_000)),
        };
        let stake = Stake::new(secp, terms, outpoint, value);
        let unbonding_fee = Amount::from_sat(random.between(200, 3_000));
        Case { network, stake, unbonding_fee, slashing, tag: (count == 1).then_some(*b"bbn1") }
    }

    fn to_json(&self) -> Value {
        let terms = self.stake.terms();
        // In descending order: sorting is part of what is compared.
        let keys = |keys: &[XOnlyPublicKey]| keys.iter().rev().map(ToString::to_string).collect::<Vec<_>>();
        let mut case = json!({
            "network": self.network.to_string(),
            "staker": terms.parties.staker().to_string(),
            "providers": keys(terms.parties.providers().keys()),
            "covenant": keys(terms.parties.covenant().keys()),
            "quorum": terms.parties.covenant().threshold(),
            "staking_time": terms.staking_time.blocks(),
            "unbonding_time": terms.unbonding_time.blocks(),
            "staking_txid": self.stake.outpoint().txid.to_string(),
            "staking_vout": self.stake.outpoint().vout,
            "staking_value": self.stake.value().to_sat(),
            "unbonding_fee": self.unbonding_fee.to_sat(),
            "slashing_pk_script": self.slashing.pk_script.to_hex_string(),
            "slashing_rate": self.slashing.rate.to_string(),
            "min_slashing_fee": self.slashing.min_fee.to_sat(),
        });
        if let Some(tag) = self.tag {
            case["tag"] = json!(tag.to_lower_hex_string());
        }
        case
    }

    fn compare_outputs(&self, secp: &Secp256k1<All>, theirs: &Value) {
        let terms = self.stake.terms();
        let hex = |leaf: &Leaf| leaf.script.to_hex_string();
        let (staking, unbonding) = (terms.staking_output(secp), terms.unbonding_output(secp));
        let refund = terms.refund_output(secp);
        assert_eq!(theirs["timelock_script"], hex(staking.timelock()));
        assert_eq!(theirs["unbonding_script"], hex(staking.unbonding()));
        assert_eq!(theirs["slashing_script"], hex(staking.slashing()));
        assert_eq!(theirs["unbonding_timelock_script"], hex(unbonding.timelock()));
        let outputs: [(&str, &StakeOutput); 3] =
            [("staking", &staking), ("unbonding", &unbonding), ("refund", &refund)];
        for (name, output) in outputs {
            assert_eq!(theirs[name]["script_pubkey"], output.script_pubkey().to_hex_string());
            assert_eq!(theirs[name]["address"], output.address(self.network).to_string());
            for leaf in output.leaves() {
                let field = format!("{}_control_block", leaf.name);
                if let Some(control_block) = theirs[name].get(&field) {
                    assert_eq!(*control_block, leaf.control_block.serialize().to_lower_hex_string());
                }
            }
        }
        if let Some(tag) = self.tag {
            let ours = OpReturn {
                tag,
                staker: terms.parties.staker(),
                provider: terms.parties.providers().keys()[0],
                staking_time: terms.staking_time.blocks(),
            };
            assert_eq!(theirs["op_return"], ours.to_script().to_hex_string());
        }
    }

    /// Compares the transactions that both make; gives how many.
    fn compare_transactions(&self, secp: &Secp256k1<All>, theirs: &Value) -> usize {
        let (coin, refund) = (self.stake.coin(), self.stake.refund_output());
        let fee = self.slashing.min_fee;
        let unbonding = UnbondingTx::build(secp, &self.stake, self.unbonding_fee);
        let slashing = SlashingTx::build(coin, refund, &self.slashing, fee);
        let late = unbonding
            .as_ref()
            .ok()
            .map(|unbonding| SlashingTx::build(unbonding.coin(), refund, &self.slashing, fee));
        let ours = [
            ("unbonding_tx", unbonding.as_ref().ok().map(|unbonding| unbonding.tx().clone())),
            ("slashing_tx", slashing.ok().map(|slashing| slashing.tx().clone())),
            ("unbonding_slashing_tx", late.and_then(Result::ok).map(|slashing| slashing.tx().clone())),
        ];
        ours.into_iter()
            .filter(|(name, ours)| self.compare_transaction(ours.as_ref(), &theirs[*name], name))
            .count()
    }

    fn compare_transaction(&self, ours: Option<&Transaction>, theirs: &Value, name: &str) -> bool {
        let Some(hex) = theirs["hex"].as_str() else {
            // They refuse more than we do: outputs of 546 sat and less, in this transaction or in the unbonding.
            let small = |tx: &Transaction| tx.output.iter().any(|output| output.value.to_sat() <= REFUSED);
            let unbonded = self.stake.value().checked_sub(self.unbonding_fee).unwrap_or_default();
            let explained = ours.is_none_or(small) || unbonded.to_sat() <= REFUSED;
            assert!(explained, "{name}: they refuse what we make: {theirs}");
            return false;
        };
        let mut foreign: Transaction = bitcoin::consensus::encode::deserialize_hex(hex).unwrap();
        let Some(ours) = ours else {
            panic!("{name}: they make what we refuse: {hex}");
        };
        // Slashing transactions of version 1 are in order too, ours are of version 2.
        if name != "unbonding_tx" && foreign.version == bitcoin::transaction::Version::ONE {
            foreign.version = ours.version;
            assert_eq!(serialize_hex(ours), serialize_hex(&foreign), "{name}");
            return true;
        }
        assert_eq!(serialize_hex(ours), hex, "{name}");
        assert_eq!(theirs["txid"], ours.compute_txid().to_string(), "{name}");
        true
    }
}

#[test]
fn hundreds_of_random_stakes_are_those_of_the_npm_package() {
    let secp = Secp256k1::new();
    let cases: Vec<Case> = (0..CASES).map(|case| Case::draw(&secp, case)).collect();
    let asked: Vec<Value> = cases.iter().map(Case::to_json).collect();
    let answers = differential(&asked).unwrap();
    let mut transactions = 0;
    for ((case, asked), theirs) in cases.iter().zip(&asked).zip(&answers) {
        assert!(theirs.get("error").is_none(), "refused as a whole: {theirs} for {asked}");
        case.compare_outputs(&secp, theirs);
        transactions += case.compare_transactions(&secp, theirs);
    }
    // Lest the comparison of transactions pass by comparing none.
    assert!(transactions > 2 * cases.len(), "{transactions} transactions compared");
}
