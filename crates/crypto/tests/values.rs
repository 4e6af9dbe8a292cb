//! How values print and serialise, and that secrets do neither.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tapstake_crypto::adaptor::{self, AdaptorSignature};
use tapstake_crypto::eots::{
    self, Commitment, CommitmentProof, CommitmentTree, EotsSignature, PublicRandomness, Seed,
    SignedCommitment, Vote,
};
use tapstake_crypto::pop::CompactSignature;
use tapstake_crypto::{ExposedKey, HexError};

fn adaptor_signature() -> AdaptorSignature {
    adaptor::sign(&secp(), &keypair(7), &x_only(&keypair(8)), &[9; 32], &[0; 32])
}

fn public_randomness() -> PublicRandomness {
    eots::randomness(&secp(), &Seed::new([1; 32]), b"s", 1).public()
}

fn eots_signature() -> EotsSignature {
    eots::sign(&keypair(8), &eots::randomness(&secp(), &Seed::new([1; 32]), b"s", 1), b"m")
}

fn tree() -> CommitmentTree {
    CommitmentTree::new(10, vec![public_randomness(); 5]).unwrap()
}

fn json_and_back<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) -> String {
    let json = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&json).unwrap(), value);
    json
}

#[test]
fn values_are_hex_strings_in_json() {
    for (json, printed) in [
        (json_and_back(&adaptor_signature()), adaptor_signature().to_string()),
        (json_and_back(&public_randomness()), public_randomness().to_string()),
        (json_and_back(&eots_signature()), eots_signature().to_string()),
    ] {
        assert_eq!(json, format!("\"{printed}\""));
        assert!(printed.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase()));
    }
    assert_eq!(eots_signature().to_string().parse(), Ok(eots_signature()));
    assert_eq!(public_randomness().to_string().parse(), Ok(public_randomness()));
    assert_eq!(adaptor_signature().to_string().parse(), Ok(adaptor_signature()));
}

