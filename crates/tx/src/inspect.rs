//! What any transaction is to a stake, and every fact that it shows by itself.
//!
//! A transaction shows the terms of what it spends by the leaf in its witness, and a phase-1 stake by its OP_RETURN.
//! Signatures are counted and not verified: their digest commits to prevouts that a transaction does not carry.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bitcoin::hex::DisplayHex;
use bitcoin::secp256k1::{Secp256k1, Verification};
use bitcoin::taproot::{ControlBlock, LeafVersion, TapLeafHash, TapNodeHash};
use bitcoin::transaction::Version;
use bitcoin::{
    Address, Network, OutPoint, Script, ScriptBuf, Transaction, TxIn, TxOut, Txid, Wtxid, XOnlyPublicKey,
};
use serde::Serialize;
use tapstake_params::{Quorum, Schedule, StakingParams, Timelock, check_not_dust};
use tapstake_script::{LeafName, OpReturn, ParsedLeaf, Providers, StakeTerms, find_output, nums_key};

use crate::shape::{self, ShapeError};

/// What a transaction is, by the leaf it takes or the OP_RETURN it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A phase-1 stake: one OP_RETURN of its shape and, where parameters are given, the output it implies.
    Staking,
    /// An input takes the unbonding leaf.
    Unbonding,
    /// An input takes the slashing leaf.
    Slashing,
    /// An input takes the timelock leaf.
    Withdrawal,
    /// The first of two inputs takes the unbonding leaf.
    Expansion,
    /// The transaction that makes a block's coins.
    Coinbase,
    /// Anything else, unsigned transactions of a stake among it.
    Other,
}

/// An output of a stake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputKind {
    /// The staking output.
    Staking,
    /// The unbonding output.
    Unbonding,
    /// What a slashing refunds.
    Refund,
}

/// A transaction, inspected. All values are in sat, all sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Inspection {
    /// What it is.
    pub kind: Kind,
    /// The rule of its kind that it breaks, as far as the transaction alone can show.
    pub fault: Option<String>,
    /// Its id.
    pub txid: Txid,
    /// Its id with the witness.
    pub wtxid: Wtxid,
    /// Its version.
    pub version: i32,
    /// Its lock time: a height below 500,000,000, seconds from there on.
    pub lock_time: u32,
    /// Its size, witness included.
    pub size: usize,
    /// Its weight (BIP-0141).
    pub weight: u64,
    /// Its virtual size: a quarter of the weight, rounded up.
    pub vsize: usize,
    /// Its inputs.
    pub inputs: Vec<InspectedInput>,
    /// Its outputs.
    pub outputs: Vec<InspectedOutput>,
}

/// An input, inspected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InspectedInput {
    /// What it spends.
    pub outpoint: OutPoint,
    /// Its sequence.
    pub sequence: u32,
    /// The blocks that must lie below it since the output it spends (BIP-0068).
    pub relative_lock_blocks: Option<u16>,
    /// The leaf of a stake in its witness.
    pub leaf: Option<InspectedLeaf>,
}

/// A leaf of a stake that a witness shows, with what it tells of the stake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InspectedLeaf {
    /// The leaf's name.
    pub name: LeafName,
    /// The staker's key.
    pub staker: XOnlyPublicKey,
    /// The finality providers, if the leaf names them.
    pub providers: Option<Providers>,
    /// The committee, if the leaf names it.
    pub covenant: Option<Quorum>,
    /// The parameters versions that have this committee.
    pub covenant_versions: Vec<u32>,
    /// The timelock, if it is the timelock leaf.
    pub timelock: Option<Timelock>,
    /// The leaf's hash.
    pub leaf_hash: TapLeafHash,
    /// The internal key in the control block.
    pub internal_key: XOnlyPublicKey,
    /// Whether that is the point without a key, so that no key path exists.
    pub internal_key_is_nums: bool,
    /// The leaf's depth in its tree.
    pub depth: usize,
    /// The outputs of a stake that have such a leaf at this depth: none if the tree is no stake's.
    pub spends: Vec<OutputKind>,
    /// The script of the output that commits to this leaf by this control block.
    pub script_pubkey: ScriptBuf,
    /// That output's address.
    pub address: String,
    /// Who filled a slot of the witness, if it has a slot for each key.
    pub signed: Option<Signed>,
}

