//! What the signature schemes cost, each beside its floor: the libsecp256k1 operation it cannot avoid.
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use bitcoin::secp256k1::{
    All, Keypair, Message, Parity, PublicKey, Scalar, Secp256k1, SecretKey, XOnlyPublicKey, schnorr,
};
use divan::{Bencher, black_box};
use tapstake_crypto::adaptor::{self, AdaptorSignature};
use tapstake_crypto::eots::{self, CommitmentTree, EotsSignature, SecretRandomness, Seed, Vote};
use tapstake_crypto::{ExposedKey, pop};

fn main() {
    divan::main();
}

struct Bench {
    secp: Secp256k1<All>,
    signer: Keypair,
    signer_key: XOnlyPublicKey,
    provider: Keypair,
    provider_key: XOnlyPublicKey,
    exposed: ExposedKey,
    digest: [u8; 32],
    schnorr: schnorr::Signature,
    adaptor: AdaptorSignature,
    decrypted: schnorr::Signature,
    randomness: SecretRandomness,
    votes: [([u8; 40], EotsSignature); 2],
}

fn bench() -> Bench {
    let secp = Secp256k1::new();
    let signer = Keypair::from_seckey_slice(&secp, &[7; 32]).unwrap();
    let provider = Keypair::from_seckey_slice(&secp, &[8; 32]).unwrap();
    let signer_key = signer.x_only_public_key().0;
    let provider_key = provider.x_only_public_key().0;
    let exposed = ExposedKey::from_bytes(&secp, &[8; 32], &provider_key).unwrap();
    let digest = [9; 32];
    let schnorr = secp.sign_schnorr_with_aux_rand(&Message::from_digest(digest), &signer, &[0; 32]);
    let adaptor = adaptor::sign(&secp, &signer, &provider_key, &digest, &[0; 32]);
    let decrypted = adaptor::decrypt(&adaptor, &provider_key, &exposed).unwrap();
    let randomness = eots::randomness(&secp, &Seed::new([1; 32]), b"rollup-1", 100);
    let votes = [[1; 32], [2; 32]].map(|block_hash| {
        let message = Vote { height: 100, block_hash }.message();
        (message, eots::sign(&provider, &randomness, &message))
    });
    Bench {
        secp,
        signer,
        signer_key,
        provider,
        provider_key,
        exposed,
        digest,
        schnorr,
        adaptor,
        decrypted,
        randomness,
        votes,
    }
}

/// Floor of signing: one constant-time multiplication of the generator.
#[divan::bench]
fn floor_generator_multiplication(bencher: Bencher<'_, '_>) {
    let b = bench();
    let key = SecretKey::from_slice(&[7; 32]).unwrap();
    bencher.bench_local(|| PublicKey::from_secret_key(&b.secp, black_box(&key)));
}

/// Floor of signing a message.
#[divan::bench]
fn floor_schnorr_sign(bencher: Bencher<'_, '_>) {
    let b = bench();
    let message = Message::from_digest(b.digest);
    bencher.bench_local(|| b.secp.sign_schnorr_with_aux_rand(black_box(&message), &b.signer, &[0; 32]));
}

/// Floor of verifying: one BIP-0340 verification.
#[divan::bench]
fn floor_schnorr_verify(bencher: Bencher<'_, '_>) {
    let b = bench();
    let message = Message::from_digest(b.digest);
    bencher.bench_local(|| {
        b.secp.verify_schnorr(black_box(&b.schnorr), black_box(&message), &b.signer_key).unwrap();
    });
}

/// What checking a known secret key against its public key costs a verifier: floor of extraction.
#[divan::bench]
fn floor_check_of_a_key(bencher: Bencher<'_, '_>) {
    let b = bench();
    let point = b.provider.public_key();
    let minus = Scalar::from(b.provider.secret_key().negate());
    bencher.bench_local(|| point.add_exp_tweak(&b.secp, black_box(&minus)).is_err());
}

#[divan::bench]
fn eots_randomness(bencher: Bencher<'_, '_>) {
    let b = bench();
    let seed = Seed::new([1; 32]);
    bencher.bench_local(|| eots::randomness(&b.secp, &seed, b"rollup-1", black_box(100)));
}

/// A vote whole: randomness and signature.
#[divan::bench]
fn eots_randomness_and_sign(bencher: Bencher<'_, '_>) {
    let b = bench();
    let seed = Seed::new([1; 32]);
    bencher.bench_local(|| {
        let randomness = eots::randomness(&b.secp, &seed, b"rollup-1", black_box(100));
        eots::sign(&b.provider, &randomness, &b.votes[0].0)
    });
}

#[divan::bench]
fn eots_sign(bencher: Bencher<'_, '_>) {
    let b = bench();
    bencher.bench_local(|| eots::sign(&b.provider, &b.randomness, black_box(&b.votes[0].0)));
}

