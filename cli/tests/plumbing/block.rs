//! `tapstake scan`, `prove` and `verify`, on a chain mined here: regtest, fifteen blocks, stakes in the second.

use std::process::Stdio;
use std::sync::LazyLock;

use bitcoin::block::{Header, Version};
use bitcoin::constants::genesis_block;
use bitcoin::hashes::Hash;
use bitcoin::hex::DisplayHex;
use bitcoin::key::Secp256k1;
use bitcoin::script::Builder;
use bitcoin::{
    Amount, Block, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxMerkleNode, TxOut, Txid,
    Witness, absolute, consensus, transaction,
};
use serde_json::Value;
use tapstake_params::local::{self, Slashed};
use tapstake_params::{Schedule, Timelock};
use tapstake_script::{OpReturn, Providers, StakeTerms};

use crate::support::{
    KEYS, PROVIDER, STAKER, TempFile, assert_fields, json, refused, repository, run, stderr, stdout, tapstake,
};

const BLOCKS: u32 = 15;
const STAKES_AT: u32 = 2;

/// The chain, and what stands in its second block: a good stake, one that is too small, one that does not say that it is
/// one, and one whose output is there twice.
pub(crate) struct Chain {
    blocks: Vec<Block>,
    good: OutPoint,
    small: OutPoint,
    silent: OutPoint,
    doubled: Txid,
}

pub(crate) static CHAIN: LazyLock<Chain> = LazyLock::new(Chain::mine);

impl Chain {
    fn mine() -> Self {
        let secp = Secp256k1::new();
        let schedule = local::schedule(&secp, Network::Regtest, Slashed::Burned).unwrap();
        let stake = |sat, outputs, tagged| stake_tx(&schedule, sat, outputs, tagged);
        let (good, small) = (stake(50_000, 1, true), stake(9_999, 1, true));
        let (silent, doubled) = (stake(60_000, 1, false), stake(70_000, 2, true));
        let outpoint = |tx: &Transaction| OutPoint { txid: tx.compute_txid(), vout: 0 };
        let (first, second, third, fourth) =
            (outpoint(&good), outpoint(&small), outpoint(&silent), doubled.compute_txid());
        let mut blocks = vec![genesis_block(Network::Regtest)];
        let mut stakes = vec![good, small, silent, doubled];
        for height in 1..=BLOCKS {
            let more = if height == STAKES_AT { std::mem::take(&mut stakes) } else { Vec::new() };
            blocks.push(block(blocks.last().unwrap(), height, more));
        }
        Chain { blocks, good: first, small: second, silent: third, doubled: fourth }
    }

    fn block(&self) -> Vec<u8> {
        consensus::serialize(&self.blocks[STAKES_AT as usize])
    }

    /// The headers from a height on.
    pub(crate) fn headers(&self, from: usize) -> Vec<u8> {
        self.blocks[from..].iter().flat_map(|block| consensus::serialize(&block.header)).collect()
    }
}

fn stake_tx(schedule: &Schedule, sat: u64, outputs: usize, tagged: bool) -> Transaction {
    let (staker, provider) = (STAKER.parse().unwrap(), PROVIDER.parse().unwrap());
    let time = Timelock::new(20).unwrap();
    let terms = StakeTerms::under(schedule.latest(), staker, Providers::one(provider), time).unwrap();
    let script_pubkey = terms.staking_output(&Secp256k1::new()).script_pubkey().clone();
    let mut output = vec![TxOut { value: Amount::from_sat(sat), script_pubkey }; outputs];
    if tagged {
        let data = OpReturn { tag: local::TAG, staker, provider, staking_time: time.blocks() };
        output.push(TxOut { value: Amount::ZERO, script_pubkey: data.to_script() });
    }
    let previous_output = OutPoint { txid: Txid::from_byte_array([sat.to_le_bytes()[0]; 32]), vout: 0 };
    let input = TxIn { previous_output, sequence: Sequence::MAX, ..TxIn::default() };
    Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![input],
        output,
    }
}

fn block(parent: &Block, height: u32, stakes: Vec<Transaction>) -> Block {
    let coinbase = Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig: Builder::new().push_int(height.into()).push_slice(*b"tapstake").into_script(),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: vec![TxOut {
            value: Amount::from_sat(50),
            script_pubkey: ScriptBuf::new_op_return(*b"none"),
        }],
    };
    let mut header = Header {
        version: Version::from_consensus(0x2000_0000),
        prev_blockhash: parent.block_hash(),
        merkle_root: TxMerkleNode::all_zeros(),
        time: parent.header.time + 600,
        bits: parent.header.bits,
        nonce: 0,
    };
    let mut block = Block { header, txdata: [vec![coinbase], stakes].concat() };
    header.merkle_root = block.compute_merkle_root().unwrap();
    while header.validate_pow(header.target()).is_err() {
        header.nonce += 1;
    }
    block.header = header;
    block
}

