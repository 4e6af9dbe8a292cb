//! The list of stakes, as commands use it.

use std::path::{Path, PathBuf};

use bitcoin::OutPoint;
use bitcoin::XOnlyPublicKey;
use serde::Serialize;
use tapstake_params::Height;
use tapstake_tracker::{KeptParams, KeyOrigin, StakeRecord, Store};
use tapstake_tx::delegation::{Delegation, State};
use tapstake_wallet::{Signer, StakeFacts, StakerKey, StakerKeypair, Wallet};

use crate::delegation;
use crate::error::{Context, Error, ErrorJson, Result};
use crate::live::network_dir;
use crate::session::Session;

/// The list of stakes on the network.
pub(crate) fn open_store(session: &Session<'_>) -> Result<Store> {
    Ok(Store::open(&network_dir(session)?.join("stakes.sqlite"))?)
}

/// The stake at `outpoint`.
pub(crate) fn record_of(store: &Store, outpoint: OutPoint) -> Result<StakeRecord> {
    store.get(&outpoint)?.ok_or_else(|| {
        Error::failed(format!("no stake {outpoint} in the list")).next(
            "tapstake stakes lists them; tapstake stakes restore FILE adds one from its delegation file or recovery sheet",
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
    /// A line that says it, and what to do next.
    pub(crate) fn line(&self) -> String {
        let next = self.error.next().map(|next| format!("; {next}")).unwrap_or_default();
        format!("{}: {}{next}", self.stake, self.error.message())
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
                let error = session.advise(error);
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

/// The stake's staker key, with its place in the wallet as the record has it, else as the wallet finds it: a record that was
/// made of a delegation file does not say where its key is.
pub(crate) fn staker_key_in(wallet: &Wallet, record: &StakeRecord) -> StakerKey {
    let key = staker_key(record);
    match key.origin {
        Some(_) => key,
        None => staker_of(wallet, &key.x_only).unwrap_or(key),
    }
}

/// The key pair of a stake's staker key, from the wallet's seed.
///
/// # Errors
///
/// By the rule `key`, if the stake is another wallet's.
pub(crate) fn staker_keypair(
    signer: &Signer,
    wallet: &Wallet,
    record: &StakeRecord,
) -> Result<StakerKeypair> {
    signer.keypair_of(&staker_key_in(wallet, record)).map_err(|error| {
        let whose = match &record.wallet {
            Some(name) => format!("--wallet {name}, which funded the stake"),
            None => "--wallet NAME, the wallet that made the stake".to_owned(),
        };
        Error::from(error).next(format!(
            "give {whose}; or sign where its words are: unbond and withdraw have --export-psbt"
        ))
    })
}

/// Puts a delegation's stake into the list, with what is signed in advance of its ways out; says whether it is new there.
/// A record that is there stays as it is.
pub(crate) fn list_delegation<S: State>(
    session: &Session<'_>,
    store: &mut Store,
    delegation: &Delegation<S>,
    staker: Option<&StakerKey>,
) -> Result<bool> {
    let mut record = delegation::record(session, Some(store), delegation)?;
    let new = store.get(&record.outpoint)?.is_none();
    if new {
        record.staker = staker.and_then(origin);
        // The file does not say when it was made: not before the parameters applied, as every service checks.
        let since = session.schedule()?.version(delegation.params_version())?.activation_height;
        record.made_at = since.checked_sub(1).unwrap_or(Height::GENESIS);
        store.insert(&record)?;
    }
    store.keep_delegation(&delegation.package())?;
    Ok(new)
}

/// Where the delegation of a forgotten stake is kept.
pub(crate) fn forgotten_file(session: &Session<'_>, stake: OutPoint) -> Result<PathBuf> {
    let name = format!("{}-{}.json", stake.txid, stake.vout);
    Ok(network_dir(session)?.join("delegations").join(name))
}

/// Makes a folder, and those above it that are missing, which their owner alone enters (mode 0700).
pub(crate) fn private_folders(folder: &Path) -> Result<()> {
    tapstake_durable::create_folders(folder).context(folder.display())
}
