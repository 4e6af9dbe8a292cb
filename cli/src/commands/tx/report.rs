//! A transaction of a stake that was built, as it is printed.

use std::ops::Deref;

use bitcoin::sighash::TapSighash;
use bitcoin::{Address, Network, OutPoint, ScriptBuf, Transaction, Txid, consensus};
use serde::Serialize;
use tapstake_script::{Leaf, LeafName, StakeOutput};
use tapstake_tx::psbt::{self, Origins, Spent};
use tapstake_tx::{Coin, LeafSpend};

use crate::error::Result;
use crate::network::NetworkName;
use crate::output::{Show, facts};

#[derive(Debug, Serialize)]
pub(crate) struct TxReport {
    /// The unsigned transaction.
    tx: String,
    txid: Txid,
    kind: &'static str,
    network: NetworkName,
    input: Input,
    outputs: Vec<PaidOutput>,
    /// In sat.
    fee: u64,
    /// With its witness.
    weight: u64,
    vsize: u64,
    /// In sat; only where an output burns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) burns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sighash: Option<TapSighash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    psbt: Option<String>,
    #[serde(skip)]
    unsigned: Transaction,
}

#[derive(Debug, Serialize)]
struct Input {
    outpoint: OutPoint,
    value: u64,
    leaf: Option<LeafName>,
}

#[derive(Debug, Serialize)]
struct PaidOutput {
    kind: &'static str,
    value: u64,
    script_pubkey: ScriptBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<Address>,
}

impl TxReport {
    /// A transaction that spends `coin`.
    pub(crate) fn new<O: Deref<Target = StakeOutput>>(
        kind: &'static str,
        network: Network,
        tx: &Transaction,
        coin: &Coin<O>,
    ) -> Self {
        let outputs: Vec<PaidOutput> = tx
            .output
            .iter()
            .map(|output| PaidOutput {
                kind: "other",
                value: output.value.to_sat(),
                script_pubkey: output.script_pubkey.clone(),
                address: Address::from_script(&output.script_pubkey, network).ok(),
            })
            .collect();
        let value = coin.value.to_sat();
        let paid: u64 = outputs.iter().map(|output| output.value).sum();
        TxReport {
            tx: consensus::encode::serialize_hex(tx),
            txid: tx.compute_txid(),
            kind,
            network: network.into(),
            input: Input { outpoint: coin.outpoint, value, leaf: None },
            outputs,
            // The crates build no transaction that pays more than it spends.
            fee: value - paid,
            weight: tx.weight().to_wu(),
            vsize: tx.weight().to_vbytes_ceil(),
            burns: None,
            sighash: None,
            psbt: None,
            unsigned: tx.clone(),
        }
    }

    /// Names an output.
    pub(crate) fn pays(&mut self, vout: usize, kind: &'static str) {
        self.outputs[vout].kind = kind;
    }

    /// Counts the witness of this leaf in, with the two weight units of marker and flag.
    pub(crate) fn signed_by(&mut self, leaf: &Leaf) {
        self.input.leaf = Some(leaf.name);
        let weight = self.unsigned.weight() + leaf.witness_weight() + bitcoin::Weight::from_wu(2);
        self.weight = weight.to_wu();
        self.vsize = weight.to_vbytes_ceil();
    }

    /// Adds what is signed: the digest, and the transaction as a PSBT for any signer.
    pub(crate) fn add_digest<O: Deref<Target = StakeOutput>>(
        &mut self,
        spend: &LeafSpend<'_>,
        coin: &Coin<O>,
    ) -> Result<()> {
        let spent = Spent { txout: coin.to_txout(), output: &coin.output, leaf: spend.leaf() };
        let psbt = psbt::create(self.unsigned.clone(), &[spent], &Origins::new())?;
        self.sighash = Some(spend.sighash());
        self.psbt = Some(psbt.to_string());
        Ok(())
    }
}

impl Show for TxReport {
    fn text(&self) -> String {
        let mut lines = vec![
            ("transaction".to_owned(), format!("{}, unsigned", self.kind)),
            ("network".into(), self.network.to_string()),
            ("txid".into(), self.txid.to_string()),
            ("spends".into(), format!("{} with {} sat", self.input.outpoint, self.input.value)),
        ];
        for (vout, output) in self.outputs.iter().enumerate() {
            let to = match &output.address {
                Some(address) => address.to_string(),
                None => output.script_pubkey.to_asm_string(),
            };
            lines.push((format!("output {vout}"), format!("{} sat, {}, to {to}", output.value, output.kind)));
        }
        lines.push(("fee".into(), format!("{} sat", self.fee)));
        lines.push(("size signed".into(), format!("{} vbytes ({} weight units)", self.vsize, self.weight)));
        if let Some(burned) = self.burns {
            let how = format!("{burned} sat: nodes take it only with maxburnamount");
            lines.push(("burns".into(), how));
        }
        lines.push(("tx".into(), self.tx.clone()));
        if let Some(sighash) = &self.sighash {
            lines.push(("sighash".into(), sighash.to_string()));
        }
        if let Some(psbt) = &self.psbt {
            lines.push(("psbt".into(), psbt.clone()));
        }
        facts(lines)
    }
}
