//! The list of stakes, as commands use it.

use bitcoin::OutPoint;
use bitcoin::XOnlyPublicKey;
use bitcoin::secp256k1::schnorr::Signature;
use serde::Serialize;
use tapstake_tracker::{KeptParams, KeyOrigin, StakeRecord, Store};
use tapstake_tx::LeafSpend;
use tapstake_wallet::{StakeFacts, StakerKey, StakerKeypair, Wallet};

use crate::error::{Error, ErrorJson, Result};
use crate::live::{WalletArgs, network_dir};
use crate::session::Session;
use crate::spending::aux;

/// The list of stakes on the network.
pub(crate) fn open_store(session: &Session<'_>) -> Result<Store> {
    Ok(Store::open(&network_dir(session)?.join("stakes.sqlite"))?)
}

/// The stake at `outpoint`.
pub(crate) fn record_of(store: &Store, outpoint: OutPoint) -> Result<StakeRecord> {
    store.get(&outpoint)?.ok_or_else(|| {
        Error::failed(format!("no stake {outpoint} in the list")).next(
            "tapstake stakes lists them; tapstake stakes restore SHEET adds one from its recovery sheet",
        )
    })
}

/// What went wrong with one stake of several.
#[derive(Debug, Serialize)]
pub(crate) struct Failed {
    stake: OutPoint,
    error: ErrorJson,
}

impl Failed {
    /// A line that says it.
    pub(crate) fn line(&self) -> String {
        format!("{}: {}", self.stake, self.error.message())
    }
}

/// Does the same with every stake of the list: one that fails holds up no other, but a chain source that is gone
/// ends it, and so does it if every stake fails.
pub(crate) fn each<T>(
    session: &Session<'_>,
    store: &mut Store,
    mut work: impl FnMut(&mut Store, StakeRecord) -> Result<T>,
) -> Result<(Vec<T>, Vec<Failed>)> {
    let (mut done, mut failed, mut first) = (Vec::new(), Vec::new(), None);
    for (stake, entry) in store.entries()? {
        match entry.map_err(Error::from).and_then(|record| work(store, record)) {
            Ok(one) => done.push(one),
            Err(error) if error.rule_name() == Some("unreachable") => return Err(error),
            Err(error) => {
                session.out.warn(&format!("stake {stake}: {}", error.message()));
                failed.push(Failed { stake, error: error.to_json() });
                first = first.or(Some(error));
            }
        }
    }
    match first {
        Some(error) if done.is_empty() => Err(error),
        _ => Ok((done, failed)),
    }
}

/// The record of a stake that its recovery sheet describes, under the session's parameters.
pub(crate) fn record_from(session: &Session<'_>, facts: &StakeFacts) -> Result<StakeRecord> {
    let schedule = session.schedule()?;
    let params = schedule.version(facts.params_version)?;
    if params.unbonding_fee != facts.unbonding_fee || params.covenant != *facts.terms.parties.covenant() {
        let message =
            format!("the sheet's stake was made under other parameters than version {}", params.version);
        return Err(Error::rule("parameters", message).next("give the --params it was made under"));
    }
    Ok(StakeRecord {
        network: facts.network,
        outpoint: facts.outpoint,
        value: facts.value,
        terms: facts.terms.clone(),
        params: KeptParams::from(params),
        staker: origin(&facts.staker),
        made_at: facts.made_at,
        included_at: facts.included_at,
        staking_tx: None,
        rehearsed_exit: None,
        wallet: None,
        label: None,
    })
}

/// What the recovery sheet of a stake says.
pub(crate) fn sheet_facts(record: &StakeRecord) -> StakeFacts {
    StakeFacts {
        network: record.network,
        params_version: record.params.version,
        unbonding_fee: record.params.unbonding_fee,
        terms: record.terms.clone(),
        staker: staker_key(record),
        outpoint: record.outpoint,
        value: record.value,
        made_at: record.made_at,
        included_at: record.included_at,
    }
}

/// Where a staker key is derived, as records keep it.
pub(crate) fn origin(key: &StakerKey) -> Option<KeyOrigin> {
    let origin = key.origin.as_ref()?;
    Some(KeyOrigin { fingerprint: origin.fingerprint, path: origin.path.clone() })
}

/// The staker key of a stake, with its origin where the record has one.
pub(crate) fn staker_key(record: &StakeRecord) -> StakerKey {
    StakerKey {
        x_only: record.terms.parties.staker(),
        origin: record.staker.as_ref().map(|origin| tapstake_wallet::KeyOrigin {
            fingerprint: origin.fingerprint,
            path: origin.path.clone(),
        }),
    }
}

/// How many staker keys of a wallet are tried for a stake that is in no list.
const STAKER_KEYS: u32 = 256;

/// The wallet's staker key that is `key`, if one of its first is.
pub(crate) fn staker_of(wallet: &Wallet, key: &XOnlyPublicKey) -> Option<StakerKey> {
    (0..STAKER_KEYS).map_while(|index| wallet.staker_key(index).ok()).find(|staker| staker.x_only == *key)
}

/// The key pair of a stake's staker key, from the wallet's seed.
pub(crate) fn staker_keypair(
    session: &Session<'_>,
    wallet: &WalletArgs,
    record: &StakeRecord,
) -> Result<StakerKeypair> {
    let opened = wallet.open(session)?;
    let signer = wallet.signer(&opened)?;
    // A record that was made of a delegation file does not say where its key is.
    let mut key = staker_key(record);
    if key.origin.is_none() {
        key = staker_of(&opened, &key.x_only).unwrap_or(key);
    }
    Ok(signer.keypair_of(&key)?)
}

/// The staker's signature over a spend of the stake.
pub(crate) fn staker_signature(
    session: &Session<'_>,
    wallet: &WalletArgs,
    record: &StakeRecord,
    spend: &LeafSpend<'_>,
) -> Result<(XOnlyPublicKey, Signature)> {
    let keypair = staker_keypair(session, wallet, record)?;
    Ok(spend.sign(&session.secp, keypair.keypair(), &aux()))
}
