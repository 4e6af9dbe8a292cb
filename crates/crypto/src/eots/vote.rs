use core::fmt;

use bitcoin::hex::DisplayHex;
use serde::{Deserialize, Serialize};

/// What a provider votes for: one block at one height.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vote {
    /// The height in the service's chain.
    pub height: u64,
    /// The hash of the block, in the byte order of the service.
    #[serde(with = "crate::bytes::hex32")]
    pub block_hash: [u8; 32],
}

impl Vote {
    /// The message that is signed: height, 8 bytes big endian, and block hash, 32 bytes.
    pub fn message(&self) -> [u8; 40] {
        let mut message = [0; 40];
        message[..8].copy_from_slice(&self.height.to_be_bytes());
        message[8..].copy_from_slice(&self.block_hash);
        message
    }
}

impl fmt::Debug for Vote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vote")
            .field("height", &self.height)
            .field("block_hash", &format_args!("{}", self.block_hash.as_hex()))
            .finish()
    }
}
