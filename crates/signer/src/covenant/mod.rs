//! One member of the covenant committee.
//!
//! A member signs three transactions of a delegation, and with them gives the staker its way out and everybody the means
//! to slash it: the unbonding transaction by BIP-0340, both slashing transactions by adaptor signatures that only a
//! provider's exposed key completes. Before it signs it checks everything itself, against its own copy of the parameters
//! and against its [`Policy`]; nothing that a delegation file claims is taken for granted.
//!
//! [`Checked`] is a delegation that keeps every rule of the protocol and of the parameters it names, [`Approved`] one that
//! a policy lets sign, and only an approved one can be signed, by a [`CovenantKey`] wherever that is kept. A [`Member`] is
//! all of this with a folder: key file, policy, and the record of what was signed, which is on disk before a signature
//! leaves. From the record the same question gets the same answer, and a second unbonding transaction for one stake none.
//!
//! | in the folder | |
//! |---|---|
//! | `key.age` | the secret key, encrypted ([`keyfile`](crate::keyfile)); not there if the key is elsewhere |
//! | `policy.json` | the [`Policy`], to be edited by hand |
//! | `record.sqlite` | what was signed: copy it away by SQLite's own means, never put back an older copy |
//! | `lock` | held by the one process that uses the folder |

mod approve;
mod error;
mod key;
mod member;
mod policy;
mod record;
mod signed;

pub use approve::{Approved, Checked, Release};
pub use error::{CovenantError, PolicyFileError, Refusal};
pub use key::{CovenantKey, KeyError, LocalKey, NoSecretKey};
pub use member::{Answer, Member};
pub use policy::{Policy, Rules, Services, VersionAt};
pub use signed::{MemberSignatures, Signed, SignedExpansion, Subject};
