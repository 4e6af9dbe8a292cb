use bitcoin::secp256k1::XOnlyPublicKey;

/// Why an extractable one-time signature, or a value that belongs to one, is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EotsError {
    /// A signature is a scalar from 1 to n - 1.
    #[error("EOTS signature: the scalar is zero or not below the curve order")]
    Scalar,
    /// A public randomness is the x coordinate of a point.
    #[error("EOTS public randomness: not the x coordinate of a point on the curve")]
    Randomness,
    /// The signature is not one of this key, randomness and message.
    #[error("EOTS signature: does not verify for provider {provider}")]
    Signature {
        /// The provider's key.
        provider: XOnlyPublicKey,
    },
    /// One message signed twice is no equivocation, and reveals nothing.
    #[error("EOTS extraction: both signatures are on the same message")]
    SameMessage,
    /// The two are not both signatures of the provider with this randomness.
    #[error("EOTS extraction: the two are not both signatures of provider {provider} with this randomness")]
    NotExtracted {
        /// The provider's key.
        provider: XOnlyPublicKey,
    },
}

/// Why a commitment to public randomness, or a proof that belongs to one, is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitmentError {
    /// A commitment is to at least one height, and to no more than [`MAX_COUNT`](super::MAX_COUNT).
    #[error("commitment: {count} heights, between 1 and {} are allowed", super::MAX_COUNT)]
    Count {
        /// The number of heights.
        count: u64,
    },
    /// The last height does not fit into 64 bits.
    #[error("commitment: {count} heights from {start} on run past the greatest height")]
    Overflow {
        /// The first height.
        start: u64,
        /// The number of heights.
        count: u64,
    },
    /// The height is not among those committed to.
    #[error("commitment: height {height} is outside of {start} and the {count} heights from it")]
    Height {
        /// The height asked for.
        height: u64,
        /// The first height.
        start: u64,
        /// The number of heights.
        count: u64,
    },
    /// The path is longer or shorter than the tree is deep at that height.
    #[error("commitment proof: {actual} hashes, this height has {expected}")]
    PathLength {
        /// The hashes in the proof.
        actual: usize,
        /// The hashes that lead from the height's leaf to the root.
        expected: usize,
    },
    /// The path leads to another root: another randomness, height or tree.
    #[error("commitment proof: the randomness is not the one committed to for height {height}")]
    Root {
        /// The height.
        height: u64,
    },
    /// The commitment is not signed by the provider.
    #[error("commitment: the signature is not of provider {provider}")]
    Signature {
        /// The provider's key.
        provider: XOnlyPublicKey,
    },
    /// Not the bytes of a commitment or of a proof.
    #[error("commitment: {actual} bytes, {expected} expected")]
    Length {
        /// How many bytes there are.
        actual: usize,
        /// How many there should be.
        expected: usize,
    },
}
