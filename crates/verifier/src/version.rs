use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The version of a file: reads as `N` and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileVersion<const N: u16>;

impl<const N: u16> Serialize for FileVersion<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(N)
    }
}

impl<'de, const N: u16> Deserialize<'de> for FileVersion<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            version if version == u32::from(N) => Ok(FileVersion),
            version => {
                let message = format_args!("file of version {version}: this program reads version {N}");
                Err(serde::de::Error::custom(message))
            }
        }
    }
}
