//! What a service's whole verdict costs, from a proof to a stake that can be slashed, beside the BIP-0340 verifications that
//! it contains, measured in turns in the same run.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bitcoin::block::{Header, Version as BlockVersion};
use bitcoin::hashes::Hash;
use bitcoin::key::{Keypair, Secp256k1};
use bitcoin::script::Builder;
use bitcoin::secp256k1::{All, Message};
use bitcoin::{
    Amount, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxMerkleNode, TxOut, Txid,
    WPubkeyHash, Witness, XOnlyPublicKey, absolute, merkle_tree, transaction,
};
use tapstake_crypto::pop::{Account, ProofOfPossession};
use tapstake_params::{Height, Quorum, Schedule, StakingParams, Timelock, local};
use tapstake_script::{Providers, StakeTerms};
use tapstake_tx::delegation::Delegation;
use tapstake_verifier::headers::{Anchor, HeaderChain};
use tapstake_verifier::{
    Claim, Depth, InclusionProof, MerkleBranch, Policy, Registration, ServicePolicy, StakeProof,
    VerifiedStake, verify_slashable,
};

/// Transactions in the stake's block.
const TRANSACTIONS: u32 = 3166;

struct World {
    secp: Secp256k1<All>,
    schedule: Schedule,
    policy: ServicePolicy,
    chain: HeaderChain,
    proof: StakeProof,
    staker: Keypair,
    signatures: usize,
}

fn keypair(role: u8, n: u8) -> Keypair {
    let mut bytes = [role; 32];
    bytes[31] = n;
    Keypair::from_seckey_slice(&Secp256k1::new(), &bytes).expect("a valid secret key")
}

fn key(keypair: &Keypair) -> XOnlyPublicKey {
    keypair.x_only_public_key().0
}

fn tx(previous_output: OutPoint, script_sig: ScriptBuf, output: Vec<TxOut>) -> Transaction {
    let input = vec![TxIn { previous_output, script_sig, sequence: Sequence::MAX, witness: Witness::new() }];
    let (version, lock_time) = (transaction::Version::TWO, absolute::LockTime::ZERO);
    Transaction { version, lock_time, input, output }
}

fn block(last: &Header, merkle_root: TxMerkleNode) -> Header {
    let mut header = Header {
        version: BlockVersion::from_consensus(0x2000_0000),
        prev_blockhash: last.block_hash(),
        merkle_root,
        time: last.time + 600,
        bits: last.bits,
        nonce: 0,
    };
    while !header.target().is_met_by(header.block_hash()) {
        header.nonce += 1;
    }
    header
}

