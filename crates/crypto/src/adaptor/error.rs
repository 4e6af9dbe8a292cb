use bitcoin::secp256k1::XOnlyPublicKey;

/// Why an adaptor signature, or what is made of one, is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdaptorError {
    /// Neither the 65-byte form nor the older one of 66 bytes.
    #[error("adaptor signature: {actual} bytes, 65 (or 66 in the older form) expected")]
    Length {
        /// How many bytes there are.
        actual: usize,
    },
    /// The nonce point is compressed, prefix 02 or 03; in the 66-byte form the prefix is 02.
    #[error("adaptor signature: the nonce point begins with {prefix:02x}")]
    Prefix {
        /// The first byte.
        prefix: u8,
    },
    /// The last byte of the 66-byte form is 00 or 01.
    #[error("adaptor signature: the last byte of the 66-byte form is {flag:02x}, not 00 or 01")]
    Flag {
        /// The last byte.
        flag: u8,
    },
    /// The scalar is from 1 to n - 1.
    #[error("adaptor signature: the scalar is zero or not below the curve order")]
    Scalar,
    /// The nonce is a coordinate: below the field size.
    #[error("adaptor signature: the nonce is not below the field size")]
    Field,
    /// It does not verify.
    #[error("adaptor signature: does not verify for signer {signer}")]
    Signature {
        /// The signer's key.
        signer: XOnlyPublicKey,
    },
    /// Another key than the one it is encrypted to.
    #[error("adaptor signature: the decryption key is not that of {encryption_key}")]
    DecryptionKey {
        /// The encryption key.
        encryption_key: XOnlyPublicKey,
    },
    /// The decrypted scalar is zero: no signature.
    #[error("adaptor signature: decrypts to a zero scalar")]
    ZeroDecrypted,
    /// The signature has another nonce than the adaptor signature.
    #[error("adaptor signature: the signature given did not come from it, their nonces differ")]
    Nonce,
    /// The difference of the two is not the secret of the encryption key.
    #[error("adaptor signature: the signature given does not reveal the key of {encryption_key}")]
    NotExtracted {
        /// The encryption key.
        encryption_key: XOnlyPublicKey,
    },
}
