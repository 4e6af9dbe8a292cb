//! The wallet on the embedded chain, over the Electrum protocol.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use bitcoin::{Amount, Network};
use common::{Staker, sat};
use tapstake_chain::{ChainError, ChainSource, Electrum, ElectrumConfig, SourceConfig};
use tapstake_devnet::{Config, Devnet};
use tapstake_wallet::{Scan, SeedPhrase, WalletError};

fn start() -> (Devnet, Electrum) {
    let devnet = Devnet::start(&Config::default()).unwrap();
    let client = Electrum::connect(&ElectrumConfig::new(devnet.electrum_url()), Network::Regtest).unwrap();
    (devnet, client)
}

fn pay(devnet: &Devnet, staker: &mut Staker, value: u64) {
    let address = staker.wallet.new_address().unwrap().address;
    devnet.fund(&address.script_pubkey(), sat(value)).unwrap();
}

fn sync(staker: &mut Staker, client: &Electrum) -> tapstake_wallet::SyncReport {
    staker.wallet.sync_electrum(client, Scan::Auto).unwrap()
}

#[test]
fn coins_are_seen_pending_then_confirmed_then_after_a_restart() {
    let (devnet, client) = start();
    let mut staker = Staker::new(Network::Regtest);
    pay(&devnet, &mut staker, 70_000);
    let report = sync(&mut staker, &client);
    assert_eq!(report.new_transactions, 1);
    assert_eq!(staker.wallet.balance().untrusted_pending, sat(70_000));
    devnet.mine(3).unwrap();
    let report = sync(&mut staker, &client);
    assert_eq!((report.height, report.hash), (devnet.tip().height, devnet.tip().hash));
    assert_eq!(staker.wallet.balance().confirmed, sat(70_000));
    assert_eq!(staker.wallet.coins()[0].confirmations, 3);

    let mut staker = staker.restart();
    assert_eq!(staker.wallet.balance().confirmed, sat(70_000));
    pay(&devnet, &mut staker, 30_000);
    devnet.mine(1).unwrap();
    assert_eq!(sync(&mut staker, &client).new_transactions, 1);
    assert_eq!(staker.wallet.balance().confirmed, sat(100_000));
}

#[test]
fn a_stake_is_made_survives_a_restart_and_is_withdrawn_as_rehearsed() {
    let (devnet, client) = start();
    let mut staker = Staker::new(Network::Regtest);
    pay(&devnet, &mut staker, 1_000_000);
    devnet.mine(1).unwrap();
    sync(&mut staker, &client);

    let ready = staker.stake(600_000);
    let staking_tx = staker.staking_tx(&ready);
    let txid = client.broadcast(&staking_tx).unwrap();
    assert_eq!(txid, ready.stake().outpoint().txid);
    // The process is killed before it can note the broadcast: the coins stay locked, and a sync finds it.
    let mut staker = staker.restart();
    assert_eq!(staker.wallet.balance().locked, sat(1_000_000));
    sync(&mut staker, &client);
    assert!(staker.wallet.transaction(txid).is_some());
    assert_eq!(staker.wallet.balance().locked, Amount::ZERO);
    let change = staking_tx.output[2].value;
    assert_eq!(staker.wallet.balance().trusted_pending, change);

    // One block too early the rehearsed withdrawal is refused, then it is accepted.
    let withdrawal = ready.rehearsed_withdrawal().unwrap();
    devnet.mine(19).unwrap();
    assert!(client.broadcast(withdrawal).is_err());
    devnet.mine(1).unwrap();
    client.broadcast(withdrawal).unwrap();
    devnet.mine(1).unwrap();
    sync(&mut staker, &client);
    assert_eq!(staker.wallet.balance().confirmed, change + withdrawal.output[0].value);
}

