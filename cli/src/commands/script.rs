//! `tapstake script`

use bitcoin::hex::DisplayHex;
use bitcoin::taproot::{TapLeafHash, TapNodeHash};
use bitcoin::{Address, Network, ScriptBuf, XOnlyPublicKey};
use clap::Subcommand;
use serde::Serialize;
use tapstake_params::Timelock;
use tapstake_script::{
    Leaf, LeafName, OpReturn, RefundOutput, StakeOutput, StakingOutput, TermsError, UnbondingOutput,
};

use crate::commands::terms::PartiesArgs;
use crate::error::Result;
use crate::input::{self, KeyArg, key_arg, tag_arg};
use crate::network::NetworkName;
use crate::output::{Show, facts};
use crate::session::Session;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The output that locks a stake
    Staking {
        #[command(flatten)]
        parties: PartiesArgs,
        /// The staking time in blocks, 1 to 65535
        #[arg(long, value_name = "BLOCKS")]
        timelock: u64,
    },
    /// The output of an unbonding transaction
    Unbonding {
        #[command(flatten)]
        parties: PartiesArgs,
        /// The unbonding time in blocks, 1 to 65535
        #[arg(long, value_name = "BLOCKS")]
        timelock: u64,
    },
    /// The output that returns to the staker what a slashing left
    Refund {
        /// The staker's key, 32 or 33 bytes of hex
        #[arg(long, value_name = "KEY", value_parser = key_arg)]
        staker: KeyArg,
        /// The unbonding time in blocks, 1 to 65535
        #[arg(long, value_name = "BLOCKS")]
        timelock: u64,
    },
    /// The OP_RETURN of a phase-1 stake
    OpReturn {
        /// The staking network's tag, 4 bytes of hex
        #[arg(long, value_name = "HEX4", value_parser = tag_arg)]
        tag: [u8; 4],
        /// The staker's key, 32 or 33 bytes of hex
        #[arg(long, value_name = "KEY", value_parser = key_arg)]
        staker: KeyArg,
        /// The finality provider's key, 32 or 33 bytes of hex
        #[arg(long, value_name = "KEY", value_parser = key_arg)]
        provider: KeyArg,
        /// The staking time in blocks, 1 to 65535
        #[arg(long, value_name = "BLOCKS")]
        timelock: u64,
    },
}

pub(crate) fn run(command: &Command, session: &Session<'_>) -> Result<()> {
    let (secp, network) = (&session.secp, session.network());
    match command {
        Command::Staking { parties, timelock } => {
            let output = StakingOutput::new(secp, &parties.to_parties()?, input::timelock(*timelock)?);
            session.out.show(&OutputReport::new(network, &output));
        }
        Command::Unbonding { parties, timelock } => {
            let output = UnbondingOutput::new(secp, &parties.to_parties()?, input::timelock(*timelock)?);
            session.out.show(&OutputReport::new(network, &output));
        }
        Command::Refund { staker, timelock } => {
            let output = RefundOutput::new(secp, staker.to_x_only()?, input::timelock(*timelock)?);
            session.out.show(&OutputReport::new(network, &output));
        }
        Command::OpReturn { tag, staker, provider, timelock } => {
            let (staker, provider) = (staker.to_x_only()?, provider.to_x_only()?);
            if staker == provider {
                return Err(TermsError::StakerIsProvider(staker).into());
            }
            session.out.show(&OpReturnReport::new(*tag, staker, provider, input::timelock(*timelock)?));
        }
    }
    Ok(())
}

/// An output of a stake, with every way out of it.
#[derive(Debug, Serialize)]
pub(crate) struct OutputReport {
    network: NetworkName,
    descriptor: String,
    pub(crate) address: Address,
    script_pubkey: ScriptBuf,
    internal_key: XOnlyPublicKey,
    merkle_root: TapNodeHash,
    leaves: Vec<LeafReport>,
}

#[derive(Debug, Serialize)]
struct LeafReport {
    name: LeafName,
    script: ScriptBuf,
    asm: String,
    policy: String,
    leaf_hash: TapLeafHash,
    control_block: String,
    /// Of a complete witness, in weight units.
    witness_weight: u64,
}

impl OutputReport {
    pub(crate) fn new(network: Network, output: &StakeOutput) -> Self {
        OutputReport {
            network: network.into(),
            descriptor: output.descriptor().to_string(),
            address: output.address(network),
            script_pubkey: output.script_pubkey().clone(),
            internal_key: output.internal_key(),
            merkle_root: output.merkle_root(),
            leaves: output.leaves().iter().map(LeafReport::new).collect(),
        }
    }
}

impl LeafReport {
    fn new(leaf: &Leaf) -> Self {
        LeafReport {
            name: leaf.name,
            script: leaf.script.clone(),
            asm: leaf.script.to_asm_string(),
            policy: leaf.policy(),
            leaf_hash: leaf.leaf_hash,
            control_block: leaf.control_block.serialize().to_lower_hex_string(),
            witness_weight: leaf.witness_weight().to_wu(),
        }
    }
}

impl Show for OutputReport {
    fn text(&self) -> String {
        let mut text = facts([
            ("network", self.network.to_string()),
            ("address", self.address.to_string()),
            ("script_pubkey", self.script_pubkey.to_hex_string()),
            ("internal key", self.internal_key.to_string()),
            ("merkle root", self.merkle_root.to_string()),
            ("descriptor", self.descriptor.clone()),
        ]);
        for leaf in &self.leaves {
            text += &format!("\n\n{} leaf\n", leaf.name);
            text += &facts([
                ("policy", leaf.policy.clone()),
                ("script", leaf.script.to_hex_string()),
                ("asm", leaf.asm.clone()),
                ("leaf hash", leaf.leaf_hash.to_string()),
                ("control block", leaf.control_block.clone()),
                ("witness", format!("{} weight units", leaf.witness_weight)),
            ]);
        }
        text
    }
}

/// The OP_RETURN of a phase-1 stake, and what it says.
#[derive(Debug, Serialize)]
pub(crate) struct OpReturnReport {
    script_pubkey: ScriptBuf,
    asm: String,
    tag: String,
    staker: XOnlyPublicKey,
    provider: XOnlyPublicKey,
    timelock: Timelock,
}

impl OpReturnReport {
    fn new(tag: [u8; 4], staker: XOnlyPublicKey, provider: XOnlyPublicKey, timelock: Timelock) -> Self {
        let script = OpReturn { tag, staker, provider, staking_time: timelock.blocks() }.to_script();
        let (asm, tag) = (script.to_asm_string(), tag.to_lower_hex_string());
        OpReturnReport { script_pubkey: script, asm, tag, staker, provider, timelock }
    }
}

impl Show for OpReturnReport {
    fn text(&self) -> String {
        facts([
            ("script_pubkey", self.script_pubkey.to_hex_string()),
            ("asm", self.asm.clone()),
            ("tag", self.tag.clone()),
            ("staker", self.staker.to_string()),
            ("provider", self.provider.to_string()),
            ("timelock", format!("{} blocks", self.timelock)),
        ])
    }
}