#[test]
fn votes_commitments_and_proofs_are_read_back() {
    let vote = Vote { height: 100, block_hash: [0xab; 32] };
    assert_eq!(json_and_back(&vote), format!(r#"{{"height":100,"block_hash":"{}"}}"#, "ab".repeat(32)));
    let commitment = tree().commitment();
    assert!(json_and_back(&commitment).starts_with(r#"{"start":10,"count":5,"root":""#));
    json_and_back(&commitment.sign(&secp(), &keypair(8), &[0; 32]));
    let proof = tree().proof(12).unwrap();
    assert_eq!(json_and_back(&proof).len(), 2 + 2 * 3 * 32);
    json_and_back(&CommitmentProof::default());
}

#[test]
fn the_older_adaptor_form_is_read_from_json() {
    let bytes = adaptor_signature().to_bytes();
    let hex: String = bytes[1..].iter().map(|byte| format!("{byte:02x}")).collect();
    let json = format!("\"02{hex}{:02x}\"", bytes[0] - 2);
    assert_eq!(serde_json::from_str::<AdaptorSignature>(&json).unwrap(), adaptor_signature());
}

/// Reads T from JSON that must be refused.
fn refused<T: DeserializeOwned>(json: &str) -> bool {
    serde_json::from_str::<T>(json).is_err()
}

#[test]
fn what_bytes_refuse_json_refuses() {
    let zero = format!("\"{}\"", "00".repeat(32));
    let great = format!("\"{}\"", "ff".repeat(32));
    for json in [&zero, &great, "\"\"", "\"0\"", "1", "null", "[]", &format!("\"{}\"", "01".repeat(33))] {
        assert!(refused::<EotsSignature>(json), "{json}");
        assert!(refused::<PublicRandomness>(json), "{json}");
        assert!(refused::<AdaptorSignature>(json), "{json}");
        assert!(refused::<CompactSignature>(json), "{json}");
    }
    assert!(refused::<AdaptorSignature>(&format!("\"{}\"", "02".repeat(67))));
    assert!(refused::<CommitmentProof>(&format!("\"{}\"", "00".repeat(25 * 32))));
    assert!(refused::<CommitmentProof>(&format!("\"{}\"", "00".repeat(31))));
}

#[test]
fn fields_too_many_or_too_few_are_refused() {
    let hash = "ab".repeat(32);
    assert!(refused::<Vote>(&format!(r#"{{"height":1,"block_hash":"{hash}","more":1}}"#)));
    assert!(refused::<Vote>(r#"{"height":1}"#));
    assert!(refused::<Vote>(&format!(r#"{{"height":-1,"block_hash":"{hash}"}}"#)));
    assert!(refused::<Commitment>(&format!(r#"{{"start":1,"root":"{hash}"}}"#)));
    assert!(refused::<SignedCommitment>("{}"));
}

#[test]
fn a_commitment_that_cannot_be_is_refused_where_it_is_used() {
    let json = format!(r#"{{"start":1,"count":0,"root":"{}"}}"#, "ab".repeat(32));
    let commitment: Commitment = serde_json::from_str(&json).unwrap();
    assert!(commitment.heights().is_err());
}

#[test]
fn values_are_bytes_in_other_formats() {
    use serde::de::IntoDeserializer;
    use serde::de::value::{BytesDeserializer, Error, SeqDeserializer};
    // serde's own value deserialisers are human-readable, so the visitors are asked through a format that is not.
    struct Binary<D>(D);
    impl<'de, D: serde::Deserializer<'de>> serde::Deserializer<'de> for Binary<D> {
        type Error = D::Error;

        fn deserialize_any<V: serde::de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.deserialize_any(visitor)
        }

        fn is_human_readable(&self) -> bool {
            false
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
        }
    }
    fn read<T: DeserializeOwned>(bytes: &[u8]) -> [Result<T, Error>; 2] {
        let whole: BytesDeserializer<'_, Error> = IntoDeserializer::into_deserializer(bytes);
        let sequence = SeqDeserializer::<_, Error>::new(bytes.iter().copied());
        [T::deserialize(Binary(whole)), T::deserialize(Binary(sequence))]
    }
    let adaptor = adaptor_signature();
    assert_eq!(read(&adaptor.to_bytes()), [Ok(adaptor), Ok(adaptor)]);
    let signature = eots_signature();
    assert_eq!(read(&signature.to_bytes()), [Ok(signature), Ok(signature)]);
    let proof = tree().proof(12).unwrap();
    assert_eq!(read(&proof.to_bytes()), [Ok(proof.clone()), Ok(proof)]);
    for length in [0, 31, 33] {
        assert!(read::<EotsSignature>(&vec![1; length]).iter().all(Result::is_err));
        assert!(read::<AdaptorSignature>(&vec![2; length + 33]).iter().all(Result::is_err) || length == 33);
    }
    assert!(read::<AdaptorSignature>(&[2; 1000]).iter().all(Result::is_err));
    assert!(read::<CommitmentProof>(&[0; 1000]).iter().all(Result::is_err));
}

#[test]
fn hex_errors_tell_the_length_from_the_value() {
    assert!(matches!("00".parse::<EotsSignature>(), Err(HexError::Hex(_))));
    assert!(matches!("00".repeat(32).parse::<EotsSignature>(), Err(HexError::Value(_))));
}

#[test]
fn secrets_are_not_in_debug() {
    let secp = secp();
    let seed = Seed::new([0xab; 32]);
    let randomness = eots::randomness(&secp, &seed, b"s", 1);
    let exposed = ExposedKey::from_bytes(&secp, &[0xab; 32], &x_only(&keypair(0xab))).unwrap();
    assert_eq!(
        format!("{seed:?} {randomness:?} {exposed:?}"),
        "Seed(..) SecretRandomness(..) ExposedKey(..)"
    );
}

#[test]
fn errors_name_the_rule_and_the_values() {
    let error = adaptor::AdaptorError::Length { actual: 64 };
    assert_eq!(error.to_string(), "adaptor signature: 64 bytes, 65 (or 66 in the older form) expected");
    let key = x_only(&keypair(8));
    let error = eots::EotsError::NotExtracted { provider: key };
    assert!(error.to_string().contains(&key.to_string()));
}
