use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Deref;

use bitcoin::key::{TapTweak, UntweakedPublicKey};
use bitcoin::secp256k1::{PublicKey, Secp256k1, Verification};
use bitcoin::taproot::{
    ControlBlock, LeafVersion, TapLeafHash, TapNodeHash, TapTree as BitcoinTapTree, TaprootBuilder,
    TaprootMerkleBranch,
};
use bitcoin::{Address, Network, ScriptBuf, XOnlyPublicKey};
use miniscript::Descriptor;
use miniscript::descriptor::{TapTree, Tr};
use tapstake_params::Timelock;

use crate::leaf::{Draft, Leaf, LeafName};
use crate::terms::Parties;

/// The internal key of every output: the point of BIP-0341 whose discrete logarithm nobody knows, so that
/// no key path exists.
pub fn nums_key() -> UntweakedPublicKey {
    // With both coordinates, since finding y to an x takes a square root.
    const NUMS: [u8; 65] = [
        0x04, // uncompressed
        0x50, 0x92, 0x9b, 0x74, 0xc1, 0xa0, 0x49, 0x54, 0xb7, 0x8b, 0x4b, 0x60, 0x35, 0xe9, 0x7a, 0x5e, 0x07,
        0x8a, 0x5a, 0x0f, 0x28, 0xec, 0x96, 0xd5, 0x47, 0xbf, 0xee, 0x9a, 0xce, 0x80, 0x3a, 0xc0, //
        0x31, 0xd3, 0xc6, 0x86, 0x39, 0x73, 0x92, 0x6e, 0x04, 0x9e, 0x63, 0x7c, 0xb1, 0xb5, 0xf4, 0x0a, 0x36,
        0xda, 0xc2, 0x8a, 0xf1, 0x76, 0x69, 0x68, 0xc3, 0x0c, 0x23, 0x13, 0xf3, 0xa3, 0x89, 0x04,
    ];
    PublicKey::from_slice(&NUMS).expect("the NUMS point of BIP-0341 is on the curve").x_only_public_key().0
}

/// A Taproot output of a stake, with every leaf it commits to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StakeOutput {
    script_pubkey: ScriptBuf,
    internal_key: XOnlyPublicKey,
    merkle_root: TapNodeHash,
    leaves: Vec<Leaf>,
}

impl StakeOutput {
    /// Commits to `drafts` in a tree that leans left: `{{a,b},c}`.
    fn commit<C: Verification>(secp: &Secp256k1<C>, drafts: Vec<Draft>) -> Self {
        let mut root: Option<TapNodeHash> = None;
        let mut placed: Vec<(ScriptBuf, TapLeafHash, Vec<TapNodeHash>)> = Vec::with_capacity(drafts.len());
        for draft in &drafts {
            let script = draft.fragment.encode();
            let leaf_hash = TapLeafHash::from_script(&script, LeafVersion::TapScript);
            let node = TapNodeHash::from(leaf_hash);
            // The new leaf is the sibling of all that was there, and all that was there is its sibling.
            for (_, _, branch) in &mut placed {
                branch.push(node);
            }
            placed.push((script, leaf_hash, root.into_iter().collect()));
            root = Some(root.map_or(node, |root| TapNodeHash::from_node_hashes(root, node)));
        }
        let internal_key = nums_key();
        let merkle_root = root.expect("an output has leaves");
        let (output_key, output_key_parity) = internal_key.tap_tweak(secp, Some(merkle_root));
        let leaves = drafts.into_iter().zip(placed).map(|(draft, (script, leaf_hash, branch))| Leaf {
            name: draft.name,
            leaf_hash,
            control_block: ControlBlock {
                leaf_version: LeafVersion::TapScript,
                output_key_parity,
                internal_key,
                merkle_branch: TaprootMerkleBranch::try_from(branch).expect("a shallow tree"),
            },
            fragment: draft.fragment,
            signers: draft.signers,
            time: draft.time,
            script,
        });
        StakeOutput {
            leaves: leaves.collect(),
            script_pubkey: ScriptBuf::new_p2tr_tweaked(output_key),
            internal_key,
            merkle_root,
        }
    }

    /// The output's script: `OP_1` and 32 bytes.
    pub const fn script_pubkey(&self) -> &ScriptBuf {
        &self.script_pubkey
    }

    /// The internal key, always [`nums_key`].
    pub const fn internal_key(&self) -> XOnlyPublicKey {
        self.internal_key
    }