fn block_file() -> TempFile {
    TempFile::new(&CHAIN.block())
}

fn prove(outpoint: OutPoint, more: &str) -> String {
    let block = block_file();
    let line = format!("prove --block {} --height {STAKES_AT} {outpoint} {more}", block.path());
    let proof = json(&line);
    serde_json::to_string_pretty(&proof).unwrap()
}

pub(crate) fn proof_of_the_good_stake() -> String {
    prove(CHAIN.good, "")
}

/// The proof of the good stake with what `more` adds.
pub(crate) fn prove_the_good_stake(more: &str) -> String {
    prove(CHAIN.good, more)
}

impl Chain {
    /// The transaction that makes the good stake.
    pub(crate) fn good_tx(&self) -> &Transaction {
        &self.blocks[STAKES_AT as usize].txdata[1]
    }
}

#[test]
fn a_scan_finds_every_stake_and_says_what_is_wrong_with_some() {
    let file = block_file();
    let report = json(&format!("scan --block {} --height {STAKES_AT} --params local", file.path()));
    assert_fields(&report, &["network", "from", "to", "blocks", "block", "stakes", "refused"]);
    let stakes = report["stakes"].as_array().unwrap();
    assert_eq!(stakes.len(), 2);
    for stake in stakes {
        let fields = [
            "height",
            "outpoint",
            "staker",
            "provider",
            "value",
            "timelock",
            "params_version",
            "valid",
            "reason",
            "cap",
        ];
        assert_fields(stake, &fields);
        assert_eq!(stake["staker"], STAKER);
        assert_eq!(stake["provider"], PROVIDER);
        assert_eq!(stake["timelock"], 20);
        assert_eq!(stake["cap"], "within");
    }
    assert_eq!(stakes[0]["outpoint"], CHAIN.good.to_string());
    assert_eq!((&stakes[0]["valid"], &stakes[0]["reason"]), (&Value::Bool(true), &Value::Null));
    assert_eq!(stakes[1]["outpoint"], CHAIN.small.to_string());
    assert_eq!(stakes[1]["valid"], false);
    assert!(stakes[1]["reason"].as_str().unwrap().contains("9999 sat is outside 10000..="));
    assert_eq!(report["refused"][0]["txid"], CHAIN.doubled.to_string());
    assert!(report["refused"][0]["reason"].as_str().unwrap().contains("exactly one may be"));
}

#[test]
fn a_block_may_be_raw_or_hex_and_under_other_parameters_holds_no_stake() {
    let hex = TempFile::new(format!("{}\n", CHAIN.block().to_lower_hex_string()).as_bytes());
    let raw = block_file();
    let scan = |file: &TempFile| json(&format!("scan --block {} --height {STAKES_AT}", file.path()));
    assert_eq!(scan(&hex), scan(&raw));
    let babylon = json(&format!("scan --block {} --height 860000 --params bbn-1", raw.path()));
    assert_eq!(babylon["stakes"].as_array().unwrap().len(), 0);
    assert_eq!(babylon["network"], "mainnet");
}

#[test]
fn a_block_of_another_height_is_scanned_with_a_warning() {
    let file = block_file();
    let output = run(&format!("scan --block {} --height 7 --json", file.path()));
    assert!(output.status.success());
    assert!(stderr(&output).contains("warning: the block's coinbase does not name height 7"));
}

#[test]
fn files_that_are_no_whole_block_are_refused() {
    let block = CHAIN.block();
    let trailing = [&block[..], &[0]].concat();
    for bytes in [&block[..block.len() - 1], &block[..79], &trailing, b"", b"abc", b"not a block"] {
        let file = TempFile::new(bytes);
        refused(&format!("scan --block {} --height 2", file.path()), 1, "file");
    }
}

#[test]
fn a_stake_is_proven_from_its_block_and_verified_by_headers() {
    let proof = TempFile::new(prove(CHAIN.good, "").as_bytes());
    let headers = TempFile::new(&CHAIN.headers(0));
    let report = json(&format!("verify {} --headers {}", proof.path(), headers.path()));
    let expected = [
        "verdict",
        "spends",
        "slashable",
        "status",
        "network",
        "outpoint",
        "value",
        "staker",
        "providers",
        "covenant",
        "quorum",
        "staking_time",
        "unbonding_time",
        "registration",
        "params_version",
        "cap",
        "inclusion_height",
        "block",
        "tip_height",
        "tip",
        "confirmations",
        "expires_at",
    ];
    assert_fields(&report, &expected);
    assert_eq!(report["outpoint"], CHAIN.good.to_string());
    assert_eq!(report["value"], 50_000);
    assert_eq!(report["confirmations"], BLOCKS - STAKES_AT + 1);
    assert_eq!(report["quorum"], 3);
    // 20 blocks of staking less 10 of unbonding: no longer active at the tip, which only --require-active minds.
    assert_eq!(report["expires_at"], STAKES_AT + 10);
    assert_eq!(report["status"], "expired");
    refused(&format!("verify {} --headers {} --require-active", proof.path(), headers.path()), 3, "active");
}

