//! Extractable one-time signatures, Schnorr adaptor signatures and proofs of possession.
#![no_std]
#![forbid(unsafe_code)]
