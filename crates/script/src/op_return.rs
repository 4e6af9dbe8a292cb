use alloc::vec::Vec;

use bitcoin::opcodes::all::{OP_PUSHBYTES_71, OP_RETURN};
use bitcoin::{Script, ScriptBuf, Transaction, XOnlyPublicKey};
use tapstake_params::{Timelock, TimelockError};

/// The OP_RETURN by which anyone finds a phase-1 stake: 73 bytes of script.
///
/// `6a 47 | tag (4) | version 00 | staker (32) | provider (32) | staking time (2, big endian)`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpReturn {
    /// The tag of the staking network.
    pub tag: [u8; 4],
    /// The staker's key.
    pub staker: XOnlyPublicKey,
    /// The finality provider's key.
    pub provider: XOnlyPublicKey,
    /// The timelock in blocks as it stands there, 0 included: see [`OpReturn::timelock`].
    pub staking_time: u16,
}

/// Why a transaction has no single phase-1 OP_RETURN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpReturnError {
    /// More than one output has the right shape, whatever their tags.
    #[error("the transaction has {count} OP_RETURNs in the shape of a stake's: exactly one may be there")]
    Several {
        /// How many there are.
        count: usize,
    },
}

const LENGTH: usize = 73;

impl OpReturn {
    /// The OP_RETURN's script.
    pub fn to_script(&self) -> ScriptBuf {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend([OP_RETURN.to_u8(), OP_PUSHBYTES_71.to_u8()]);
        bytes.extend(self.tag);
        bytes.push(0);
        bytes.extend(self.staker.serialize());
        bytes.extend(self.provider.serialize());
        bytes.extend(self.staking_time.to_be_bytes());
        ScriptBuf::from_bytes(bytes)
    }

    /// Reads a script of the right shape: length, opcodes, version 0 and two keys on the curve. The tag may
    /// be any.
    pub fn parse(script: &Script) -> Option<Self> {
        let bytes: &[u8; LENGTH] = script.as_bytes().try_into().ok()?;
        if bytes[..2] != [OP_RETURN.to_u8(), OP_PUSHBYTES_71.to_u8()] || bytes[6] != 0 {
            return None;
        }
        Some(OpReturn {
            tag: [bytes[2], bytes[3], bytes[4], bytes[5]],
            staker: XOnlyPublicKey::from_slice(&bytes[7..39]).ok()?,
            provider: XOnlyPublicKey::from_slice(&bytes[39..71]).ok()?,
            staking_time: u16::from_be_bytes([bytes[71], bytes[72]]),
        })
    }

    /// Finds the one output of the right shape. Shapes are counted before any tag is read.
    ///
    /// # Errors
    ///
    /// [`OpReturnError::Several`] if there is more than one.
    pub fn find(tx: &Transaction) -> Result<Option<Self>, OpReturnError> {
        let mut found = tx.output.iter().filter_map(|output| OpReturn::parse(&output.script_pubkey));
        let first = found.next();
        match found.count() {
            0 => Ok(first),
            more => Err(OpReturnError::Several { count: more + 1 }),
        }
    }

    /// The timelock.
    ///
    /// # Errors
    ///
    /// [`TimelockError`] if it is 0.
    pub fn timelock(&self) -> Result<Timelock, TimelockError> {
        Timelock::new(self.staking_time.into())
    }
}
