use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use bitcoin::taproot::{ControlBlock, LeafVersion, TapLeafHash};
use bitcoin::{ScriptBuf, VarInt, Weight, XOnlyPublicKey};
use miniscript::policy::Liftable;
use miniscript::{Miniscript, RelLockTime, Tap, Terminal, Threshold};
use serde::{Deserialize, Serialize};
use tapstake_params::{Quorum, Timelock};

use crate::terms::Parties;

pub(crate) type Fragment = Miniscript<XOnlyPublicKey, Tap>;

/// The ways out of a stake's outputs, by the names of their leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeafName {
    /// The staker alone, after the timelock.
    Timelock,
    /// The staker with the covenant.
    Unbonding,
    /// The staker with any one provider and the covenant.
    Slashing,
}

impl fmt::Display for LeafName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LeafName::Timelock => "timelock",
            LeafName::Unbonding => "unbonding",
            LeafName::Slashing => "slashing",
        })
    }
}

/// One way out of an output: a tapscript leaf and the proof that the output commits to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Which way it is.
    pub name: LeafName,
    /// The leaf's script, of leaf version 0xc0 (BIP-0342).
    pub script: ScriptBuf,
    /// The leaf's hash, which signatures commit to.
    pub leaf_hash: TapLeafHash,
    /// Internal key, parity and Merkle path (BIP-0341): 33 bytes and 32 for each level of the tree.
    pub control_block: ControlBlock,
    pub(crate) fragment: Arc<Fragment>,
    pub(crate) signers: Vec<Quorum>,
    pub(crate) time: Option<Timelock>,
}

impl Leaf {
    /// The conditions of this leaf as a semantic policy, such as `and(pk(K),older(1000))`.
    pub fn policy(&self) -> String {
        self.fragment.lift().expect("a stake's leaf has no timelock of two kinds").to_string()
    }

    /// The leaf as miniscript.
    pub fn miniscript(&self) -> String {
        self.fragment.to_string()
    }

    /// Who must sign, in the order of the script: the staker (1 of 1), then for a slashing the providers (1 of
    /// n), then the covenant (M of N).
    pub fn signers(&self) -> &[Quorum] {
        &self.signers
    }

    /// The timelock this leaf asks for, if it is the timelock leaf.
    pub const fn timelock(&self) -> Option<Timelock> {
        self.time
    }

    /// Script and version, as BIP-0371 fields key them.
    pub fn script_and_version(&self) -> (ScriptBuf, LeafVersion) {
        (self.script.clone(), LeafVersion::TapScript)
    }

    /// The weight of the witness that spends by this leaf, signatures without a sighash byte: exact, and so
    /// the worst case too. One weight unit a byte, the number of items included.
    pub fn witness_weight(&self) -> Weight {
        let pushed = |bytes: usize| VarInt::from(bytes).size() + bytes;
        let slots: usize = self.signers.iter().map(|group| group.keys().len()).sum();
        let signed: usize = self.signers.iter().map(Quorum::threshold).sum();
        let bytes = VarInt::from(slots + 2).size()
            + signed * pushed(64)
            + (slots - signed) * pushed(0)
            + pushed(self.script.len())
            + pushed(self.control_block.size());
        Weight::from_wu(bytes as u64)
    }
}

fn fragment(node: Terminal<XOnlyPublicKey, Tap>) -> Fragment {
    Miniscript::from_ast(node).expect("the fragments of a stake's leaf are well typed and within limits")
}

fn and(left: Fragment, right: Fragment) -> Fragment {
    fragment(Terminal::AndV(Arc::new(left), Arc::new(right)))
}

fn verify(inner: Fragment) -> Fragment {
    fragment(Terminal::Verify(Arc::new(inner)))
}

/// `pk(key)`.
fn signed_by(key: XOnlyPublicKey) -> Fragment {
    fragment(Terminal::Check(Arc::new(fragment(Terminal::PkK(key)))))
}

/// `pk(key)` for a single key, `multi_a(M,keys)` for several.
fn signed_by_quorum(quorum: &Quorum) -> Fragment {
    match quorum.keys() {
        [key] => signed_by(*key),
        keys => {
            let threshold =
                Threshold::new(quorum.threshold(), keys.to_vec()).expect("a quorum is a threshold");
            fragment(Terminal::MultiA(threshold))
        }
    }
}

fn only(staker: XOnlyPublicKey) -> Quorum {
    Quorum::new(1, alloc::vec![staker]).expect("one of one key is a quorum")
}

/// A leaf's miniscript before an output commits to it.
pub(crate) struct Draft {
    pub(crate) name: LeafName,
    pub(crate) fragment: Arc<Fragment>,
    pub(crate) signers: Vec<Quorum>,
    pub(crate) time: Option<Timelock>,
}

impl Draft {
    /// `and_v(v:pk(S),older(T))`
    pub(crate) fn timelock(staker: XOnlyPublicKey, time: Timelock) -> Self {
        let older = fragment(Terminal::Older(RelLockTime::from_height(time.blocks())));
        let fragment = Arc::new(and(verify(signed_by(staker)), older));
        Draft { name: LeafName::Timelock, fragment, signers: alloc::vec![only(staker)], time: Some(time) }
    }

    /// `and_v(v:pk(S),C)`
    pub(crate) fn unbonding(parties: &Parties) -> Self {
        Self::unbonding_of(parties.staker(), parties.covenant())
    }

    pub(crate) fn unbonding_of(staker: XOnlyPublicKey, covenant: &Quorum) -> Self {
        let fragment = Arc::new(and(verify(signed_by(staker)), signed_by_quorum(covenant)));
        Draft {
            name: LeafName::Unbonding,
            fragment,
            signers: alloc::vec![only(staker), covenant.clone()],
            time: None,
        }
    }

    /// `and_v(and_v(v:pk(S),v:P),C)`
    pub(crate) fn slashing(parties: &Parties) -> Self {
        let (providers, covenant) = (parties.providers().as_quorum(), parties.covenant());
        let punished = and(verify(signed_by(parties.staker())), verify(signed_by_quorum(providers)));
        let fragment = Arc::new(and(punished, signed_by_quorum(covenant)));
        let signers = alloc::vec![only(parties.staker()), providers.clone(), covenant.clone()];
        Draft { name: LeafName::Slashing, fragment, signers, time: None }
    }
}