/// The slots of a witness that are not empty, by group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Signed {
    /// Of one.
    pub staker: usize,
    /// Exactly one in a valid slashing.
    pub providers: usize,
    /// Exactly the quorum in a valid unbonding or slashing.
    pub covenant: usize,
}

/// An output, inspected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InspectedOutput {
    /// Its value in sat.
    pub value: u64,
    /// Its script.
    pub script_pubkey: ScriptBuf,
    /// Its address, if its script has one.
    pub address: Option<String>,
    /// Whether nodes call it dust.
    pub dust: bool,
    /// The data of a phase-1 stake in it.
    pub phase_1: Option<InspectedOpReturn>,
    /// The parameters versions under which it is the staking output that the transaction's OP_RETURN implies.
    pub staking_versions: Vec<u32>,
    /// The parameters versions under which it is the refund of the slashing that the transaction is.
    pub refund_versions: Vec<u32>,
    /// The parameters versions to whose slashing script it pays.
    pub slashing_versions: Vec<u32>,
}

/// The OP_RETURN of a phase-1 stake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InspectedOpReturn {
    /// The tag, in hex.
    pub tag: String,
    /// The parameters versions with this tag.
    pub tag_versions: Vec<u32>,
    /// The staker's key.
    pub staker: XOnlyPublicKey,
    /// The finality provider's key.
    pub provider: XOnlyPublicKey,
    /// The timelock in blocks, 0 included.
    pub staking_time: u16,
}

/// Says what a transaction is, and every fact about it. Addresses are those of `network`.
///
/// With a schedule, committees, tags, staking outputs and slashing scripts are compared with those of each version.
pub fn inspect<C: Verification>(
    secp: &Secp256k1<C>,
    tx: &Transaction,
    network: Network,
    schedule: Option<&Schedule>,
) -> Inspection {
    let versions = schedule.map_or(&[][..], Schedule::versions);
    let inputs: Vec<_> = tx.input.iter().map(|input| inspect_input(secp, input, network, versions)).collect();
    let mut outputs: Vec<_> =
        tx.output.iter().map(|output| inspect_output(output, network, versions)).collect();
    let staking_fault = match OpReturn::find(tx) {
        Ok(None) => None,
        Ok(Some(data)) => Some(find_stake(secp, tx, &data, versions, &mut outputs)),
        Err(error) => Some(Err(error.to_string())),
    };
    mark_refunds(secp, tx, &inputs, versions, &mut outputs);
    let (kind, fault) = judge(tx, &inputs, staking_fault);
    Inspection {
        kind,
        fault,
        txid: tx.compute_txid(),
        wtxid: tx.compute_wtxid(),
        version: tx.version.0,
        lock_time: tx.lock_time.to_consensus_u32(),
        size: tx.total_size(),
        weight: tx.weight().to_wu(),
        vsize: tx.vsize(),
        inputs,
        outputs,
    }
}

fn judge(
    tx: &Transaction,
    inputs: &[InspectedInput],
    staking: Option<Result<(), String>>,
) -> (Kind, Option<String>) {
    if tx.is_coinbase() {
        return (Kind::Coinbase, None);
    }
    let takes = |name| inputs.iter().position(|i| i.leaf.as_ref().is_some_and(|leaf| leaf.name == name));
    if takes(LeafName::Slashing).is_some() {
        let right_version = matches!(tx.version, Version::ONE | Version::TWO);
        return (Kind::Slashing, shape_fault(tx, 2, right_version, true));
    }
    match takes(LeafName::Unbonding) {
        Some(0) if inputs.len() == 2 => return (Kind::Expansion, expansion_fault(tx, inputs)),
        Some(_) => return (Kind::Unbonding, shape_fault(tx, 1, tx.version == Version::TWO, false)),
        None => {}
    }
    if takes(LeafName::Timelock).is_some() {
        return (Kind::Withdrawal, withdrawal_fault(tx, inputs));
    }
    match staking {
        Some(Ok(())) => (Kind::Staking, None),
        Some(Err(fault)) => (Kind::Other, Some(fault)),
        None => (Kind::Other, None),
    }
}

fn shape_fault(tx: &Transaction, outputs: usize, right_version: bool, any_of_two: bool) -> Option<String> {
    if !right_version {
        return Some(ShapeError::Version { actual: tx.version.0, any_of_two }.to_string());
    }
    // Whatever it spends is what it was made to spend.
    let outpoint = tx.input.first()?.previous_output;
    shape::check(tx, outpoint, outputs).err().map(|error| error.to_string())
}

