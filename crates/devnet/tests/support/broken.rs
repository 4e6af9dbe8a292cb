//! Blocks that break exactly one rule each.

use bitcoin::block::Version;
use bitcoin::hashes::Hash;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Target, Transaction,
    TxMerkleNode, Txid, Witness, absolute, script,
};
use tapstake_devnet::{Chain, seal, solve};

use super::{anyone, input, output, reward, spend};

/// The witness commitment is in the second output of each coinbase.
const COMMITMENT: usize = 1;

/// Makes broken blocks for the tip of a chain of at least 103 blocks that pay to [`anyone`], each
/// with Bitcoin Core's reason to refuse it.
pub(crate) fn broken_blocks(chain: &mut Chain) -> Vec<(&'static str, Block)> {
    let mut blocks = broken_headers(chain);
    blocks.extend(broken_lists(chain));
    blocks.extend(broken_coinbases(chain));
    blocks.extend(broken_witnesses(chain));
    blocks.extend(broken_transactions(chain));
    blocks.extend(broken_spends(chain));
    blocks
}

fn empty(chain: &mut Chain) -> Block {
    chain.assemble(&anyone(), Vec::new(), Amount::ZERO)
}

fn with(chain: &mut Chain, transactions: Vec<Transaction>) -> Block {
    chain.assemble(&anyone(), transactions, Amount::ZERO)
}

/// Two coins that are mature in the next block, with their values.
fn coins(chain: &Chain) -> [(OutPoint, u64); 2] {
    let height = chain.tip().height;
    [reward(chain, height - 99), reward(chain, height - 100)]
}

fn change_header(chain: &mut Chain, change: impl FnOnce(&mut bitcoin::block::Header)) -> Block {
    let mut block = empty(chain);
    change(&mut block.header);
    solve(&mut block.header);
    block
}

fn broken_headers(chain: &mut Chain) -> Vec<(&'static str, Block)> {
    let mut unsolved = empty(chain);
    while Target::from_compact(unsolved.header.bits).is_met_by(unsolved.block_hash()) {
        unsolved.header.nonce = unsolved.header.nonce.wrapping_add(1);
    }
    let mut negative = empty(chain);
    negative.header.bits = CompactTarget::from_consensus(0x2080_0001);
    let mut too_easy = empty(chain);
    too_easy.header.bits = CompactTarget::from_consensus(0x2100_ffff);
    let median = chain.median_time_past(chain.tip().height).unwrap();
    let now = chain.now();
    let mut blocks = vec![
        ("high-hash", unsolved),
        ("high-hash", negative),
        ("high-hash", too_easy),
        ("prev-blk-not-found", change_header(chain, |header| header.prev_blockhash = BlockHash::all_zeros())),
        (
            "bad-diffbits",
            change_header(chain, |header| header.bits = CompactTarget::from_consensus(0x207f_fffe)),
        ),
        ("time-too-old", change_header(chain, |header| header.time = median)),
        // A minute of margin, for a node with a running clock.
        ("time-too-new", change_header(chain, |header| header.time = now + 2 * 60 * 60 + 60)),
    ];
    for (reason, version) in
        [("bad-version(0x00000001)", 1), ("bad-version(0x00000002)", 2), ("bad-version(0x00000003)", 3)]
    {
        blocks
            .push((reason, change_header(chain, |header| header.version = Version::from_consensus(version))));
    }
    blocks
}