#[test]
fn headers_may_start_above_the_genesis_block() {
    let proof = TempFile::new(prove(CHAIN.good, "").as_bytes());
    for from in [1, 2] {
        let headers = TempFile::new(&CHAIN.headers(from));
        let report = json(&format!("verify {} --headers {}", proof.path(), headers.path()));
        assert_eq!(report["tip_height"], BLOCKS);
    }
    let without = TempFile::new(&CHAIN.headers(3));
    refused(&format!("verify {} --headers {}", proof.path(), without.path()), 3, "best-chain");
}

#[test]
fn confirmations_are_counted_from_the_block_itself() {
    let proof = TempFile::new(prove(CHAIN.good, "").as_bytes());
    let headers = TempFile::new(&CHAIN.headers(0));
    let line = format!("verify {} --headers {} --min-confirmations", proof.path(), headers.path());
    let enough = BLOCKS - STAKES_AT + 1;
    json(&format!("{line} {enough}"));
    let message = refused(&format!("{line} {}", enough + 1), 3, "confirmations");
    assert!(message.contains(&format!("has {enough} confirmations")), "{message}");
}

#[test]
fn a_proof_that_brings_headers_needs_no_more_than_a_trusted_block() {
    let headers = TempFile::new(&CHAIN.headers(0));
    let proof = TempFile::new(prove(CHAIN.good, &format!("--headers {}", headers.path())).as_bytes());
    let (first, last) = (CHAIN.blocks[1].block_hash(), CHAIN.blocks[BLOCKS as usize].block_hash());
    let report = json(&format!("verify {} --anchor {BLOCKS}:{last}", proof.path()));
    assert_eq!(report["tip"], last.to_string());
    json(&format!("verify {}", proof.path()));
    refused(&format!("verify {} --anchor {BLOCKS}:{first}", proof.path()), 3, "anchor");
    refused(&format!("verify {} --min-work ffffffff", proof.path()), 3, "own-headers-work");
}

#[test]
fn a_proof_without_headers_stands_on_its_blocks_own_header() {
    let proof = TempFile::new(prove(CHAIN.good, "").as_bytes());
    let hash = CHAIN.blocks[STAKES_AT as usize].block_hash();
    let report = json(&format!("verify {} --anchor {STAKES_AT}:{hash}", proof.path()));
    assert_eq!(report["confirmations"], 1);
    assert_eq!(report["tip"], hash.to_string());
    let parent = CHAIN.blocks[1].block_hash();
    refused(&format!("verify {} --anchor {STAKES_AT}:{parent}", proof.path()), 3, "anchor");
    refused(&format!("verify {} --anchor 1:{parent}", proof.path()), 3, "anchor");
    refused(
        &format!("verify {} --anchor {STAKES_AT}:{hash} --min-confirmations 2", proof.path()),
        3,
        "confirmations",
    );

    // Without a trusted block that is worth a warning.
    let output = run(&format!("verify {}", proof.path()));
    assert!(output.status.success());
    assert!(stderr(&output).starts_with("warning: judged by the headers that the proof brings"));
    refused(&format!("verify {} --min-work ff", proof.path()), 3, "own-headers-work");
}

#[test]
fn a_stake_that_does_not_say_so_is_proven_by_its_terms() {
    let block = block_file();
    let line = format!("prove --block {} --height {STAKES_AT} {}", block.path(), CHAIN.silent);
    let error = crate::support::error(&line, 1);
    assert!(error["next"].as_str().unwrap().contains("--staker"), "{error}");
    let terms = format!("--staker {STAKER} --provider {PROVIDER} --staking-time 20");
    let headers = TempFile::new(&CHAIN.headers(0));
    let proof = TempFile::new(prove(CHAIN.silent, &terms).as_bytes());
    let report = json(&format!("verify {} --headers {}", proof.path(), headers.path()));
    assert_eq!(report["registration"], "none");
    let wrong = format!("--staker {} --provider {PROVIDER} --staking-time 20", KEYS[5]);
    let proof = TempFile::new(prove(CHAIN.silent, &wrong).as_bytes());
    refused(&format!("verify {} --headers {}", proof.path(), headers.path()), 3, "staking-output");
}

#[test]
fn a_stake_out_of_bounds_is_refused() {
    let proof = TempFile::new(prove(CHAIN.small, "").as_bytes());
    let headers = TempFile::new(&CHAIN.headers(0));
    refused(&format!("verify {} --headers {}", proof.path(), headers.path()), 3, "bounds");
}

