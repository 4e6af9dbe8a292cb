use bitcoin::{OutPoint, TxOut};

use super::*;
use crate::testing::{TestWallet, WORDS, phrase, sat, sat_per_vb, stranger};
use crate::{FundRequest, extract_tx};

fn seeded(network: Network) -> CreateOptions {
    CreateOptions::new(network, Origin::seed(phrase()))
}

#[test]
fn a_reopened_wallet_knows_what_it_knew() {
    let mut test = TestWallet::funded(&[100_000, 50_000]);
    let coin = test.wallet.coins()[0].outpoint;
    let reason = LockReason::PendingStake(OutPoint { txid: coin.txid, vout: 9 });
    test.wallet.lock(&[coin], &reason).unwrap();
    let external = StakerKeySource::External(test.wallet.staker_key(5).unwrap());
    test.wallet.set_staker_source(external.clone()).unwrap();
    let (coins, addresses, balance) = (test.wallet.coins(), test.wallet.addresses(), test.wallet.balance());
    assert_eq!(balance.confirmed, sat(150_000));
    assert_eq!(balance.locked, coins[0].value);

    let test = test.reopen();
    assert_eq!(test.wallet.coins(), coins);
    assert_eq!(test.wallet.addresses(), addresses);
    assert_eq!(test.wallet.balance(), balance);
    assert_eq!(test.wallet.height(), 6);
    assert_eq!(test.wallet.lock_reason(coin), Some(reason));
    assert_eq!(test.wallet.staker_source(), &external);
    assert_eq!(StakerKeySource::External(test.wallet.staker_key(0).unwrap()), external);
    assert!(coins.iter().all(|coin| coin.confirmations == 6));
}

#[test]
fn a_pending_stake_stays_locked_over_a_restart_and_is_unlocked_as_one() {
    let mut test = TestWallet::funded(&[100_000, 90_000, 50_000]);
    let request = FundRequest::new(vec![stranger(180_000)], sat_per_vb(2));
    let funded = test.wallet.fund(&request).unwrap();
    let stake = funded.outpoint(0);
    test.wallet.lock(&funded.coins(), &LockReason::PendingStake(stake)).unwrap();
    let mut test = test.reopen();
    assert!(test.wallet.fund(&request).is_err());
    let mut freed = test.wallet.unlock_stake(stake).unwrap();
    let mut coins = funded.coins();
    freed.sort();
    coins.sort();
    assert_eq!(freed, coins);
    assert!(test.reopen().wallet.fund(&request).is_ok());
}

#[test]
fn coins_are_locked_once() {
    let mut test = TestWallet::funded(&[100_000]);
    let coin = test.wallet.coins()[0].outpoint;
    test.wallet.lock(&[coin], &LockReason::Other("a".into())).unwrap();
    test.wallet.lock(&[coin], &LockReason::Other("a".into())).unwrap();
    let error = test.wallet.lock(&[coin], &LockReason::Other("b".into())).unwrap_err();
    assert_eq!(error.to_string(), format!("coin {coin} is locked: a"));
    let unknown = OutPoint { txid: coin.txid, vout: 77 };
    let error = test.wallet.lock(&[unknown], &LockReason::Other("b".into())).unwrap_err();
    assert!(matches!(error, WalletError::UnknownCoin(_)), "{error}");
}

#[test]
fn a_wallet_is_opened_for_its_own_network_only() {
    for network in [Network::Regtest, Network::Signet, Network::Testnet4, Network::Testnet, Network::Bitcoin]
    {
        let options = CreateOptions { accept_unprotected_seed: true, ..seeded(network) };
        let test = TestWallet::with(options);
        let path = test.wallet.folder().to_owned();
        assert_eq!(test.wallet.network(), network);
        drop(test.wallet);
        let other = if network == Network::Signet { Network::Regtest } else { Network::Signet };
        let error = Wallet::open(&path, other).unwrap_err();
        assert!(
            matches!(error, WalletError::WrongNetwork { wallet, expected } if wallet == network && expected == other),
            "{error}"
        );
        assert!(Wallet::open(&path, network).is_ok());
    }
}

#[test]
fn a_seed_on_mainnet_needs_a_passphrase_or_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wallet");
    let error = Wallet::create(&path, seeded(Network::Bitcoin)).unwrap_err();
    assert!(matches!(error, WalletError::UnprotectedMainnetSeed), "{error}");
    assert!(!path.exists());
    let passphrase = Passphrase::new("x".into());
    let origin = Origin::Seed { phrase: phrase(), passphrase, account: 0 };
    assert!(Wallet::create(&path, CreateOptions::new(Network::Bitcoin, origin)).is_ok());
}

#[test]
fn a_wallet_is_not_made_where_something_is() {
    let test = TestWallet::new();
    let path = test.wallet.folder().to_owned();
    assert!(matches!(Wallet::create(&path, seeded(Network::Regtest)), Err(WalletError::FolderInUse(_))));
    let empty = tempfile::tempdir().unwrap();
    assert!(Wallet::create(empty.path(), seeded(Network::Regtest)).is_ok());
    // Nothing unfinished is left beside it.
    assert_eq!(std::fs::read_dir(test.folder.path()).unwrap().count(), 1);
}

