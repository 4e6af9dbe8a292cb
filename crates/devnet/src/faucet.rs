//! Coins for everyone: the miner's key pays them out of mature coinbases.

use bitcoin::hashes::{Hash, sha256};
use bitcoin::key::{Keypair, Secp256k1, TapTweak};
use bitcoin::secp256k1::{All, Message, SecretKey};
use bitcoin::sighash::{Prevouts, SighashCache, TapSighashType};
use bitcoin::{
    Amount, OutPoint, Script, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness, absolute,
    taproot, transaction,
};

use crate::chain::{Chain, total_subsidy};
use crate::coins::Coin;
use crate::error::{AcceptError, Error};
use crate::index::ElectrumScriptHash;
use crate::policy::fee_at_rate;
use crate::rules::{COINBASE_MATURITY, SUBSIDY_HALVING_INTERVAL};

/// What the faucet pays, in satoshi for 1000 virtual bytes.
const FEE_RATE: u64 = 1_000;
/// Most blocks mined for one payment: by then the first halvings have left little to wait for.
const MAX_BLOCKS: u32 = 300;

/// After so many halvings the subsidy is zero.
const MAX_HALVINGS: u32 = 33;

/// The miner's key. It is the same in every devnet, and no secret.
#[derive(Debug, Clone)]
pub struct Faucet {
    secp: Secp256k1<All>,
    /// Tweaked without a script tree (BIP-0086).
    keypair: Keypair,
    script_pubkey: ScriptBuf,
}

impl Faucet {
    /// Derives the key.
    pub fn new() -> Self {
        let secp = Secp256k1::new();
        let secret = sha256::Hash::hash(b"tapstake devnet miner");
        let secret =
            SecretKey::from_slice(secret.as_byte_array()).expect("this hash is below the curve order");
        let keypair = Keypair::from_secret_key(&secp, &secret).tap_tweak(&secp, None).to_keypair();
        let output_key = keypair.x_only_public_key().0;
        let script_pubkey =
            ScriptBuf::new_p2tr_tweaked(bitcoin::key::TweakedPublicKey::dangerous_assume_tweaked(output_key));
        Self { secp, keypair, script_pubkey }
    }

    /// Returns the script that the miner is paid to.
    pub fn script_pubkey(&self) -> &Script {
        &self.script_pubkey
    }

    /// Pays `amount` to a script; the payment waits in the mempool. Mines blocks for itself while it
    /// has not enough mature coins: 100 on a new chain, so that the first is spent in block 101.
    ///
    /// # Errors
    ///
    /// Returns an error if mining does not bring enough, since the subsidy has been halved too often,
    /// or if the payment is none that a mempool takes, as below the dust limit.
    pub fn fund(&self, chain: &mut Chain, script_pubkey: &Script, amount: Amount) -> Result<Txid, Error> {
        let mut mined = 0;
        loop {
            let error = match self.pay(chain, script_pubkey, amount) {
                Ok(tx) => match chain.accept(&tx, amount) {
                    Ok(accepted) => return Ok(accepted.txid),
                    // The change of many payments is spent one after another: a block sorts that out.
                    Err(error @ AcceptError::ClusterTooLarge { .. }) => Error::from(error),
                    Err(error) => return Err(error.into()),
                },
                Err(error) => error,
            };
            let hopeless = amount > total_subsidy(SUBSIDY_HALVING_INTERVAL * MAX_HALVINGS);
            if hopeless || mined >= MAX_BLOCKS {
                return Err(error);
            }
            chain.mine(&self.script_pubkey)?;
            mined += 1;
        }
    }

    /// Makes a payment out of what can be spent in the next block.
    fn pay(&self, chain: &Chain, script_pubkey: &Script, amount: Amount) -> Result<Transaction, Error> {
        let mut selected = Vec::new();
        let mut available = Amount::ZERO;
        let mut asked = amount;
        for (outpoint, output) in self.spendable(chain) {
            available += output.value;
            selected.push((outpoint, output));
            let tx = self.build(&selected, script_pubkey, amount);
            let fee = fee_at_rate(FEE_RATE, tx.weight().to_vbytes_ceil());
            asked = amount + fee;
            if let Some(change) = available.checked_sub(asked) {
                return Ok(self.sign(self.with_change(tx, change), &selected));
            }
        }
        Err(Error::FaucetEmpty { available, asked })
    }

    /// Lists the faucet's coins: confirmed ones, oldest (and so most valuable) first, then change that waits.
    fn spendable(&self, chain: &Chain) -> Vec<(OutPoint, TxOut)> {
        let height = chain.tip().height + 1;
        let is_mature = |coin: &Coin| !coin.coinbase || height - coin.height >= COINBASE_MATURITY;
        let confirmed = chain
            .unspent(&ElectrumScriptHash::of(&self.script_pubkey))
            .into_iter()
            .filter(|(_, coin)| is_mature(coin))
            .map(|(outpoint, coin)| (outpoint, coin.output.clone()));
        let waiting = chain.mempool().iter().flat_map(|(txid, entry)| {
            (0..).zip(entry.tx.output.clone()).map(move |(vout, output)| (OutPoint { txid, vout }, output))
        });
        let waiting = waiting.filter(|(_, output)| output.script_pubkey == self.script_pubkey);
        let mut coins: Vec<_> = confirmed
            .chain(waiting)
            .filter(|(outpoint, _)| chain.mempool().spender(outpoint).is_none())
            .collect();
        coins.sort_by_key(|(_, output)| std::cmp::Reverse(output.value));
        coins
    }

    /// Builds the payment with a change output of no value, and witnesses of the right size.
    fn build(&self, selected: &[(OutPoint, TxOut)], script_pubkey: &Script, amount: Amount) -> Transaction {
        let input = selected.iter().map(|(previous_output, _)| TxIn {
            previous_output: *previous_output,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            witness: Witness::from_slice(&[[0; 64]]),
        });
        Transaction {
            version: transaction::Version::TWO,
            lock_time: absolute::LockTime::ZERO,
            input: input.collect(),
            output: vec![
                TxOut { value: amount, script_pubkey: script_pubkey.to_owned() },
                TxOut { value: Amount::ZERO, script_pubkey: self.script_pubkey.clone() },
            ],
        }
    }

    /// Sets the change, or drops it into the fee if it is dust.
    fn with_change(&self, mut tx: Transaction, change: Amount) -> Transaction {
        if change < self.script_pubkey.minimal_non_dust() {
            tx.output.pop();
        } else if let Some(output) = tx.output.last_mut() {
            output.value = change;
        }
        tx
    }

    fn sign(&self, tx: Transaction, selected: &[(OutPoint, TxOut)]) -> Transaction {
        let spent: Vec<&TxOut> = selected.iter().map(|(_, output)| output).collect();
        let mut cache = SighashCache::new(tx);
        for index in 0..selected.len() {
            let sighash = cache
                .taproot_key_spend_signature_hash(index, &Prevouts::All(&spent), TapSighashType::Default)
                .expect("there is one spent output for each input");
            let message = Message::from_digest(sighash.to_byte_array());
            // Without extra randomness the same story gives the same blocks.
            let signature = self.secp.sign_schnorr_no_aux_rand(&message, &self.keypair);
            let signature = taproot::Signature { signature, sighash_type: TapSighashType::Default };
            *cache.witness_mut(index).expect("the index is one of an input") =
                Witness::p2tr_key_spend(&signature);
        }
        cache.into_transaction()
    }
}

impl Default for Faucet {
    fn default() -> Self {
        Self::new()
    }
}
