//! Fixed-size values as hex strings in human-readable formats and as bytes in others.

use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

use bitcoin::hex::{FromHex, HexToArrayError};
use serde::de::{Error, SeqAccess, Visitor};

/// Reads `N` bytes: from hex of exactly that length, from bytes or from a sequence.
pub(crate) struct BytesVisitor<const N: usize, T>(pub(crate) &'static str, pub(crate) PhantomData<T>);

impl<'de, const N: usize, T> Visitor<'de> for BytesVisitor<N, T>
where
    T: TryFrom<[u8; N]>,
    T::Error: fmt::Display,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {N} bytes", self.0)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        let bytes = <[u8; N]>::from_hex(text).map_err(E::custom)?;
        T::try_from(bytes).map_err(E::custom)
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<T, E> {
        let bytes = <[u8; N]>::try_from(bytes).map_err(|_| E::invalid_length(bytes.len(), &self))?;
        T::try_from(bytes).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<T, A::Error> {
        let mut bytes = [0; N];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = sequence.next_element()?.ok_or_else(|| A::Error::invalid_length(i, &self))?;
        }
        if sequence.next_element::<u8>()?.is_some() {
            return Err(A::Error::invalid_length(N + 1, &self));
        }
        T::try_from(bytes).map_err(A::Error::custom)
    }
}

/// `Display`, `LowerHex`-like `Debug`, `FromStr` and serde for a type with `to_bytes` and `TryFrom<[u8; N]>`.
macro_rules! fixed_bytes {
    ($name:ident, $length:expr, $what:literal) => {
        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                bitcoin::hex::fmt_hex_exact!(f, $length, &self.to_bytes(), bitcoin::hex::Case::Lower)
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl core::str::FromStr for $name {
            type Err = $crate::HexError<<$name as TryFrom<[u8; $length]>>::Error>;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let bytes = <[u8; $length] as bitcoin::hex::FromHex>::from_hex(text)?;
                Self::try_from(bytes).map_err($crate::HexError::Value)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_bytes(&self.to_bytes())
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let visitor =
                    $crate::bytes::BytesVisitor::<{ $length }, $name>($what, core::marker::PhantomData);
                if deserializer.is_human_readable() {
                    deserializer.deserialize_str(visitor)
                } else {
                    deserializer.deserialize_bytes(visitor)
                }
            }
        }
    };
}
pub(crate) use fixed_bytes;

/// Why a hex string is not the value it is read for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HexError<E: core::error::Error + 'static> {
    /// Not hex of the right length.
    #[error("not hex of the right length: {0}")]
    Hex(HexToArrayError),
    /// The bytes are not a value of that kind.
    #[error(transparent)]
    Value(E),
}

// By hand, since `#[from]` would name it the source, and it is no `Error` without std.
impl<E: core::error::Error + 'static> From<HexToArrayError> for HexError<E> {
    fn from(error: HexToArrayError) -> Self {
        HexError::Hex(error)
    }
}

/// serde of `[u8; 32]`.
pub(crate) mod hex32 {
    use core::marker::PhantomData;

    use bitcoin::hex::DisplayHex;
    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(&bytes.as_hex())
        } else {
            serializer.serialize_bytes(bytes)
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let visitor = super::BytesVisitor::<32, [u8; 32]>("a hash", PhantomData);
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(visitor)
        } else {
            deserializer.deserialize_bytes(visitor)
        }
    }
}

/// Reads at most `MAX` bytes: hex in human-readable formats.
pub(crate) fn deserialize_vec<'de, D: serde::Deserializer<'de>, const MAX: usize>(
    deserializer: D,
    what: &'static str,
) -> Result<Vec<u8>, D::Error> {
    let visitor = VecVisitor::<MAX>(what);
    if deserializer.is_human_readable() {
        deserializer.deserialize_str(visitor)
    } else {
        deserializer.deserialize_bytes(visitor)
    }
}

struct VecVisitor<const MAX: usize>(&'static str);

impl<'de, const MAX: usize> Visitor<'de> for VecVisitor<MAX> {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of at most {MAX} bytes", self.0)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<u8>, E> {
        if text.len() > 2 * MAX {
            return Err(E::invalid_length(text.len() / 2, &self));
        }
        Vec::from_hex(text).map_err(E::custom)
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        if bytes.len() > MAX {
            return Err(E::invalid_length(bytes.len(), &self));
        }
        Ok(bytes.to_vec())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<u8>, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = sequence.next_element()? {
            if bytes.len() == MAX {
                return Err(A::Error::invalid_length(MAX + 1, &self));
            }
            bytes.push(byte);
        }
        Ok(bytes)
    }
}
