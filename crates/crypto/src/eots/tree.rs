use alloc::vec::Vec;

use bitcoin::hashes::{Hash, HashEngine, sha256};
use bitcoin::hex::DisplayHex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Commitment, CommitmentError, PublicRandomness};

/// The greatest number of heights in one commitment, 2^24: five years of blocks every ten seconds.
pub const MAX_COUNT: u64 = 1 << 24;

/// No path in a tree of [`MAX_COUNT`] leaves is longer.
const MAX_DEPTH: usize = MAX_COUNT.ilog2() as usize;

/// The Merkle tree over the public randomness of consecutive heights, kept whole so that a proof costs no hashing.
///
/// Leaves are `SHA256(00 ‖ r)`, nodes `SHA256(01 ‖ left ‖ right)`, and a tree of n leaves splits at the greatest power of two
/// below n (RFC 6962, section 2.1). Such a tree is the same as pairing neighbours level by level and carrying an odd last
/// node up unchanged, which is how it is built. It holds 64 bytes a height.
#[derive(Clone, PartialEq, Eq)]
pub struct CommitmentTree {
    commitment: Commitment,
    /// From the leaves to the root.
    levels: Vec<Vec<[u8; 32]>>,
}

impl CommitmentTree {
    /// Builds the tree of `randomness`, the first of which is that of height `start`.
    ///
    /// # Errors
    ///
    /// [`CommitmentError::Count`] if there is none or more than [`MAX_COUNT`] (no further one is taken then),
    /// [`CommitmentError::Overflow`] if the last height does not fit into 64 bits.
    pub fn new(
        start: u64,
        randomness: impl IntoIterator<Item = PublicRandomness>,
    ) -> Result<Self, CommitmentError> {
        let randomness = randomness.into_iter();
        let least = randomness.size_hint().0 as u64;
        if least > MAX_COUNT {
            return Err(CommitmentError::Count { count: least });
        }
        let mut leaves = Vec::new();
        for randomness in randomness {
            if leaves.len() as u64 == MAX_COUNT {
                return Err(CommitmentError::Count { count: MAX_COUNT + 1 });
            }
            leaves.push(leaf_hash(&randomness));
        }
        let count = leaves.len() as u64;
        Commitment::check_range(start, count)?;

        let mut levels = Vec::new();
        let mut level = leaves;
        while level.len() > 1 {
            let above = level
                .chunks(2)
                .map(|pair| match pair {
                    [left, right] => node_hash(left, right),
                    odd => odd[0],
                })
                .collect();
            levels.push(core::mem::replace(&mut level, above));
        }
        let commitment = Commitment { start, count, root: level[0] };
        levels.push(level);
        Ok(CommitmentTree { commitment, levels })
    }

    /// What the provider signs and publishes.
    pub fn commitment(&self) -> Commitment {
        self.commitment
    }

    /// The path from the leaf of a height to the root: at most 24 hashes.
    ///
    /// # Errors
    ///
    /// [`CommitmentError::Height`] if the height is not in the tree.
    pub fn proof(&self, height: u64) -> Result<CommitmentProof, CommitmentError> {
        let index = self.commitment.index(height)?;
        let mut index = usize::try_from(index).expect("an index of a tree in memory fits");
        let mut path = Vec::with_capacity(self.levels.len() - 1);
        for level in &self.levels {
            // An odd last node has no sibling and is carried up.
            path.extend(level.get(index ^ 1));
            index >>= 1;
        }
        Ok(CommitmentProof { path })
    }
}

impl core::fmt::Debug for CommitmentTree {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("CommitmentTree").field("commitment", &self.commitment).finish_non_exhaustive()
    }
}

/// The hashes beside the way from a leaf to the root, nearest the leaf first; 32 bytes each, at most 24.
///
/// The height says which leaf, so a proof holds for one height only.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct CommitmentProof {
    path: Vec<[u8; 32]>,
}

impl CommitmentProof {
    /// The hashes one after the other.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.path.concat()
    }

    /// Reads hashes one after the other.
    ///
    /// # Errors
    ///
    /// [`CommitmentError::Length`] if the last one is not whole, [`CommitmentError::PathLength`] if there are more than 24.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CommitmentError> {
        let (hashes, rest) = bytes.as_chunks::<32>();
        if hashes.len() > MAX_DEPTH {
            return Err(CommitmentError::PathLength { actual: hashes.len(), expected: MAX_DEPTH });
        }
        if !rest.is_empty() {
            return Err(CommitmentError::Length { actual: bytes.len(), expected: hashes.len() * 32 });
        }
        Ok(CommitmentProof { path: hashes.to_vec() })
    }

    /// The root of the tree of `count` leaves in which `leaf` is at `index` (RFC 9162, section 2.1.3.2).
    pub(super) fn root(
        &self,
        leaf: &PublicRandomness,
        index: u64,
        count: u64,
    ) -> Result<[u8; 32], CommitmentError> {
        let mut hashes = self.path.iter();
        let mut hash = leaf_hash(leaf);
        let expected = path_length(index, count);
        if self.path.len() != expected {
            return Err(CommitmentError::PathLength { actual: self.path.len(), expected });
        }
        let (mut index, mut last) = (index, count - 1);
        while last > 0 {
            if index != last || index & 1 == 1 {
                let Some(sibling) = hashes.next() else { break };
                hash = if index & 1 == 1 { node_hash(sibling, &hash) } else { node_hash(&hash, sibling) };
            }
            index >>= 1;
            last >>= 1;
        }
        Ok(hash)
    }
}

impl core::fmt::Debug for CommitmentProof {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.path.iter().map(|hash| alloc::format!("{}", hash.as_hex()))).finish()
    }
}

/// How many hashes lie beside the way of the leaf at `index`: one a level, but for those where it is an odd last one.
fn path_length(index: u64, count: u64) -> usize {
    let (mut index, mut last, mut length) = (index, count - 1, 0);
    while last > 0 {
        length += usize::from(index != last || index & 1 == 1);
        index >>= 1;
        last >>= 1;
    }
    length
}

impl Serialize for CommitmentProof {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(&self.to_bytes().as_hex())
        } else {
            serializer.serialize_bytes(&self.to_bytes())
        }
    }
}

impl<'de> Deserialize<'de> for CommitmentProof {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes =
            crate::bytes::deserialize_vec::<_, { 32 * MAX_DEPTH }>(deserializer, "a commitment proof")?;
        CommitmentProof::from_bytes(&bytes).map_err(serde::de::Error::custom)
    }
}

fn leaf_hash(randomness: &PublicRandomness) -> [u8; 32] {
    let mut engine = sha256::Hash::engine();
    engine.input(&[0]);
    engine.input(&randomness.to_bytes());
    sha256::Hash::from_engine(engine).to_byte_array()
}

fn node_hash(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut engine = sha256::Hash::engine();
    engine.input(&[1]);
    engine.input(left);
    engine.input(right);
    sha256::Hash::from_engine(engine).to_byte_array()
}
