//! The tagged hashes of BIP-0340 and of the adaptor scheme; their midstates are computed by the compiler.

use bitcoin::hashes::{HashEngine, sha256, sha256t_hash_newtype};
use bitcoin::secp256k1::XOnlyPublicKey;

use crate::scalar::PublicScalar;

sha256t_hash_newtype! {
    pub(crate) struct ChallengeTag = hash_str("BIP0340/challenge");
    /// The challenge of a BIP-0340 signature.
    pub(crate) struct ChallengeHash(_);

    pub(crate) struct AdaptorAuxTag = hash_str("SchnorrAdaptor/aux");
    /// The mask of an adaptor signer's key in its nonce.
    pub(crate) struct AdaptorAuxHash(_);

    pub(crate) struct AdaptorNonceTag = hash_str("SchnorrAdaptor/nonce");
    /// The nonce of an adaptor signature.
    pub(crate) struct AdaptorNonceHash(_);

    pub(crate) struct PossessionTag = hash_str("tapstake/possession");
    /// What the plain form of a proof of possession with a context signs.
    pub(crate) struct PossessionHash(_);
}

/// `e = int(hash(R.x ‖ P.x ‖ message)) mod n` of BIP-0340.
pub(crate) fn challenge(nonce_x: &[u8; 32], key: &XOnlyPublicKey, message: &[u8; 32]) -> PublicScalar {
    use bitcoin::hashes::{Hash, sha256t::Tag};
    let mut engine = ChallengeTag::engine();
    engine.input(nonce_x);
    engine.input(&key.serialize());
    engine.input(message);
    PublicScalar::reduce(sha256::Hash::from_engine(engine).to_byte_array())
}
