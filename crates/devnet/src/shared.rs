//! The chain as several threads see it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::chain::Chain;

/// A chain behind a lock, with a bell that rings when it has changed.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    chain: Chain,
    /// Number of changes so far.
    version: u64,
    stopped: bool,
}

impl Shared {
    pub(crate) fn new(chain: Chain) -> Self {
        Self { state: Mutex::new(State { chain, version: 0, stopped: false }), changed: Condvar::new() }
    }

    /// Locks the state. A thread that panicked left at worst a chain that answers wrongly to tests,
    /// so its poison is no reason to panic here as well.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn read<T>(&self, read: impl FnOnce(&Chain) -> T) -> T {
        read(&self.lock().chain)
    }

    pub(crate) fn update<T>(&self, update: impl FnOnce(&mut Chain) -> T) -> T {
        let mut state = self.lock();
        let result = update(&mut state.chain);
        state.version += 1;
        self.changed.notify_all();
        result
    }

    /// Waits for a version other than `seen`. Returns it, or nothing once all is to stop.
    pub(crate) fn wait_for_change(&self, seen: u64) -> Option<u64> {
        let state = self.lock();
        let state = self
            .changed
            .wait_while(state, |state| state.version == seen && !state.stopped)
            .unwrap_or_else(PoisonError::into_inner);
        (!state.stopped).then_some(state.version)
    }

    /// Sleeps until all is to stop or the time is over. Returns whether all is to stop.
    pub(crate) fn sleep(&self, duration: Duration, mut cancelled: impl FnMut() -> bool) -> bool {
        let deadline = Instant::now() + duration;
        let mut state = self.lock();
        while !state.stopped && !cancelled() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Wakes everyone who waits, without a change.
    pub(crate) fn wake(&self) {
        let _state = self.lock();
        self.changed.notify_all();
    }

    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }
}