/// What an expansion shows of itself. Its new staking output it does not: the leaf names no providers.
fn expansion_fault(tx: &Transaction, inputs: &[InspectedInput]) -> Option<String> {
    let fault = if !tx.input[0].script_sig.is_empty() {
        "script_sig of input 0 is not empty"
    } else if inputs[1].leaf.is_some() {
        "input 1 spends an output of a stake, where the funding of an expansion never was one"
    } else if !tx.output.iter().any(|output| output.script_pubkey.is_p2tr()) {
        "no output is Taproot, as a new staking output is"
    } else {
        return None;
    };
    Some(fault.to_string())
}

fn withdrawal_fault(tx: &Transaction, inputs: &[InspectedInput]) -> Option<String> {
    let timelocks = inputs.iter().zip(&tx.input).filter_map(|(input, txin)| {
        let timelock = input.leaf.as_ref()?.timelock?;
        crate::spend::check_timelock(tx.version, txin.sequence, timelock).err()
    });
    timelocks.map(|error| error.to_string()).next()
}

fn inspect_input<C: Verification>(
    secp: &Secp256k1<C>,
    input: &TxIn,
    network: Network,
    versions: &[StakingParams],
) -> InspectedInput {
    use bitcoin::relative::LockTime;
    let relative_lock_blocks = match input.sequence.to_relative_lock_time() {
        Some(LockTime::Blocks(height)) => Some(height.value()),
        Some(LockTime::Time(_)) | None => None,
    };
    InspectedInput {
        outpoint: input.previous_output,
        sequence: input.sequence.to_consensus_u32(),
        relative_lock_blocks,
        leaf: inspect_leaf(secp, input, network, versions),
    }
}

fn inspect_leaf<C: Verification>(
    secp: &Secp256k1<C>,
    input: &TxIn,
    network: Network,
    versions: &[StakingParams],
) -> Option<InspectedLeaf> {
    let mut items: Vec<&[u8]> = input.witness.iter().collect();
    // The annex (BIP-0341): of two items or more, a last one that begins with 0x50.
    if items.len() >= 2 && items.last().is_some_and(|last| last.first() == Some(&0x50)) {
        items.pop();
    }
    let control_block = ControlBlock::decode(items.pop()?).ok()?;
    let script = Script::from_bytes(items.pop()?);
    if control_block.leaf_version != LeafVersion::TapScript {
        return None;
    }
    let parsed = ParsedLeaf::parse(script).ok()?;
    let (mut providers, mut covenant, mut timelock) = (None, None, None);
    match &parsed {
        ParsedLeaf::Timelock { time, .. } => timelock = Some(*time),
        ParsedLeaf::Unbonding { covenant: committee, .. } => covenant = Some(committee.clone()),
        ParsedLeaf::Slashing(parties) => {
            providers = Some(parties.providers().clone());
            covenant = Some(parties.covenant().clone());
        }
    }
    let leaf_hash = TapLeafHash::from_script(script, LeafVersion::TapScript);
    let depth = control_block.merkle_branch.len();
    let script_pubkey = committed_by(secp, &control_block, leaf_hash);
    let address = Address::from_script(&script_pubkey, network).expect("a Taproot output has an address");
    let internal_key = control_block.internal_key;
    let signed = count(&items, providers.as_ref().map(Providers::as_quorum), covenant.as_ref());
    let same = |version: &StakingParams| covenant.as_ref() == Some(&version.covenant);
    Some(InspectedLeaf {
        name: parsed.name(),
        staker: parsed.staker(),
        covenant_versions: numbers(versions, same),
        providers,
        timelock,
        leaf_hash,
        internal_key,
        internal_key_is_nums: internal_key == nums_key(),
        depth,
        spends: if internal_key == nums_key() { fitting(parsed.name(), depth) } else { Vec::new() },
        script_pubkey,
        address: address.to_string(),
        signed,
        covenant,
    })
}

/// The outputs that have a leaf of this name at this depth.
fn fitting(name: LeafName, depth: usize) -> Vec<OutputKind> {
    match (name, depth) {
        (LeafName::Timelock | LeafName::Unbonding, 2) => alloc::vec![OutputKind::Staking],
        (LeafName::Timelock, 1) => alloc::vec![OutputKind::Unbonding],
        (LeafName::Timelock, 0) => alloc::vec![OutputKind::Refund],
        (LeafName::Slashing, 1) => alloc::vec![OutputKind::Staking, OutputKind::Unbonding],
        _ => Vec::new(),
    }
}