#[test]
fn both_forms_of_a_proof_say_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (block, headers) = (block_file(), TempFile::new(&CHAIN.headers(0)));
    let verdict = |binary: &str| {
        let out = folder.path().join(format!("proof{binary}"));
        let line = format!("prove --block {} --height {STAKES_AT} {}", block.path(), CHAIN.good);
        run(&format!("{line} --out {} {binary}", out.display()));
        json(&format!("verify {} --headers {}", out.display(), headers.path()))
    };
    assert_eq!(verdict("--binary"), verdict(""));
    let bytes = std::fs::read(folder.path().join("proof--binary")).unwrap();
    for (bytes, code, rule) in [
        (bytes[..bytes.len() - 1].to_vec(), 1, "file"),
        ([&bytes[..], &[0]].concat(), 3, "proof-format"),
        ([&bytes[..4], &[0xff, 0xff], &bytes[6..]].concat(), 1, "file-version"),
    ] {
        let file = TempFile::new(&bytes);
        refused(&format!("verify {} --headers {}", file.path(), headers.path()), code, rule);
    }
}

#[test]
fn a_proof_comes_by_stdin_too() {
    let (proof, headers) =
        (TempFile::new(prove(CHAIN.good, "").as_bytes()), TempFile::new(&CHAIN.headers(0)));
    let stdin = std::fs::File::open(proof.path()).unwrap();
    let output = tapstake()
        .args(["verify", "-", "--headers", headers.path()])
        .stdin(Stdio::from(stdin))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn forged_proofs_are_refused_by_the_rule_they_break() {
    let headers = TempFile::new(&CHAIN.headers(0));
    let honest: Value = serde_json::from_str(&prove(CHAIN.good, "")).unwrap();
    let verdict = |code, rule, forge: &dyn Fn(&mut Value)| {
        let mut proof = honest.clone();
        forge(&mut proof);
        let file = TempFile::new(proof.to_string().as_bytes());
        refused(&format!("verify {} --headers {}", file.path(), headers.path()), code, rule);
    };
    verdict(3, "best-chain", &|proof| proof["inclusion_height"] = 3.into());
    verdict(3, "merkle-index", &|proof| proof["branch"]["index"] = 9.into());
    verdict(3, "merkle-root", &|proof| proof["branch"]["index"] = 2.into());
    verdict(3, "coinbase", &|proof| proof["coinbase"] = proof["transaction"].clone());
    verdict(3, "staking-output", &|proof| proof["vout"] = 1.into());
    verdict(3, "phase-1-data", &|proof| proof["staking_time"] = 21.into());
    verdict(3, "network", &|proof| proof["network"] = "signet".into());
    verdict(3, "proof-format", &|proof| proof["staker"] = "00".into());
    verdict(3, "proof-format", &|proof| proof["more"] = 1.into());
    verdict(3, "proof-format", &|proof| proof["version"] = 2.into());
    verdict(1, "file-version", &|proof| proof["version"] = 3.into());
}

#[test]
fn a_file_cut_off_is_no_proof() {
    let proof = prove(CHAIN.good, "");
    for length in [0, 1, 100, proof.len() - 2] {
        let file = TempFile::new(&proof.as_bytes()[..length]);
        refused(&format!("verify {}", file.path()), 1, "file");
    }
}

#[test]
fn a_transaction_that_is_not_in_the_block_is_not_proven() {
    let file = block_file();
    let missing = OutPoint { vout: 9, ..CHAIN.good };
    let line = |outpoint| format!("prove --block {} --height 2 {outpoint}", file.path());
    crate::support::error(&line(missing), 1);
    crate::support::error(&line(OutPoint { txid: Txid::all_zeros(), vout: 0 }), 1);
    crate::support::error(&format!("prove --block {} --height 2 nonsense", file.path()), 2);
}

/// What the tour in `docs/cli.md` is run on. Written anew with `TAPSTAKE_BLESS=1`.
#[test]
fn the_fixtures_of_the_tour_are_the_chain_mined_here() {
    let folder = repository().join("fixtures").join("cli");
    let block = CHAIN.block().to_lower_hex_string() + "\n";
    let headers: String =
        CHAIN.headers(0).chunks(80).map(|header| header.to_lower_hex_string() + "\n").collect();
    let file = block_file();
    let line = format!("prove --block {} --height {STAKES_AT} {} --json", file.path(), CHAIN.good);
    let proof = stdout(&run(&line));
    for (name, expected) in [("block-2.hex", block), ("headers.hex", headers), ("proof.json", proof)] {
        let path = folder.join(name);
        if std::env::var_os("TAPSTAKE_BLESS").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &expected).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected, "{name}");
    }
}