fn broken_lists(chain: &mut Chain) -> Vec<(&'static str, Block)> {
    let [(first, value), (second, other)] = coins(chain);
    let spends = || vec![spend(&[first], &[value]), spend(&[second], &[other])];
    let wrong_root = change_header(chain, |header| header.merkle_root = TxMerkleNode::all_zeros());
    let mut repeated = with(chain, spends());
    repeated.txdata.push(repeated.txdata[2].clone());
    let mut swapped = with(chain, spends());
    swapped.txdata.swap(1, 2);
    let mut headless = with(chain, spends());
    headless.txdata.remove(0);
    seal(&mut headless);
    let mut two_headed = with(chain, spends());
    two_headed.txdata.push(two_headed.txdata[0].clone());
    two_headed.txdata[3].output[0].value = Amount::ZERO;
    seal(&mut two_headed);
    let mut long = empty(chain);
    long.txdata[0].output[0].script_pubkey = ScriptBuf::from_bytes(vec![0; 1_000_000]);
    seal(&mut long);
    vec![
        ("bad-txnmrklroot", wrong_root),
        ("bad-txnmrklroot", swapped),
        ("bad-txns-duplicate", repeated),
        ("bad-cb-missing", headless),
        ("bad-cb-multiple", two_headed),
        ("bad-blk-length", long),
    ]
}

fn change_coinbase(chain: &mut Chain, change: impl FnOnce(&mut Transaction)) -> Block {
    let mut block = empty(chain);
    change(&mut block.txdata[0]);
    seal(&mut block);
    block
}

fn broken_coinbases(chain: &mut Chain) -> Vec<(&'static str, Block)> {
    let height = chain.tip().height + 1;
    let script = |height: u32, bytes: usize| {
        let mut script = script::Builder::new().push_int(height.into()).into_bytes();
        script.resize(bytes, 0);
        ScriptBuf::from_bytes(script)
    };
    let mut locked = |reason, lock_time: u32| {
        let change = |tx: &mut Transaction| {
            tx.lock_time = absolute::LockTime::from_consensus(lock_time);
            tx.input[0].sequence = Sequence::ZERO;
        };
        (reason, change_coinbase(chain, change))
    };
    let mut blocks = vec![locked("bad-txns-nonfinal", height), locked("bad-txns-nonfinal", u32::MAX)];
    blocks.extend([
        ("bad-cb-length", change_coinbase(chain, |tx| tx.input[0].script_sig = script(height, 101))),
        (
            "bad-cb-length",
            change_coinbase(chain, |tx| tx.input[0].script_sig = ScriptBuf::from_bytes(vec![0x51])),
        ),
        ("bad-cb-height", change_coinbase(chain, |tx| tx.input[0].script_sig = script(height - 1, 10))),
        ("bad-cb-height", change_coinbase(chain, |tx| tx.input[0].script_sig = script(height + 1, 10))),
        ("bad-cb-amount", change_coinbase(chain, |tx| tx.output[0].value += Amount::ONE_SAT)),
        // 20,001 operations of cost four are one too many.
        (
            "bad-blk-sigops",
            change_coinbase(chain, |tx| {
                tx.output[0].script_pubkey = ScriptBuf::from_bytes(vec![0xac; 20_001]);
            }),
        ),
    ]);
    blocks
}

fn broken_witnesses(chain: &mut Chain) -> Vec<(&'static str, Block)> {
    let [(coin, value), _] = coins(chain);
    let block = with(chain, vec![spend(&[coin], &[value])]);
    let mut nonce_of_31 = block.clone();
    nonce_of_31.txdata[0].input[0].witness = Witness::from_slice(&[[0; 31]]);
    let mut two_nonces = block.clone();
    two_nonces.txdata[0].input[0].witness = Witness::from_slice(&[[0; 32], [0; 32]]);
    let mut other_nonce = block.clone();
    other_nonce.txdata[0].input[0].witness = Witness::from_slice(&[[1; 32]]);
    let mut other_witness = block.clone();
    other_witness.txdata[1].input[0].witness.push([]);
    let mut uncommitted = block.clone();
    uncommitted.txdata[0].output.remove(COMMITMENT);
    uncommitted.txdata[0].input[0].witness = Witness::new();
    seal(&mut uncommitted);
    let mut heavy = block;
    heavy.txdata[1].input[0].witness = Witness::from_slice(&[vec![0; 4_000_000]]);
    seal(&mut heavy);
    vec![
        ("bad-witness-nonce-size", nonce_of_31),
        ("bad-witness-nonce-size", two_nonces),
        ("bad-witness-merkle-match", other_nonce),
        ("bad-witness-merkle-match", other_witness),
        ("unexpected-witness", uncommitted),
        ("bad-blk-weight", heavy),
    ]
}

