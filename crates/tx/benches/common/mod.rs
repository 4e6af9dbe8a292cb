//! A signed delegation, and what it is measured beside.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash;
use bitcoin::key::{Keypair, Secp256k1};
use bitcoin::secp256k1::schnorr::Signature;
use bitcoin::secp256k1::{All, Message};
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, WPubkeyHash, XOnlyPublicKey,
};
use tapstake_crypto::pop::{Account, ProofOfPossession};
use tapstake_params::{Quorum, Schedule, StakingParams, Timelock};
use tapstake_script::{Providers, StakeTerms};
use tapstake_tx::delegation::{Delegation, DelegationPackage};

/// A delegation that `signing` members of a committee have signed, by parameters like the newest of `schedule`.
pub(crate) fn delegation(
    secp: &Secp256k1<All>,
    schedule: &Schedule,
    (threshold, members): (usize, u8),
    providers: u8,
    signing: usize,
) -> (Schedule, DelegationPackage) {
    let keypair = |role: u8, n| {
        let mut bytes = [role; 32];
        bytes[31] = n;
        Keypair::from_seckey_slice(secp, &bytes).expect("a valid secret key")
    };
    let key = |keypair: &Keypair| keypair.x_only_public_key().0;
    let staker = keypair(1, 0);
    let committee: Vec<_> = (0..members).map(|n| keypair(2, n)).collect();
    let covenant = Quorum::new(threshold, committee.iter().map(key).collect()).expect("distinct keys");
    let params = StakingParams { covenant, ..schedule.latest().clone() };
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
        output: vec![TxOut { value, script_pubkey: terms.staking_output(secp).script_pubkey().clone() }],
    };
    let script_pubkey = ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array([1; 20]));
    let prevout = TxOut { value: value + Amount::from_sat(1_000), script_pubkey };
    let fee = params.slashing.as_ref().expect("stakes are slashed").min_fee;
    let network = schedule.network();
    let draft = Delegation::build(secp, network, &params, terms, tx, &[prevout], value, fee);
    let account = Account::text("an account").expect("short text");
    let possession = ProofOfPossession::bip340(secp, &staker, account, None, &[0; 32]);
    let signed = draft.expect("a stake by the rules").sign(secp, &staker, &[0; 32], possession);
    let signed = signed.expect("the staker's own key");
    let mut package = signed.package();
    for member in &committee[..signing] {
        let given = signed.covenant_signatures(secp, member, &[0; 32]);
        package.parts.covenant.insert(key(member), given);
    }
    (Schedule::new(network, vec![params]).expect("the parameters of the schedule"), package)
}

/// The floor of whatever verifies this many signatures: as many BIP-0340 verifications.
pub(crate) struct Floor<'a> {
    secp: &'a Secp256k1<All>,
    signed: Vec<(Signature, Message, XOnlyPublicKey)>,
}

impl<'a> Floor<'a> {
    /// Each of another key on another message, as in a delegation: one over and over would be guessed ahead.
    pub(crate) fn new(secp: &'a Secp256k1<All>, signatures: usize) -> Self {
        let sign = |n: usize| {
            let mut bytes = [4; 32];
            bytes[24..].copy_from_slice(&n.to_be_bytes());
            let keypair = Keypair::from_seckey_slice(secp, &bytes).expect("a valid secret key");
            let message = Message::from_digest(bytes);
            let signature = secp.sign_schnorr_with_aux_rand(&message, &keypair, &[0; 32]);
            (signature, message, keypair.x_only_public_key().0)
        };
        Floor { secp, signed: (0..signatures).map(sign).collect() }
    }

    pub(crate) fn verify(&self) {
        for (signature, message, key) in &self.signed {
            let verified = self.secp.verify_schnorr(signature, black_box(message), key);
            black_box(verified).expect("our own signature");
        }
    }
}

pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(work());
    start.elapsed()
}

/// The fastest, in microseconds: what others do on the machine only ever adds.
pub(crate) fn fastest(times: Vec<Duration>) -> f64 {
    times.into_iter().min().unwrap_or_default().as_secs_f64() * 1e6
}