fn committed_by<C: Verification>(
    secp: &Secp256k1<C>,
    control: &ControlBlock,
    leaf: TapLeafHash,
) -> ScriptBuf {
    let root = control
        .merkle_branch
        .iter()
        .fold(TapNodeHash::from(leaf), |node, sibling| TapNodeHash::from_node_hashes(node, *sibling));
    ScriptBuf::new_p2tr(secp, control.internal_key, Some(root))
}

/// Counts filled slots, from the bottom: covenant, providers, staker.
fn count(slots: &[&[u8]], providers: Option<&Quorum>, covenant: Option<&Quorum>) -> Option<Signed> {
    let keys = |group: Option<&Quorum>| group.map_or(0, |group| group.keys().len());
    let filled = |slots: &[&[u8]]| slots.iter().filter(|slot| !slot.is_empty()).count();
    if slots.len() != keys(covenant) + keys(providers) + 1 {
        return None;
    }
    let (committee, rest) = slots.split_at(keys(covenant));
    let (providers, staker) = rest.split_at(keys(providers));
    Some(Signed { staker: filled(staker), providers: filled(providers), covenant: filled(committee) })
}

fn inspect_output(output: &TxOut, network: Network, versions: &[StakingParams]) -> InspectedOutput {
    let script = &output.script_pubkey;
    let phase_1 = OpReturn::parse(script).map(|data| InspectedOpReturn {
        tag: data.tag.to_lower_hex_string(),
        tag_versions: numbers(versions, |version| {
            version.phase_1.as_ref().is_some_and(|phase_1| phase_1.tag == data.tag)
        }),
        staker: data.staker,
        provider: data.provider,
        staking_time: data.staking_time,
    });
    InspectedOutput {
        value: output.value.to_sat(),
        script_pubkey: script.clone(),
        address: Address::from_script(script, network).ok().map(|address| address.to_string()),
        dust: check_not_dust(output.value, script).is_err(),
        phase_1,
        staking_versions: Vec::new(),
        refund_versions: Vec::new(),
        slashing_versions: numbers(versions, |version| {
            version.slashing.as_ref().is_some_and(|slashing| slashing.pk_script == *script)
        }),
    }
}

/// Marks the staking output that an OP_RETURN implies under each version; an error if there is none under any.
fn find_stake<C: Verification>(
    secp: &Secp256k1<C>,
    tx: &Transaction,
    data: &OpReturn,
    versions: &[StakingParams],
    outputs: &mut [InspectedOutput],
) -> Result<(), String> {
    let time = data.timelock().map_err(|error| error.to_string())?;
    let mut fault = None;
    for params in versions {
        let terms = StakeTerms::under(params, data.staker, Providers::one(data.provider), time);
        let found = terms.map_err(|error| error.to_string()).and_then(|terms| {
            let output = terms.staking_output(secp);
            find_output(tx, output.script_pubkey()).map_err(|error| error.to_string())
        });
        match found {
            Ok(vout) => outputs[vout as usize].staking_versions.push(params.version),
            Err(error) => fault = Some(error),
        }
    }
    let found = outputs.iter().any(|output| !output.staking_versions.is_empty());
    fault.filter(|_| !found).map_or(Ok(()), Err)
}

/// Marks the refund output that a slashing leaf's staker has under each version.
fn mark_refunds<C: Verification>(
    secp: &Secp256k1<C>,
    tx: &Transaction,
    inputs: &[InspectedInput],
    versions: &[StakingParams],
    outputs: &mut [InspectedOutput],
) {
    let leaves = inputs.iter().filter_map(|input| input.leaf.as_ref());
    let Some(slashed) = leaves.into_iter().find(|leaf| leaf.name == LeafName::Slashing) else { return };
    for params in versions {
        let refund = tapstake_script::RefundOutput::new(secp, slashed.staker, params.unbonding_time);
        for (output, txout) in outputs.iter_mut().zip(&tx.output) {
            if txout.script_pubkey == *refund.script_pubkey() {
                output.refund_versions.push(params.version);
            }
        }
    }
}

fn numbers(versions: &[StakingParams], wanted: impl Fn(&StakingParams) -> bool) -> Vec<u32> {
    versions.iter().filter(|version| wanted(version)).map(|version| version.version).collect()
}
