use bitcoin::secp256k1::XOnlyPublicKey;

/// Why a proof of possession is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PossessionError {
    /// The signature is of another key or on another message.
    #[error("proof of possession: the signature is not of staker {staker} on this account")]
    Signature {
        /// The staker's key.
        staker: XOnlyPublicKey,
    },
    /// BIP-0322: P2TR has one witness element, P2WPKH two.
    #[error(
        "proof of possession: a BIP-0322 witness of {elements} elements, 1 (P2TR) or 2 (P2WPKH) are taken"
    )]
    WitnessElements {
        /// The elements of the witness.
        elements: usize,
    },
    /// BIP-0322: an element of the witness is not what it is there for.
    #[error("proof of possession: the BIP-0322 witness holds no {what}")]
    WitnessElement {
        /// What should be there.
        what: &'static str,
    },
    /// BIP-0322: not the encoding of a witness, or longer than one can be.
    #[error("proof of possession: not the encoding of a BIP-0322 witness")]
    WitnessEncoding,
    /// What a wallet printed is neither a BIP-0137 nor a BIP-0322 signature in base64.
    #[error("proof of possession: not the base64 of a BIP-0137 or BIP-0322 signature")]
    Base64,
    /// BIP-0322: the signature must cover the whole transaction.
    #[error("proof of possession: sighash type {sighash_type}, a BIP-0322 proof takes ALL or DEFAULT")]
    SighashType {
        /// The type found.
        sighash_type: u8,
    },
    /// BIP-0137: the first byte is 27 to 42.
    #[error("proof of possession: a BIP-0137 signature begins with 27 to 42, not {header}")]
    Header {
        /// The first byte.
        header: u8,
    },
    /// BIP-0137: r and s are scalars from 1 to n - 1.
    #[error("proof of possession: a scalar of the BIP-0137 signature is zero or not below the curve order")]
    Scalar,
    /// The negated scalar would be a second signature of the same.
    #[error("proof of possession: the ECDSA signature is not low-S")]
    HighS,
    /// The key in the proof, or the one it recovers, is another.
    #[error("proof of possession: made with key {found}, which is not the staker's")]
    WrongKey {
        /// The key of the proof.
        found: XOnlyPublicKey,
    },
}
