//! Covenant member and finality provider: keys, policy, records, slashing protection.
//!
//! Two roles hold keys that others rely on, and each must remember what it has signed: a process that forgets can be
//! made to sign against itself.
//!
//! | module | who | what it never does |
//! |---|---|---|
//! | [`covenant`] | a member of the committee | sign what departs from parameters and policy, or two ways out of one stake |
//! | [`provider`] | a finality provider | sign two blocks at one height |
//! | [`keyfile`] | both | leave a key on the disk without a passphrase |
//!
//! Both write down what they sign before the signature leaves, give the same answer to the same question, and can be killed at any
//! point. A folder is one role's, on one machine.
#![forbid(unsafe_code)]

pub mod covenant;
pub mod keyfile;
pub mod provider;
