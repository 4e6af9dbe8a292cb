/// The timestamps of the last 11 blocks, whose median the next block's time must exceed.
///
/// Nothing is sorted on the way: a time is above the median of n values exactly if it is above more than
/// half of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LastTimes {
    ring: [u32; LastTimes::SPAN],
    next: usize,
    len: usize,
}

impl LastTimes {
    /// The number of blocks that the median is taken over.
    pub(crate) const SPAN: usize = 11;

    pub(crate) fn new(oldest_first: impl IntoIterator<Item = u32>) -> Self {
        let mut times = LastTimes { ring: [0; Self::SPAN], next: 0, len: 0 };
        oldest_first.into_iter().for_each(|time| times.push(time));
        times
    }

    /// Takes the newest time in and, when full, drops the oldest.
    pub(crate) fn push(&mut self, time: u32) {
        self.ring[self.next] = time;
        self.next = (self.next + 1) % Self::SPAN;
        self.len = Self::SPAN.min(self.len + 1);
    }

    /// Whether `time` is above the median; of an even number of values the upper middle one counts.
    pub(crate) fn are_exceeded_by(&self, time: u32) -> bool {
        let below = self.ring[..self.len].iter().filter(|past| **past < time).count();
        below > self.len / 2
    }

    /// The median itself, for messages.
    pub(crate) fn median(&self) -> u32 {
        let mut sorted = self.ring;
        let sorted = &mut sorted[..self.len];
        sorted.sort_unstable();
        sorted.get(self.len / 2).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_median_of_few_times_is_the_upper_middle_one_as_in_bitcoin_core() {
        let times = LastTimes::new([10, 30]);
        assert_eq!(times.median(), 30);
        assert!(!times.are_exceeded_by(30));
        assert!(times.are_exceeded_by(31));
    }

    proptest! {
        #[test]
        fn counting_and_sorting_agree(past in prop::collection::vec(0u32..20, 1..40), time in 0u32..22) {
            let times = LastTimes::new(past.iter().copied());
            let mut last: Vec<u32> = past[past.len().saturating_sub(11)..].to_vec();
            last.sort_unstable();
            prop_assert_eq!(times.median(), last[last.len() / 2]);
            prop_assert_eq!(times.are_exceeded_by(time), time > last[last.len() / 2]);
        }
    }
}