/// A quorum of the committee has signed.
fn world(threshold: usize, members: u8, providers: u8) -> World {
    let secp = Secp256k1::new();
    let network = Network::Regtest;
    let staker = keypair(1, 0);
    let committee: Vec<_> = (0..members).map(|n| keypair(2, n)).collect();
    let covenant = Quorum::new(threshold, committee.iter().map(key).collect()).expect("distinct keys");
    let local = local::schedule(&secp, network, local::Slashed::Burned).expect("a local schedule");
    let params = StakingParams { covenant, ..local.latest().clone() };
    let providers: Vec<_> = (0..providers).map(|n| key(&keypair(3, n))).collect();
    let claim = Claim {
        staker: key(&staker),
        providers: Providers::new(providers.clone()).expect("distinct keys"),
        staking_time: Timelock::new(64_000).expect("in range"),
        registration: Registration::None,
    };
    let terms = StakeTerms::under(&params, claim.staker, claim.providers.clone(), claim.staking_time)
        .expect("distinct keys");
    let value = Amount::ONE_BTC;
    let output = TxOut { value, script_pubkey: terms.staking_output(&secp).script_pubkey().clone() };
    let stake = tx(OutPoint::new(Txid::hash(b"coin"), 0), ScriptBuf::new(), vec![output.clone()]);
    let script_sig = Builder::new().push_int(1).push_slice([0; 8]).into_script();
    let coinbase = tx(OutPoint::null(), script_sig, vec![output]);

    let script_pubkey = ScriptBuf::new_p2wpkh(&WPubkeyHash::hash(b"coin"));
    let prevouts = [TxOut { value: value + Amount::from_sat(1_000), script_pubkey }];
    let fee = params.slashing.as_ref().expect("the local set slashes").min_fee;
    let draft = Delegation::build(&secp, network, &params, terms, stake.clone(), &prevouts, value, fee);
    let account = Account::text("an account").expect("short text");
    let possession = ProofOfPossession::bip340(&secp, &staker, account, None, &[0; 32]);
    let signed = draft.expect("a stake by the rules").sign(&secp, &staker, &[0; 32], possession);
    let signed = signed.expect("the staker's own key");
    let mut parts = signed.package().parts;
    for member in &committee[..threshold] {
        parts.covenant.insert(key(member), signed.covenant_signatures(&secp, member, &[0; 32]));
    }
    // Possession, two by the staker; of each member one, and two for each provider.
    let signatures = 3 + threshold * (1 + 2 * providers.len());

    let mut txids: Vec<Txid> = (0..TRANSACTIONS).map(|i| Txid::hash(&i.to_le_bytes())).collect();
    txids[0] = coinbase.compute_txid();
    txids[1000] = stake.compute_txid();
    let root = merkle_tree::calculate_root(txids.iter().copied().map(TxMerkleNode::from));
    let branch = |index| MerkleBranch::from_txids(&txids, index).expect("a transaction of the block");
    let anchor = Anchor::genesis(network);
    let header = block(anchor.header(), root.expect("a block has transactions"));
    let mut chain = HeaderChain::new(anchor, 6);
    chain.extend(&[header]).expect("a valid header");
    let proof = StakeProof {
        network,
        vout: 0,
        claim,
        inclusion_height: Height::new(1),
        header,
        inclusion: InclusionProof::new(stake, branch(1000), coinbase, branch(0)),
        own_headers: None,
        delegation: Some(parts),
    };
    let policy = ServicePolicy::new(Policy::new(Depth::Confirmations(1)), [providers[0]]);
    let schedule = Schedule::new(network, vec![params]).expect("the local parameters");
    World { secp, schedule, policy, chain, proof, staker, signatures }
}

impl World {
    fn verify(&self) -> VerifiedStake {
        let World { secp, schedule, policy, chain, proof, .. } = self;
        verify_slashable(secp, black_box(proof), chain, schedule, policy).expect("a valid proof")
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

fn measure(name: &str, world: &World, rounds: usize) {
    let World { secp, staker, signatures, proof, .. } = world;
    let message = Message::from_digest([3; 32]);
    let signature = secp.sign_schnorr_with_aux_rand(&message, staker, &[0; 32]);
    let bytes = proof.to_bytes();
    // In turns, so that whatever else the machine does hits all alike.
    let mut times: [Vec<Duration>; 3] = Default::default();
    for _ in 0..rounds {
        times[0].push(timed(|| {
            for _ in 0..*signatures {
                let verified = secp.verify_schnorr(&signature, black_box(&message), &key(staker));
                black_box(verified).expect("our own signature");
            }
        }));
        times[1].push(timed(|| world.verify()));
        times[2].push(timed(|| StakeProof::from_bytes(black_box(&bytes))));
    }
    let [floor, verdict, read] = times.map(fastest);
    println!("{name}: {signatures} signatures, {} bytes, fastest of {rounds} rounds", bytes.len());
    println!("  floor, {signatures} BIP-0340 verifications   {floor:>9.1} µs");
    println!("  verdict, from proof to stake      {verdict:>9.1} µs   {:.3} x floor", verdict / floor);
    println!("  read from bytes                   {read:>9.1} µs");
}

fn main() {
    // Run as a test, once; run as a benchmark, often enough for a quiet moment.
    let rounds = if std::env::args().any(|argument| argument == "--bench") { 301 } else { 1 };
    measure("6 of 9 members, 1 provider", &world(6, 9, 1), rounds);
    measure("15 of 20 members, 5 providers", &world(15, 20, 5), rounds);
}
