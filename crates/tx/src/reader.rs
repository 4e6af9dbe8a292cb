use bitcoin::consensus::deserialize_partial;
use bitcoin::consensus::encode::{self, Decodable};
use bitcoin::p2p::Magic;
use bitcoin::{Network, XOnlyPublicKey};
use tapstake_params::{Timelock, TimelockError};

/// Takes the fields of a binary format off the front of bytes, integers in little endian. No length is believed before the
/// bytes are there.
///
/// What reads to the same value as other bytes do is for the format to refuse.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    /// What is not yet read.
    pub rest: &'a [u8],
    /// What the bytes are, for errors: "delegation".
    pub of: &'static str,
}

/// Why bytes do not read as a field, or as nothing but the fields.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The bytes end too early.
    #[error("{of} is truncated in {field}")]
    Truncated {
        /// What they are.
        of: &'static str,
        /// The field they end in.
        field: &'static str,
    },
    /// Bytes are left over.
    #[error("{count} bytes after the end of the {of}")]
    Trailing {
        /// What they are.
        of: &'static str,
        /// How many.
        count: usize,
    },
    /// No known network has these message start bytes.
    #[error("no known network has magic {magic}")]
    Network {
        /// The four bytes.
        magic: Magic,
    },
    /// A tag that the format does not know.
    #[error("{field} has unknown tag {tag}")]
    Tag {
        /// The field.
        field: &'static str,
        /// The tag.
        tag: u8,
    },
    /// 32 bytes that are no x-only public key.
    #[error("{field} is no public key: {error}")]
    Key {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        error: bitcoin::secp256k1::Error,
    },
    /// A staking time is no timelock.
    #[error(transparent)]
    StakingTime(#[from] TimelockError),
    /// What should be in Bitcoin's consensus encoding does not decode.
    #[error("{field} does not decode: {error}")]
    Consensus {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        error: encode::Error,
    },
}

impl<'a> Reader<'a> {
    /// The next `length` bytes.
    ///
    /// # Errors
    ///
    /// [`ReadError::Truncated`].
    pub fn take(&mut self, field: &'static str, length: usize) -> Result<&'a [u8], ReadError> {
        let truncated = ReadError::Truncated { of: self.of, field };
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    ///
    /// [`ReadError::Truncated`].
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], ReadError> {
        let truncated = ReadError::Truncated { of: self.of, field };
        let (array, rest) = self.rest.split_first_chunk().ok_or(truncated)?;
        self.rest = rest;
        Ok(*array)
    }

    /// 1 byte.
    ///
    /// # Errors
    ///
    /// [`ReadError::Truncated`].
    pub fn u8(&mut self, field: &'static str) -> Result<u8, ReadError> {
        self.array(field).map(u8::from_le_bytes)
    }

    /// 2 bytes.
    ///
    /// # Errors
    ///
    /// [`ReadError::Truncated`].
    pub fn u16(&mut self, field: &'static str) -> Result<u16, ReadError> {
        self.array(field).map(u16::from_le_bytes)
    }

    /// 4 bytes.
    ///
    /// # Errors
    ///
    /// [`ReadError::Truncated`].
    pub fn u32(&mut self, field: &'static str) -> Result<u32, ReadError> {
        self.array(field).map(u32::from_le_bytes)
    }

    /// Whether something follows: 1 byte, 0 or 1.
    ///
    /// # Errors
    ///
    /// [`ReadError::Truncated`], or [`ReadError::Tag`] for any other byte.
    pub fn flag(&mut self, field: &'static str) -> Result<bool, ReadError> {
        match self.u8(field)? {
            0 => Ok(false),
            1 => Ok(true),
            tag => Err(ReadError::Tag { field, tag }),
        }
    }

    /// A network, by its 4 message start bytes.
    ///
    /// # Errors
    ///
    /// [`ReadError::Truncated`] or [`ReadError::Network`].
    pub fn network(&mut self, field: &'static str) -> Result<Network, ReadError> {
        let magic = Magic::from_bytes(self.array(field)?);
        Network::from_magic(magic).ok_or(ReadError::Network { magic })
    }

    /// An x-only public key, 32 bytes (BIP-0340).
    ///
    /// # Errors
    ///
    /// [`ReadError::Truncated`] or [`ReadError::Key`].
    pub fn key(&mut self, field: &'static str) -> Result<XOnlyPublicKey, ReadError> {
        let bytes: [u8; 32] = self.array(field)?;
        XOnlyPublicKey::from_slice(&bytes).map_err(|error| ReadError::Key { field, error })
    }

    /// A timelock, 2 bytes.
    ///
    /// # Errors
    ///
    /// [`ReadError::Truncated`] or [`ReadError::StakingTime`].
    pub fn timelock(&mut self, field: &'static str) -> Result<Timelock, ReadError> {
        Ok(Timelock::new(self.u16(field)?.into())?)
    }

    /// A value in Bitcoin's consensus encoding.
    ///
    /// # Errors
    ///
    /// [`ReadError::Truncated`] or [`ReadError::Consensus`].
    pub fn consensus<T: Decodable>(&mut self, field: &'static str) -> Result<T, ReadError> {
        match deserialize_partial(self.rest) {
            Ok((value, length)) => {
                self.take(field, length)?;
                Ok(value)
            }
            // Reading from a slice fails in one way only: at its end.
            Err(encode::Error::Io(_)) => Err(ReadError::Truncated { of: self.of, field }),
            Err(error) => Err(ReadError::Consensus { field, error }),
        }
    }

    /// Nothing is left.
    ///
    /// # Errors
    ///
    /// [`ReadError::Trailing`].
    pub const fn end(&self) -> Result<(), ReadError> {
        match self.rest.len() {
            0 => Ok(()),
            count => Err(ReadError::Trailing { of: self.of, count }),
        }
    }
}