    /// The root of the tree of leaves.
    pub const fn merkle_root(&self) -> TapNodeHash {
        self.merkle_root
    }

    /// Every leaf, in the order of a depth-first walk.
    pub fn leaves(&self) -> &[Leaf] {
        &self.leaves
    }

    /// The leaf of this name, if the output has one.
    pub fn leaf(&self, name: LeafName) -> Option<&Leaf> {
        self.leaves.iter().find(|leaf| leaf.name == name)
    }

    /// The output's address.
    pub fn address(&self, network: Network) -> Address {
        Address::from_script(&self.script_pubkey, network).expect("a Taproot output has an address")
    }

    /// The output as a standard descriptor, which wallets, Bitcoin Core and the miniscript satisfier
    /// understand. Its text ends in a checksum (BIP-0380).
    pub fn descriptor(&self) -> Descriptor<XOnlyPublicKey> {
        let mut leaves = self.leaves.iter().map(|leaf| TapTree::Leaf(Arc::clone(&leaf.fragment)));
        let first = leaves.next().expect("an output has leaves");
        // It leans left, as `commit` hashed it.
        let tree = leaves.fold(first, TapTree::combine);
        Descriptor::Tr(Tr::new(self.internal_key, Some(tree)).expect("an x-only key and a shallow tree"))
    }

    /// The tree as a PSBT output carries it (BIP-0371).
    pub fn tap_tree(&self) -> BitcoinTapTree {
        let mut builder = TaprootBuilder::new();
        for leaf in &self.leaves {
            let depth = u8::try_from(leaf.control_block.merkle_branch.len()).expect("a shallow tree");
            builder =
                builder.add_leaf(depth, leaf.script.clone()).expect("the leaves stand in depth-first order");
        }
        BitcoinTapTree::try_from(builder).expect("the tree is complete and has no hidden nodes")
    }

    fn named(&self, name: LeafName) -> &Leaf {
        self.leaf(name).expect("an output's own leaf")
    }
}

macro_rules! stake_output {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(StakeOutput);

        impl Deref for $name {
            type Target = StakeOutput;

            fn deref(&self) -> &StakeOutput {
                &self.0
            }
        }

        impl $name {
            /// The staker's own way out, after the timelock.
            pub fn timelock(&self) -> &Leaf {
                self.0.named(LeafName::Timelock)
            }
        }
    };
}

stake_output! {
    /// The output that locks a stake: `tr(NUMS,{{timelock,unbonding},slashing})`.
    StakingOutput
}

stake_output! {
    /// The output of an unbonding transaction: `tr(NUMS,{timelock,slashing})`.
    UnbondingOutput
}

stake_output! {
    /// What a slashing leaves to the staker: `tr(NUMS,timelock)`.
    RefundOutput
}

impl StakingOutput {
    /// The staking output of `parties`, locked for `time`.
    pub fn new<C: Verification>(secp: &Secp256k1<C>, parties: &Parties, time: Timelock) -> Self {
        let leaves = alloc::vec![
            Draft::timelock(parties.staker(), time),
            Draft::unbonding(parties),
            Draft::slashing(parties),
        ];
        StakingOutput(StakeOutput::commit(secp, leaves))
    }

    /// The staker's way out with the covenant.
    pub fn unbonding(&self) -> &Leaf {
        self.0.named(LeafName::Unbonding)
    }

    /// The way a provider's equivocation is punished.
    pub fn slashing(&self) -> &Leaf {
        self.0.named(LeafName::Slashing)
    }
}

impl UnbondingOutput {
    /// The unbonding output of `parties`, locked for `time`.
    pub fn new<C: Verification>(secp: &Secp256k1<C>, parties: &Parties, time: Timelock) -> Self {
        let leaves = alloc::vec![Draft::timelock(parties.staker(), time), Draft::slashing(parties)];
        UnbondingOutput(StakeOutput::commit(secp, leaves))
    }

    /// The way a provider's equivocation is punished.
    pub fn slashing(&self) -> &Leaf {
        self.0.named(LeafName::Slashing)
    }
}

impl RefundOutput {
    /// The refund output of `staker`, locked for `time`.
    pub fn new<C: Verification>(secp: &Secp256k1<C>, staker: XOnlyPublicKey, time: Timelock) -> Self {
        RefundOutput(StakeOutput::commit(secp, alloc::vec![Draft::timelock(staker, time)]))
    }
}