#[divan::bench]
fn eots_verify(bencher: Bencher<'_, '_>) {
    let b = bench();
    let public = b.randomness.public();
    let (message, signature) = &b.votes[0];
    bencher.bench_local(|| {
        eots::verify(&b.secp, &b.provider_key, &public, black_box(message), black_box(signature)).unwrap();
    });
}

/// Both votes verified and the key extracted and checked.
#[divan::bench]
fn eots_extract(bencher: Bencher<'_, '_>) {
    let b = bench();
    let public = b.randomness.public();
    let [(m1, s1), (m2, s2)] = &b.votes;
    bencher.bench_local(|| {
        eots::extract(&b.secp, &b.provider_key, &public, (black_box(m1), s1), (m2, s2)).unwrap()
    });
}

/// 1,000 leaves.
#[divan::bench]
fn eots_commitment_tree_1000(bencher: Bencher<'_, '_>) {
    let b = bench();
    let leaves = vec![b.randomness.public(); 1000];
    bencher.bench_local(|| CommitmentTree::new(0, leaves.iter().copied()).unwrap());
}

#[divan::bench]
fn eots_commitment_check_of_1000(bencher: Bencher<'_, '_>) {
    let b = bench();
    let leaf = b.randomness.public();
    let tree = CommitmentTree::new(0, vec![leaf; 1000]).unwrap();
    let (commitment, proof) = (tree.commitment(), tree.proof(500).unwrap());
    bencher.bench_local(|| commitment.check(black_box(500), &leaf, &proof).unwrap());
}

#[divan::bench]
fn adaptor_sign(bencher: Bencher<'_, '_>) {
    let b = bench();
    bencher
        .bench_local(|| adaptor::sign(&b.secp, &b.signer, &b.provider_key, black_box(&b.digest), &[0; 32]));
}

#[divan::bench]
fn adaptor_verify(bencher: Bencher<'_, '_>) {
    let b = bench();
    bencher.bench_local(|| {
        adaptor::verify(&b.secp, black_box(&b.adaptor), &b.signer_key, &b.provider_key, &b.digest).unwrap();
    });
}

/// With the encryption key lifted beforehand, as for many signatures on one provider's key.
#[divan::bench]
fn adaptor_verify_lifted(bencher: Bencher<'_, '_>) {
    let b = bench();
    let point = b.provider_key.public_key(Parity::Even);
    bencher.bench_local(|| {
        adaptor::point::verify(&b.secp, black_box(&b.adaptor), &b.signer_key, &point, &b.digest).unwrap();
    });
}

/// The same equation in the plain way, `s·G` and `e·P` apart; the challenge is left out.
#[divan::bench]
fn adaptor_verify_by_two_multiplications(bencher: Bencher<'_, '_>) {
    let b = bench();
    let key = b.signer_key.public_key(Parity::Even);
    let provider = b.provider_key.public_key(Parity::Even);
    let bytes = b.adaptor.to_bytes();
    let s = Scalar::from_be_bytes(bytes[33..].try_into().unwrap()).unwrap();
    let e = Scalar::from_be_bytes([0x5a; 32]).unwrap();
    bencher.bench_local(|| {
        let r = key.mul_tweak(&b.secp, black_box(&e)).unwrap().add_exp_tweak(&b.secp, &s).unwrap();
        provider.combine(&r).unwrap().serialize() == bytes[..33]
    });
}

#[divan::bench]
fn adaptor_decrypt(bencher: Bencher<'_, '_>) {
    let b = bench();
    bencher.bench_local(|| {
        adaptor::decrypt(black_box(&b.adaptor), &b.provider_key, black_box(&b.exposed)).unwrap()
    });
}

#[divan::bench]
fn adaptor_extract(bencher: Bencher<'_, '_>) {
    let b = bench();
    bencher.bench_local(|| {
        adaptor::extract(&b.secp, black_box(&b.adaptor), &b.decrypted, &b.provider_key).unwrap()
    });
}

#[divan::bench(args = pop::PossessionForm::ALL)]
fn possession_verify(bencher: Bencher<'_, '_>, form: pop::PossessionForm) {
    let b = bench();
    let account = pop::Account::from_raw(&[3; 20]).unwrap();
    let proof = match form {
        pop::PossessionForm::Bip340 => {
            pop::ProofOfPossession::bip340(&b.secp, &b.signer, account, None, &[0; 32])
        }
        pop::PossessionForm::Bip322 => {
            pop::ProofOfPossession::bip322_p2tr(&b.secp, &b.signer, account, None, &[0; 32])
        }
        pop::PossessionForm::Bip137 => pop::ProofOfPossession::bip137(&b.secp, &b.signer, account, None),
    };
    bencher.bench_local(|| proof.verify(&b.secp, black_box(&b.signer_key)).unwrap());
}
