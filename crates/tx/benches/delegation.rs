//! What the full check of a delegation costs, beside the BIP-0340 verifications that it contains, measured in turns in the
//! same run.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash;
use bitcoin::key::{Keypair, Secp256k1};
use bitcoin::secp256k1::{All, Message};
use bitcoin::transaction::Version;
use bitcoin::{Amount, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, WPubkeyHash};
use tapstake_crypto::pop::{Account, ProofOfPossession};
use tapstake_params::{Quorum, Schedule, StakingParams, Timelock};
use tapstake_script::{Providers, StakeTerms};
use tapstake_tx::delegation::{CheckedDelegation, Delegation, DelegationPackage, PreparedDelegation, Proven};

/// A delegation that every member has signed, and all it takes to check it.
struct Fixture {
    secp: Secp256k1<All>,
    schedule: Schedule,
    package: DelegationPackage,
}

fn fixture(threshold: usize, members: u8, providers: u8) -> Fixture {
    let secp = Secp256k1::new();
    let keypair = |role: u8, n| {
        let mut bytes = [role; 32];
        bytes[31] = n;
        Keypair::from_seckey_slice(&secp, &bytes).expect("a valid secret key")
    };
    let key = |keypair: &Keypair| keypair.x_only_public_key().0;
    let staker = keypair(1, 0);
    let committee: Vec<_> = (0..members).map(|n| keypair(2, n)).collect();
    let covenant = Quorum::new(threshold, committee.iter().map(key).collect()).expect("distinct keys");
    let params = StakingParams { covenant, ..Schedule::bbn_1().latest().clone() };
    let providers = (0..providers).map(|n| key(&keypair(3, n))).collect();
    let providers = Providers::new(providers).expect("distinct keys");
    let time = Timelock::new(64_000).expect("in range");
    let terms = StakeTerms::under(&params, key(&staker), providers, time).expect("distinct keys");
    let value = Amount::ONE_BTC;
    let tx = Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint { txid: Txid::from_byte_array([9; 32]), vout: 0 },
            sequence: Sequence::MAX,
            ..TxIn::default()
        }],
        output: vec![TxOut { value, script_pubkey: terms.staking_output(&secp).script_pubkey().clone() }],
    };
    let script_pubkey = ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array([1; 20]));
    let prevout = TxOut { value: value + Amount::from_sat(1_000), script_pubkey };
    let fee = params.slashing.as_ref().expect("mainnet slashes").min_fee;
    let network = Network::Bitcoin;
    let draft = Delegation::build(&secp, network, &params, terms, tx, &[prevout], value, fee);
    let account = Account::text("an account").expect("short text");
    let possession = ProofOfPossession::bip340(&secp, &staker, account, None, &[0; 32]);
    let signed = draft.expect("a stake by the rules").sign(&secp, &staker, &[0; 32], possession);
    let signed = signed.expect("the staker's own key");
    let mut package = signed.package();
    for member in &committee {
        let given = signed.covenant_signatures(&secp, member, &[0; 32]);
        package.parts.covenant.insert(key(member), given);
    }
    let schedule = Schedule::new(network, vec![params]).expect("mainnet's parameters");
    Fixture { secp, schedule, package }
}

impl Fixture {
    fn prepare(&self) -> PreparedDelegation<'_> {
        self.package.prepare(&self.secp, &self.schedule).expect("a delegation by the rules")
    }

    fn check(&self) -> CheckedDelegation {
        self.package.check(&self.secp, &self.schedule).expect("a delegation by the rules")
    }

    fn check_on_threads(&self, threads: usize) -> CheckedDelegation {
        let prepared = self.prepare();
        let chunk = prepared.checks().len().div_ceil(threads);
        let tokens: Vec<Proven<'_>> = std::thread::scope(|scope| {
            let parts: Vec<_> = prepared
                .checks()
                .chunks(chunk)
                .map(|part| {
                    let verified = || part.iter().map(|check| check.verify(&self.secp));
                    scope.spawn(move || verified().collect::<Result<Vec<_>, _>>())
                })
                .collect();
            let parts = parts.into_iter().map(|part| part.join().expect("no panic"));
            parts.flat_map(|part| part.expect("right signatures")).collect()
        });
        prepared.accept(tokens).expect("every token")
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(work());
    start.elapsed()
}

/// The fastest, in microseconds: what others do on the machine only ever adds.
fn fastest(times: Vec<Duration>) -> f64 {
    times.into_iter().min().unwrap_or_default().as_secs_f64() * 1e6
}

fn measure(name: &str, fixture: &Fixture, rounds: usize) {
    let signatures = fixture.prepare().checks().len();
    // Each of another key on another message, as in a delegation: one over and over would be guessed ahead.
    let plain: Vec<_> = (0..signatures)
        .map(|n| {
            let mut bytes = [4; 32];
            bytes[24..].copy_from_slice(&n.to_be_bytes());
            let keypair = Keypair::from_seckey_slice(&fixture.secp, &bytes).expect("a valid secret key");
            let message = Message::from_digest(bytes);
            let signature = fixture.secp.sign_schnorr_with_aux_rand(&message, &keypair, &[0; 32]);
            (signature, message, keypair.x_only_public_key().0)
        })
        .collect();
    let bytes = fixture.package.to_bytes();
    // In turns, so that whatever else the machine does hits all alike.
    let mut times: [Vec<Duration>; 6] = Default::default();
    let prepared = fixture.prepare();
    for _ in 0..rounds {
        times[0].push(timed(|| {
            for (signature, message, key) in &plain {
                let verified = fixture.secp.verify_schnorr(signature, black_box(message), key);
                black_box(verified).expect("our own signature");
            }
        }));
        times[1].push(timed(|| fixture.check()));
        times[2].push(timed(|| fixture.check_on_threads(2)));
        times[3].push(timed(|| fixture.prepare()));
        times[4].push(timed(|| {
            for check in prepared.checks() {
                black_box(check.verify(&fixture.secp)).expect("right signatures");
            }
        }));
        times[5].push(timed(|| DelegationPackage::from_bytes(black_box(&bytes))));
    }
    let [floor, check, threads, prepare, alone, read] = times.map(fastest);
    println!("{name}: {signatures} signatures, {} bytes, fastest of {rounds} rounds", bytes.len());
    println!("  floor, {signatures} BIP-0340 verifications   {floor:>9.1} µs");
    println!("  full check                        {check:>9.1} µs   {:.3} x floor", check / floor);
    println!("  full check on two threads         {threads:>9.1} µs   {:.3} x floor", threads / floor);
    println!("  of it, the signatures             {alone:>9.1} µs   {:.3} x floor", alone / floor);
    println!("  of it, all else                   {prepare:>9.1} µs");
    println!("  read from bytes                   {read:>9.1} µs");
}

fn main() {
    // Run as a test, once; run as a benchmark, often enough for a quiet moment.
    let rounds = if std::env::args().any(|argument| argument == "--bench") { 301 } else { 1 };
    measure("6 of 9 members, 1 provider", &fixture(6, 9, 1), rounds);
    measure("15 of 20 members, 5 providers", &fixture(15, 20, 5), rounds);
}