fn broken_transactions(chain: &mut Chain) -> Vec<(&'static str, Block)> {
    let [(coin, value), (second, _)] = coins(chain);
    let all_money = Amount::MAX_MONEY.to_sat();
    let good = spend(&[coin], &[value]);
    let mut null = spend(&[coin, second], &[value]);
    null.input[1].previous_output = OutPoint::null();
    let mut transactions = vec![
        ("bad-txns-vout-empty", spend(&[coin], &[])),
        ("bad-txns-vout-negative", spend(&[coin], &[u64::MAX])),
        ("bad-txns-vout-toolarge", spend(&[coin], &[all_money + 1])),
        ("bad-txns-txouttotal-toolarge", spend(&[coin], &[all_money, 1])),
        ("bad-txns-inputs-duplicate", spend(&[coin, second, coin], &[value])),
        ("bad-txns-prevout-null", null),
    ];
    let median = chain.median_time_past(chain.tip().height).unwrap();
    for (lock_time, sequence) in [(chain.tip().height + 1, 0), (median, 0xffff_fffe)] {
        let mut locked = good.clone();
        locked.lock_time = absolute::LockTime::from_consensus(lock_time);
        locked.input[0].sequence = Sequence(sequence);
        transactions.push(("bad-txns-nonfinal", locked));
    }
    transactions.into_iter().map(|(reason, tx)| (reason, with(chain, vec![tx]))).collect()
}

fn broken_spends(chain: &mut Chain) -> Vec<(&'static str, Block)> {
    let height = chain.tip().height;
    let [(coin, value), (second, _)] = coins(chain);
    let (immature, immature_value) = reward(chain, height - 98);
    let nowhere = OutPoint { txid: Txid::from_byte_array([7; 32]), vout: 0 };
    let good = spend(&[coin], &[value]);
    let child = spend(&[OutPoint { txid: good.compute_txid(), vout: 0 }], &[value]);
    // The coin is 100 blocks old in the next block, the lock asks for 101.
    let mut locked_by_height = good.clone();
    locked_by_height.input[0] = input(coin, 101);
    // About 100 blocks passed in seconds; the lock asks for 512 of them.
    let mut locked_by_time = good.clone();
    locked_by_time.input[0] = input(coin, (1 << 22) | 1);
    let mut wrong_script = good.clone();
    wrong_script.input[0].witness = Witness::from_slice(&[[0x00]]);
    let mut fresh = spend(&[OutPoint { txid: good.compute_txid(), vout: 0 }], &[value]);
    fresh.input[0].sequence = Sequence(1);
    let mut greedy = spend(&[coin], &[value]);
    greedy.output.push(output(1));
    let blocks = vec![
        ("bad-txns-inputs-missingorspent", vec![spend(&[nowhere], &[1])]),
        ("bad-txns-inputs-missingorspent", vec![good.clone(), spend(&[coin, second], &[value])]),
        ("bad-txns-inputs-missingorspent", vec![child, good.clone()]),
        ("bad-txns-premature-spend-of-coinbase", vec![spend(&[immature], &[immature_value])]),
        ("bad-txns-in-belowout", vec![greedy]),
        ("bad-txns-nonfinal", vec![locked_by_height]),
        ("bad-txns-nonfinal", vec![locked_by_time]),
        ("bad-txns-nonfinal", vec![good, fresh]),
        ("block-script-verify-flag-failed", vec![wrong_script]),
    ];
    blocks.into_iter().map(|(reason, txs)| (reason, with(chain, txs))).collect()
}
