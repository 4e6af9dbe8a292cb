//! Services, rewards, liquid receipts and their books over verified stakes.
#![no_std]
#![forbid(unsafe_code)]
