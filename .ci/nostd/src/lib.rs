//! Proves that the pure floor needs no standard library.
//!
//! A crate that links `std` by accident, even through a dependency's feature, brings a second panic handler, which the
//! compiler refuses with E0152. So this library compiles exactly if none does. It is never run.
#![no_std]

use core::alloc::{GlobalAlloc, Layout};
use core::panic::PanicInfo;

use tapstake_crypto as _;
use tapstake_params as _;
use tapstake_restake as _;
use tapstake_script as _;
use tapstake_tx as _;
use tapstake_verifier as _;

/// `alloc` wants an allocator to be named; nothing here allocates.
struct NoMemory;

// SAFETY: a null pointer is the documented answer for exhausted memory, and nothing is ever given back.
unsafe impl GlobalAlloc for NoMemory {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }
    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static MEMORY: NoMemory = NoMemory;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
