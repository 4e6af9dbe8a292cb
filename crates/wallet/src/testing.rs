//! Wallets with coins, for tests: blocks are built here and given to BDK as a node's are.

use bdk_wallet::KeychainKind;
use bitcoin::absolute::LockTime;
use bitcoin::blockdata::block::{Header, Version as BlockVersion};
use bitcoin::hashes::Hash;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, Block, CompactTarget, FeeRate, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn,
    TxMerkleNode, TxOut, Txid, Witness,
};
use tempfile::TempDir;

use crate::{CreateOptions, Origin, SeedPhrase, Wallet};

pub(crate) const WORDS: &str =
    "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";

pub(crate) fn phrase() -> SeedPhrase {
    SeedPhrase::parse(WORDS).unwrap()
}

pub(crate) fn sat(value: u64) -> Amount {
    Amount::from_sat(value)
}

pub(crate) fn sat_per_vb(rate: u64) -> FeeRate {
    FeeRate::from_sat_per_vb(rate).unwrap()
}

/// A P2TR output to a key of nobody here.
pub(crate) fn stranger(value: u64) -> TxOut {
    let mut script = vec![0x51, 0x20];
    script.extend([0x79; 32]);
    TxOut { value: sat(value), script_pubkey: ScriptBuf::from_bytes(script) }
}

pub(crate) struct TestWallet {
    pub(crate) wallet: Wallet,
    pub(crate) folder: TempDir,
    serial: u32,
}

impl TestWallet {
    pub(crate) fn new() -> Self {
        Self::with(CreateOptions::new(Network::Regtest, Origin::seed(phrase())))
    }

    pub(crate) fn with(options: CreateOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let wallet = Wallet::create(&folder.path().join("wallet"), options).unwrap();
        TestWallet { wallet, folder, serial: 0 }
    }

    /// A wallet with these confirmed coins, each with six confirmations.
    pub(crate) fn funded(values: &[u64]) -> Self {
        let mut this = Self::new();
        this.receive(values);
        this.mine(Vec::new(), 5);
        this
    }

    /// Pays these values to fresh addresses in one block.
    pub(crate) fn receive(&mut self, values: &[u64]) -> Vec<OutPoint> {
        let outputs = values
            .iter()
            .map(|value| {
                let script_pubkey = self.wallet.new_address().unwrap().address.script_pubkey();
                TxOut { value: sat(*value), script_pubkey }
            })
            .collect();
        let tx = self.payment(outputs);
        let txid = tx.compute_txid();
        self.mine(vec![tx], 1);
        (0..).zip(values).map(|(vout, _)| OutPoint { txid, vout }).collect()
    }

    /// A transaction from somewhere, never the same twice.
    pub(crate) fn payment(&mut self, output: Vec<TxOut>) -> Transaction {
        self.serial += 1;
        let previous_output = OutPoint { txid: Txid::from_byte_array([0xaa; 32]), vout: self.serial };
        let input = TxIn {
            previous_output,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        };
        Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input: vec![input], output }
    }

    /// A coinbase transaction to the wallet.
    pub(crate) fn coinbase(&mut self, value: u64) -> Transaction {
        let script_pubkey = self.wallet.new_address().unwrap().address.script_pubkey();
        let mut tx = self.payment(vec![TxOut { value: sat(value), script_pubkey }]);
        tx.input[0].previous_output = OutPoint::null();
        tx.input[0].script_sig =
            ScriptBuf::builder().push_int(i64::from(self.serial)).push_int(7).into_script();
        tx
    }

    /// Adds blocks; the first holds the transactions.
    pub(crate) fn mine(&mut self, mut txdata: Vec<Transaction>, blocks: u32) {
        for _ in 0..blocks {
            let tip = self.wallet.bdk.latest_checkpoint();
            let header = Header {
                version: BlockVersion::TWO,
                prev_blockhash: tip.hash(),
                merkle_root: TxMerkleNode::all_zeros(),
                time: 1_700_000_000 + tip.height() * 600,
                bits: CompactTarget::from_consensus(0x207f_ffff),
                nonce: self.serial,
            };
            let block = Block { header, txdata: std::mem::take(&mut txdata) };
            self.wallet.bdk.apply_block(&block, tip.height() + 1).unwrap();
        }
        self.wallet.persist(&[]).unwrap();
    }

    /// Closes the wallet as a killed process does, and opens it again.
    pub(crate) fn reopen(self) -> Self {
        let TestWallet { wallet, folder, serial } = self;
        let path = wallet.folder().to_owned();
        let network = wallet.network();
        drop(wallet);
        TestWallet { wallet: Wallet::open(&path, network).unwrap(), folder, serial }
    }

    pub(crate) fn is_change(&self, script: &bitcoin::Script) -> bool {
        matches!(self.wallet.bdk.derivation_of_spk(script.to_owned()), Some((KeychainKind::Internal, _)))
    }
}
