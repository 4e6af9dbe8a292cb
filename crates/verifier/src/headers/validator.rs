use bitcoin::block::{Header, Version};
use bitcoin::hashes::{Hash, sha256d};
use bitcoin::{BlockHash, CompactTarget, Network, Target, TxMerkleNode, Work};
use tapstake_params::Height;

use crate::Rule;
use crate::headers::rules::{BlockTime, PERIOD, Rules, opens_period};
use crate::headers::times::LastTimes;
use crate::headers::{Anchor, HeaderError, work};

/// Seconds that a header may be ahead of the clock.
const MAX_FUTURE: u32 = 2 * 60 * 60;

/// The rules of one network, applied to one header after another from an anchor on, in constant memory.
///
/// It follows a single chain: use it to check a file or a stream of headers, and
/// [`HeaderChain`](crate::headers::HeaderChain) to follow a network.
#[derive(Debug, Clone)]
pub struct HeaderValidator {
    rules: Rules,
    height: Height,
    hash: BlockHash,
    last: BlockTime,
    times: LastTimes,
    median_time_from: Height,
    /// The first block of the current period.
    period: BlockTime,
    /// What the 20-minute rule goes back to: the latest `bits` of the period that are not the least
    /// difficulty, or those of its first block.
    real_bits: CompactTarget,
    /// `bits` change every 2016 headers: what follows from them is computed once.
    difficulty: Difficulty,
    total_work: Work,
}

#[derive(Debug, Clone, Copy)]
struct Difficulty {
    bits: CompactTarget,
    target: Target,
    work: Work,
}

impl Difficulty {
    fn new(bits: CompactTarget) -> Self {
        Difficulty { bits, target: Target::from_compact(bits), work: work::of_bits(bits) }
    }
}

impl HeaderValidator {
    /// Starts at an anchor: the next header is the one above it.
    pub fn new(anchor: &Anchor) -> Self {
        let header = anchor.header();
        let mut times = LastTimes::new(anchor.previous_times().iter().copied());
        times.push(header.time);
        let block = BlockTime { time: header.time, bits: header.bits };
        HeaderValidator {
            rules: *anchor.rules(),
            height: anchor.height(),
            hash: anchor.hash(),
            last: block,
            times,
            median_time_from: anchor.median_time_from(),
            period: block,
            real_bits: header.bits,
            difficulty: Difficulty::new(header.bits),
            total_work: anchor.total_work(),
        }
    }

    /// The network whose rules apply.
    pub const fn network(&self) -> Network {
        self.rules.network
    }

    /// The height of the last header.
    pub const fn height(&self) -> Height {
        self.height
    }

    /// The hash of the last header.
    pub const fn hash(&self) -> BlockHash {
        self.hash
    }

    /// The work of the whole chain up to and with the last header.
    pub const fn total_work(&self) -> Work {
        self.total_work
    }

    /// Checks the next header by every rule and takes it in; a refused header changes nothing.
    ///
    /// `now` is the caller's clock in seconds since 1970, if it has one: with it, headers more than two
    /// hours ahead are refused.
    ///
    /// # Errors
    ///
    /// [`HeaderError`] names the first rule that the header breaks.
    pub fn push(&mut self, header: &Header, now: Option<u32>) -> Result<BlockHash, HeaderError> {
        self.push_hashed(header, hash(&to_bytes(header)), now)
    }

    /// The same for a header in its 80 bytes.
    ///
    /// # Errors
    ///
    /// [`HeaderError`] names the first rule that the header breaks.
    pub fn push_raw(&mut self, raw: &[u8; 80], now: Option<u32>) -> Result<BlockHash, HeaderError> {
        self.push_hashed(&from_bytes(raw), hash(raw), now)
    }

    fn push_hashed(
        &mut self,
        header: &Header,
        hash: BlockHash,
        now: Option<u32>,
    ) -> Result<BlockHash, HeaderError> {
        let height = self.height.saturating_add(1);
        if header.prev_blockhash != self.hash {
            return Err(HeaderError::Link { height, expected: self.hash, found: header.prev_blockhash });
        }
        let (expected, rule) = self.next_bits(height, header.time);
        if header.bits != expected {
            return Err(HeaderError::Bits { height, expected, found: header.bits, rule });
        }
        if self.difficulty.bits != expected {
            // Only a cache: filling it before the header is accepted is harmless.
            self.difficulty = Difficulty::new(expected);
        }
        if !self.difficulty.target.is_met_by(hash) {
            return Err(HeaderError::ProofOfWork { height, hash, bits: header.bits });
        }
        self.check_time(height, header.time, now)?;

        self.height = height;
        self.hash = hash;
        self.last = BlockTime { time: header.time, bits: header.bits };
        self.times.push(header.time);
        if opens_period(height) {
            self.period = self.last;
        }
        if opens_period(height) || header.bits != self.rules.limit {
            self.real_bits = header.bits;
        }
        self.total_work = work::add(self.total_work, self.difficulty.work);
        Ok(hash)
    }

