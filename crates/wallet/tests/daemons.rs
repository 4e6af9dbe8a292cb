//! The wallet on a real bitcoind and a real ElectrumX.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use bitcoin::{Amount, Network};
use common::{Staker, sat};
use tapstake_chain::{BitcoindConfig, ChainSource, Electrum, ElectrumConfig};
use tapstake_regtest::{Bitcoind, ElectrumX, anyone_can_spend};
use tapstake_wallet::{Scan, SyncProgress, WalletError};

fn pay(node: &Bitcoind, staker: &mut Staker, value: u64) {
    let address = staker.wallet.new_address().unwrap().address;
    node.fund(&address.script_pubkey(), sat(value)).unwrap();
}

fn mine(node: &Bitcoind, blocks: u32) {
    node.mine(blocks, &anyone_can_spend(node.network())).unwrap();
}

fn source(node: &Bitcoind) -> tapstake_chain::Bitcoind {
    let config = BitcoindConfig::with_cookie(node.rpc_url(), node.cookie_file());
    tapstake_chain::Bitcoind::connect(&config, node.network()).unwrap()
}

fn sync(staker: &mut Staker, node: &Bitcoind) {
    staker.wallet.sync_bitcoind(&source(node), |_| {}).unwrap();
}

#[test]
fn a_stake_is_made_found_by_its_descriptor_and_withdrawn() {
    let node = Bitcoind::start().unwrap();
    let mut staker = Staker::new(Network::Regtest);
    pay(&node, &mut staker, 1_000_000);
    sync(&mut staker, &node);
    assert_eq!(staker.wallet.balance().untrusted_pending, sat(1_000_000));
    mine(&node, 1);
    let mut seen = Vec::new();
    staker
        .wallet
        .sync_bitcoind(&source(&node), |SyncProgress { height, tip }| seen.push((height, tip)))
        .unwrap();
    assert_eq!(seen.last(), Some(&(node.height().unwrap(), node.height().unwrap())));
    assert_eq!(staker.wallet.balance().confirmed, sat(1_000_000));

    let ready = staker.stake(600_000);
    let staking_tx = staker.staking_tx(&ready);
    assert!(node.test_accept(&staking_tx).unwrap().is_accepted());
    node.broadcast(&staking_tx).unwrap();
    mine(&node, 1);
    let mut staker = staker.restart();
    sync(&mut staker, &node);
    assert_eq!(staker.wallet.balance().total(), staking_tx.output[2].value);

    let sheet = staker.sheet(&ready);
    let scan = serde_json::json!([sheet.staking().descriptor]);
    let found = node.call("scantxoutset", &["start".into(), scan]).unwrap();
    assert_eq!(found["unspents"][0]["txid"], ready.stake().outpoint().txid.to_string());
    assert_eq!(found["unspents"].as_array().unwrap().len(), 1);

    let withdrawal = ready.rehearsed_withdrawal().unwrap();
    mine(&node, 18);
    let early = node.test_accept(withdrawal).unwrap();
    assert!(!early.is_accepted(), "{early:?}");
    mine(&node, 1);
    node.broadcast(withdrawal).unwrap();
    mine(&node, 1);
    sync(&mut staker, &node);
    assert_eq!(staker.wallet.balance().confirmed, withdrawal.output[0].value + staking_tx.output[2].value);
}

#[test]
fn electrumx_and_bitcoind_show_the_same_wallet() {
    let node = Bitcoind::start().unwrap();
    let mut staker = Staker::new(Network::Regtest);
    for value in [300_000, 200_000, 100_000] {
        pay(&node, &mut staker, value);
    }
    mine(&node, 3);
    pay(&node, &mut staker, 50_000);
    sync(&mut staker, &node);
    let (balance, coins) = (staker.wallet.balance(), staker.wallet.coins());
    assert_eq!(balance.confirmed, sat(600_000));
    assert_eq!(balance.untrusted_pending, sat(50_000));

    let electrum = ElectrumX::start(&node).unwrap();
    electrum.sync(&node).unwrap();
    let client = Electrum::connect(&ElectrumConfig::new(electrum.url()), Network::Regtest).unwrap();
    staker.wallet.sync_electrum(&client, Scan::Full).unwrap();
    assert_eq!(staker.wallet.balance(), balance);
    assert_eq!(staker.wallet.coins(), coins);

    let ready = staker.stake(400_000);
    let staking_tx = staker.staking_tx(&ready);
    client.broadcast(&staking_tx).unwrap();
    mine(&node, 1);
    electrum.sync(&node).unwrap();
    staker.wallet.sync_electrum(&client, Scan::Auto).unwrap();
    assert_eq!(staker.wallet.coins().iter().filter(|coin| coin.change).count(), 1);
}

#[test]
fn a_reorganisation_that_removes_a_payment_is_followed() {
    let node = Bitcoind::start().unwrap();
    let mut staker = Staker::new(Network::Regtest);
    mine(&node, 5);
    pay(&node, &mut staker, 70_000);
    mine(&node, 2);
    sync(&mut staker, &node);
    let height = node.height().unwrap();
    assert_eq!(staker.wallet.balance().confirmed, sat(70_000));
    node.reorganise(node.block_hash(height - 1).unwrap(), 3).unwrap();
    sync(&mut staker, &node);
    assert_eq!(staker.wallet.height(), node.height().unwrap());
    assert_eq!(staker.wallet.balance().total(), sat(70_000));
}

#[test]
fn a_wallet_on_a_local_signet_syncs_and_a_regtest_wallet_is_refused_there() {
    let node = Bitcoind::builder().signet().start().unwrap();
    let mut staker = Staker::new(Network::Signet);
    pay(&node, &mut staker, 70_000);
    mine(&node, 1);
    sync(&mut staker, &node);
    assert_eq!(staker.wallet.balance().confirmed, sat(70_000));
    let mut other = Staker::new(Network::Regtest);
    let error = other.wallet.sync_bitcoind(&source(&node), |_| {}).unwrap_err();
    assert!(
        matches!(error, WalletError::WrongNetwork { wallet: Network::Regtest, expected: Network::Signet }),
        "{error}"
    );
    assert_eq!(other.wallet.balance().total(), Amount::ZERO);
}