#[test]
fn a_stake_is_withdrawn_from_sheet_and_seed_after_everything_else_is_lost() {
    let (devnet, client) = start();
    let mut staker = Staker::new(Network::Regtest);
    pay(&devnet, &mut staker, 1_000_000);
    devnet.mine(1).unwrap();
    sync(&mut staker, &client);
    let ready = staker.stake(600_000);
    let staking_tx = staker.staking_tx(&ready);
    let json = staker.sheet(&ready).to_json();
    client.broadcast(&staking_tx).unwrap();
    devnet.mine(20).unwrap();

    let sheet = tapstake_wallet::RecoverySheet::from_json(&staker.secp, json.as_bytes()).unwrap();
    let home = staker.wallet.next_change_address().unwrap().address.script_pubkey();
    let coin = tapstake_tx::Withdrawable::from(sheet.stake(&staker.secp).coin());
    let withdrawal = tapstake_tx::Withdrawal::build(vec![coin], home, common::rate(2)).unwrap();
    let keypair = staker.wallet.signer(None).unwrap().keypair_of(&sheet.facts().staker).unwrap();
    let signatures = [withdrawal.spends()[0].sign(&staker.secp, keypair.keypair(), &[0; 32])];
    let tx = withdrawal.finish(&staker.secp, &[signatures.into_iter().collect()]).unwrap();
    client.broadcast(&tx).unwrap();
}

#[test]
fn a_seed_restored_elsewhere_finds_its_coins() {
    let (devnet, client) = start();
    let phrase = SeedPhrase::generate(24).unwrap();
    let mut here = Staker::with_phrase(Network::Regtest, phrase.clone());
    let mut there = Staker::with_phrase(Network::Regtest, phrase);
    sync(&mut there, &client);
    // Sixteen addresses handed out, the last one paid: within the gap of twenty.
    let last = (0..16).map(|_| here.wallet.new_address().unwrap().address).last().unwrap();
    devnet.fund(&last.script_pubkey(), sat(50_000)).unwrap();
    devnet.mine(1).unwrap();
    // Only its known addresses are looked at, unless asked for more.
    sync(&mut there, &client);
    assert_eq!(there.wallet.balance().total(), Amount::ZERO);
    there.wallet.sync_electrum(&client, Scan::Full).unwrap();
    assert_eq!(there.wallet.balance().confirmed, sat(50_000));
    assert_eq!(there.wallet.addresses().len(), 16);
}

#[test]
fn a_reorganisation_is_followed() {
    let (devnet, client) = start();
    let mut staker = Staker::new(Network::Regtest);
    devnet.mine(5).unwrap();
    pay(&devnet, &mut staker, 70_000);
    let block = devnet.mine(1).unwrap()[0];
    devnet.mine(1).unwrap();
    sync(&mut staker, &client);
    assert_eq!(staker.wallet.coins()[0].confirmations, 2);
    devnet.invalidate_block(&block).unwrap();
    devnet.mine(4).unwrap();
    let report = sync(&mut staker, &client);
    assert_eq!(report.hash, devnet.tip().hash);
    assert_eq!(staker.wallet.coins()[0].confirmations, 4);
}

#[test]
fn a_source_of_another_network_is_refused() {
    let (_devnet, client) = start();
    let mut staker = Staker::new(Network::Signet);
    let error = staker.wallet.sync_electrum(&client, Scan::Auto).unwrap_err();
    assert!(
        matches!(error, WalletError::WrongNetwork { wallet: Network::Signet, expected: Network::Regtest }),
        "{error}"
    );
}

#[test]
fn a_configured_source_is_connected_to_and_synced_from() {
    let (devnet, _) = start();
    let mut staker = Staker::new(Network::Regtest);
    pay(&devnet, &mut staker, 70_000);
    devnet.mine(1).unwrap();
    let config = SourceConfig::Electrum(ElectrumConfig::new(devnet.electrum_url()));
    staker.wallet.sync(&config, Scan::Auto, |_| {}).unwrap();
    assert_eq!(staker.wallet.balance().confirmed, sat(70_000));
    let error = Staker::new(Network::Signet).wallet.sync(&config, Scan::Auto, |_| {}).unwrap_err();
    assert!(matches!(error, WalletError::Chain(ChainError::WrongNetwork { .. })), "{error}");
}