#[test]
fn a_wallet_open_in_one_place_is_busy_in_another() {
    let test = TestWallet::new();
    let error = Wallet::open(test.wallet.folder(), Network::Regtest).unwrap_err();
    assert!(matches!(error, WalletError::Busy(_)), "{error}");
}

#[test]
fn files_that_are_no_wallet_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Wallet::open(folder.path(), Network::Regtest), Err(WalletError::NoWallet(_))));

    std::fs::write(folder.path().join(DATABASE), [7; 5000]).unwrap();
    let error = Wallet::open(folder.path(), Network::Regtest).unwrap_err();
    assert!(matches!(error, WalletError::Damaged { .. }), "{error}");

    std::fs::write(folder.path().join(DATABASE), []).unwrap();
    let error = Wallet::open(folder.path(), Network::Regtest).unwrap_err();
    assert!(matches!(error, WalletError::Damaged { .. }), "{error}");

    let test = TestWallet::new();
    let path = test.wallet.folder().to_owned();
    drop(test.wallet);
    let database = rusqlite::Connection::open(path.join(DATABASE)).unwrap();
    database.execute("UPDATE tapstake_meta SET value = '2' WHERE key = 'format'", []).unwrap();
    drop(database);
    let error = Wallet::open(&path, Network::Regtest).unwrap_err();
    assert!(matches!(error, WalletError::NewerFormat { found: 2, supported: 1, .. }), "{error}");
}

#[test]
fn the_database_holds_no_secret() {
    let test = TestWallet::funded(&[100_000]);
    let path = test.wallet.folder().to_owned();
    drop(test.wallet);
    let bytes = std::fs::read(path.join(DATABASE)).unwrap();
    let contains = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(contains("tpub") && !contains("tprv") && !contains(WORDS));
}

#[test]
fn addresses_are_next_unused_new_and_listed() {
    let mut test = TestWallet::new();
    let first = test.wallet.next_unused_address().unwrap();
    assert_eq!(test.wallet.next_unused_address().unwrap(), first);
    let second = test.wallet.new_address().unwrap();
    assert_eq!((first.index, second.index), (0, 1));
    let paid = TxOut { value: sat(10_000), script_pubkey: first.address.script_pubkey() };
    let tx = test.payment(vec![paid]);
    test.mine(vec![tx], 1);
    assert_eq!(test.wallet.next_unused_address().unwrap(), second);
    let used: Vec<bool> = test.wallet.addresses().iter().map(|entry| entry.used).collect();
    assert_eq!(used, [true, false]);
    assert!(test.wallet.next_change_address().unwrap().change);
    assert!(test.wallet.is_mine(&first.address.script_pubkey()));
}

#[test]
fn what_was_broadcast_is_spent_at_once_and_after_a_restart() {
    let mut test = TestWallet::funded(&[100_000]);
    let request = FundRequest::new(vec![stranger(60_000)], sat_per_vb(2));
    let funded = test.wallet.fund(&request).unwrap();
    let mut psbt = funded.psbt.clone();
    test.wallet.sign(&test.wallet.signer(None).unwrap(), &mut psbt).unwrap();
    test.wallet.finalize(&mut psbt).unwrap();
    let tx = extract_tx(psbt, sat_per_vb(10)).unwrap();
    test.wallet.note_broadcast(tx, 1_700_000_000).unwrap();
    let test = test.reopen();
    let change = funded.change.unwrap().1;
    assert_eq!(test.wallet.balance().trusted_pending, change);
    assert_eq!(test.wallet.balance().confirmed, sat(0));
    assert_eq!(test.wallet.balance().total(), change);
    assert_eq!(test.wallet.coins().len(), 1);
    assert!(test.wallet.transaction(funded.txid()).is_some());
}

#[test]
fn a_wallet_gives_its_words_if_it_was_made_from_words() {
    let test = TestWallet::funded(&[]);
    assert_eq!(test.wallet.seed_phrase().unwrap().words().as_str(), WORDS);
    assert!(!test.wallet.needs_passphrase().unwrap());

    let folder = tempfile::tempdir().unwrap();
    let public = test.wallet.descriptors();
    let watching = Origin::descriptors(public[0].clone(), Some(public[1].clone()));
    let options = CreateOptions::new(test.wallet.network(), watching);
    let watching = Wallet::create(&folder.path().join("watching"), options).unwrap();
    assert!(matches!(watching.seed_phrase(), Err(WalletError::NoWords)));
    assert!(!watching.needs_passphrase().unwrap());
}

#[cfg(unix)]
#[test]
fn every_file_of_a_wallet_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("wallets").join("alice");
    let _open = Wallet::create(&folder, seeded(Network::Regtest)).unwrap();
    assert_eq!((mode(&above.path().join("wallets")), mode(&folder)), (0o700, 0o700));
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}