    /// The `bits` of the next header if it has this time, and the rule that they come from.
    pub(super) fn next_bits(&self, height: Height, time: u32) -> (CompactTarget, Rule) {
        if opens_period(height) {
            (self.rules.retarget(self.period, self.last), Rule::Retarget)
        } else if self.rules.is_late(time, self.last.time) {
            (self.rules.limit, Rule::MinDifficulty)
        } else if self.rules.min_difficulty && self.last.bits != self.real_bits {
            (self.real_bits, Rule::MinDifficulty)
        } else {
            (self.last.bits, Rule::Bits)
        }
    }

    fn check_time(&self, height: Height, time: u32, now: Option<u32>) -> Result<(), HeaderError> {
        if height >= self.median_time_from && !self.times.are_exceeded_by(time) {
            return Err(HeaderError::MedianTime { height, time, median: self.times.median() });
        }
        if opens_period(height) && self.rules.warps(time, self.last.time) {
            return Err(HeaderError::TimeWarp { height, time, parent_time: self.last.time });
        }
        match now {
            Some(now) if time > now.saturating_add(MAX_FUTURE) => {
                Err(HeaderError::FutureTime { height, time, now })
            }
            _ => Ok(()),
        }
    }

    /// Goes back to an earlier block of the chain that `chain` holds, from the anchor's header to this
    /// validator's last; `keep` of them stay, at least one.
    pub(crate) fn rewind(&mut self, anchor: &Anchor, chain: &[Header], keep: usize) {
        let (kept, undone) = chain.split_at(keep);
        let Some(last) = kept.last() else { return };
        let undone_blocks = u32::try_from(undone.len()).expect("as many headers as heights");
        self.height = self.height.checked_sub(undone_blocks).expect("undone headers lie above the anchor");
        self.hash = undone.first().map_or(self.hash, |next| next.prev_blockhash);
        self.last = BlockTime { time: last.time, bits: last.bits };
        let before = anchor.previous_times().iter().copied();
        let times = before.chain(kept.iter().map(|header| header.time));
        let skipped = (anchor.previous_times().len() + kept.len()).saturating_sub(LastTimes::SPAN);
        self.times = LastTimes::new(times.skip(skipped));

        // On networks that retarget an anchor opens a period, so the period's first header is there.
        let since_opening = self.height.to_u32() % PERIOD;
        let opening =
            kept.len().saturating_sub(usize::try_from(since_opening).unwrap_or(usize::MAX)).max(1) - 1;
        let period = &kept[opening..];
        self.period = BlockTime { time: period[0].time, bits: period[0].bits };
        let real = period.iter().rev().find(|header| header.bits != self.rules.limit);
        self.real_bits = real.unwrap_or(&period[0]).bits;
        self.total_work = work::sub(self.total_work, work_of(undone));
    }
}

/// The work of consecutive headers, computed once per change of `bits`.
pub(crate) fn work_of<'a>(headers: impl IntoIterator<Item = &'a Header>) -> Work {
    let mut known: Option<Difficulty> = None;
    headers.into_iter().fold(work::none(), |sum, header| {
        let difficulty = match known {
            Some(difficulty) if difficulty.bits == header.bits => difficulty,
            _ => *known.insert(Difficulty::new(header.bits)),
        };
        work::add(sum, difficulty.work)
    })
}

/// SHA-256d of the 80 bytes, at once: feeding them field by field takes longer.
pub(super) fn hash(raw: &[u8; 80]) -> BlockHash {
    BlockHash::from_raw_hash(sha256d::Hash::hash(raw))
}

pub(super) fn to_bytes(header: &Header) -> [u8; 80] {
    let mut raw = [0; 80];
    raw[..4].copy_from_slice(&header.version.to_consensus().to_le_bytes());
    raw[4..36].copy_from_slice(header.prev_blockhash.as_byte_array());
    raw[36..68].copy_from_slice(header.merkle_root.as_byte_array());
    raw[68..72].copy_from_slice(&header.time.to_le_bytes());
    raw[72..76].copy_from_slice(&header.bits.to_consensus().to_le_bytes());
    raw[76..].copy_from_slice(&header.nonce.to_le_bytes());
    raw
}

/// Every 80 bytes are a header. Reading them by hand saves a third of what the rules cost beside the hash.
pub(crate) fn from_bytes(raw: &[u8; 80]) -> Header {
    let number = |at: usize| [raw[at], raw[at + 1], raw[at + 2], raw[at + 3]];
    let hash = |at: usize| {
        let mut hash = [0; 32];
        hash.copy_from_slice(&raw[at..at + 32]);
        hash
    };
    Header {
        version: Version::from_consensus(i32::from_le_bytes(number(0))),
        prev_blockhash: BlockHash::from_byte_array(hash(4)),
        merkle_root: TxMerkleNode::from_byte_array(hash(36)),
        time: u32::from_le_bytes(number(68)),
        bits: CompactTarget::from_consensus(u32::from_le_bytes(number(72))),
        nonce: u32::from_le_bytes(number(76)),
    }
}
