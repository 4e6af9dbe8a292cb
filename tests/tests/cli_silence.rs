//! A connection that breaks at the worst moment: when the stake's transaction is on its way.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use bitcoin::Amount;
use common::{new_wallet, only_stake, state, text};
use serde_json::json;
use tapstake_devnet::{Config, Devnet};
use tapstake_tests::Cli;

/// When the line breaks, for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// The server never hears of the transaction.
    BeforeBroadcast,
    /// The server takes it, and nobody hears the answer.
    AfterBroadcast,
    /// The line holds; the server says that it is too busy for the transaction.
    Busy,
}

/// A line to an Electrum server that breaks at its first broadcast; says where to call.
fn line_to(server: SocketAddr, when: Cut) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    let broken = Arc::new(AtomicBool::new(false));
    thread::spawn(move || {
        for caller in listener.incoming().map_while(Result::ok) {
            if broken.load(Ordering::SeqCst) {
                continue;
            }
            let (server, broken) = (TcpStream::connect(server).unwrap(), Arc::clone(&broken));
            thread::spawn(move || carry(&caller, &server, when, &broken));
        }
    });
    url
}

fn carry(caller: &TcpStream, mut server: &TcpStream, when: Cut, broken: &AtomicBool) {
    let (mut answers, mut back) = (server.try_clone().unwrap(), caller.try_clone().unwrap());
    thread::spawn(move || std::io::copy(&mut answers, &mut back));
    for line in BufReader::new(caller).lines().map_while(Result::ok) {
        let broadcast = line.contains("blockchain.transaction.broadcast");
        if broadcast && when == Cut::Busy {
            let call: serde_json::Value = serde_json::from_str(&line).unwrap();
            let error = json!({ "code": -101, "message": "excessive resource usage" });
            let answer = json!({ "jsonrpc": "2.0", "id": call["id"], "error": error });
            let mut back = caller;
            writeln!(back, "{answer}").unwrap();
            continue;
        }
        let cut = broadcast;
        if cut {
            broken.store(true, Ordering::SeqCst);
            caller.shutdown(Shutdown::Both).unwrap();
        }
        if !(cut && when == Cut::BeforeBroadcast) && writeln!(server, "{line}").is_err() {
            return;
        }
        if cut {
            return;
        }
    }
}

/// A user whose line broke while staking, and the chain to go on with.
fn interrupted(when: Cut) -> (Devnet, Cli) {
    let devnet = Devnet::start(&Config::default()).unwrap();
    let mut user = Cli::new("regtest");
    devnet.fund(&new_wallet(&user), Amount::from_sat(10_000_000)).unwrap();
    devnet.mine(1).unwrap();
    user.set("TAPSTAKE_SOURCE", line_to(devnet.addr(), when));
    let failed = user.run(&["stake", "--amount", "0.05btc", "--time", "20"]).refused(1);
    assert!(text(&failed, "next").contains("tapstake stakes resume"), "{failed}");
    user.set("TAPSTAKE_SOURCE", devnet.electrum_url());
    (devnet, user)
}

#[test]
fn a_stake_that_never_arrived_is_kept_with_its_coins_locked_and_sent_again() {
    let (devnet, user) = interrupted(Cut::BeforeBroadcast);
    assert!(devnet.mempool().is_empty());
    assert_eq!(state(&user), "prepared");
    assert_eq!(user.run(&["wallet", "utxos"]).ok()["utxos"][0]["locked"], true);
    assert_eq!(user.run(&["stakes", "resume"]).ok()["resumed"].as_array().unwrap().len(), 1);
    assert_eq!(state(&user), "in_mempool");
    devnet.mine(20).unwrap();
    user.run(&["withdraw"]).ok();
    devnet.mine(1).unwrap();
    assert_eq!(state(&user), "withdrawn");
}

#[test]
fn a_busy_server_is_no_refusal_and_the_stake_stays_as_prepared() {
    let (devnet, user) = interrupted(Cut::Busy);
    assert!(devnet.mempool().is_empty());
    assert_eq!(state(&user), "prepared");
    assert_eq!(user.run(&["wallet", "utxos"]).ok()["utxos"][0]["locked"], true);
    assert_eq!(user.run(&["stakes", "resume"]).ok()["resumed"].as_array().unwrap().len(), 1);
    assert_eq!(state(&user), "in_mempool");
}

#[test]
fn a_stake_that_never_left_is_forgotten_only_with_a_yes_and_its_coins_are_free() {
    let (_devnet, user) = interrupted(Cut::BeforeBroadcast);
    let stake = text(&only_stake(&user), "outpoint");
    let refused = user.run(&["stakes", "forget", &stake]).refused(1);
    assert!(text(&refused, "next").contains("--yes"), "{refused}");
    let coin = text(&user.run(&["wallet", "utxos"]).ok()["utxos"][0], "outpoint");
    let forgotten = user.run(&["stakes", "forget", &stake, "--yes"]).ok();
    assert_eq!(forgotten["freed"], json!([coin]));
    assert_eq!(user.run(&["wallet", "utxos"]).ok()["utxos"][0]["locked"], false);
    assert!(user.run(&["stakes"]).ok()["stakes"].as_array().unwrap().is_empty());
}

#[test]
fn coins_locked_for_a_stake_without_a_record_are_named_and_only_locked_coins_are_unlocked() {
    let (_devnet, user) = interrupted(Cut::BeforeBroadcast);
    let stake = text(&only_stake(&user), "outpoint");
    std::fs::remove_file(user.data().join("stakes.sqlite")).unwrap();
    let coin = text(&user.run(&["wallet", "utxos"]).ok()["utxos"][0], "outpoint");
    let resumed = user.run(&["stakes", "resume"]).ok();
    assert_eq!(resumed["unlisted"], json!([{ "stake": stake, "coins": [coin] }]));
    user.run(&["wallet", "unlock", &coin]).ok();
    let again = user.run(&["wallet", "unlock", &coin]).refused(1);
    assert_eq!(again["rule"], "locked-coin", "{again}");
    assert!(user.run(&["stakes", "resume"]).ok()["unlisted"].is_null());
}

#[test]
fn a_record_that_cannot_be_read_holds_up_no_other_stake() {
    let devnet = Devnet::start(&Config::default()).unwrap();
    let mut user = Cli::new("regtest");
    devnet.fund(&new_wallet(&user), Amount::from_sat(10_000_000)).unwrap();
    devnet.mine(1).unwrap();
    user.set("TAPSTAKE_SOURCE", devnet.electrum_url());
    let first = text(&user.run(&["stake", "--amount", "0.02btc", "--time", "20"]).ok(), "outpoint");
    devnet.mine(1).unwrap();
    let second = text(&user.run(&["stake", "--amount", "0.02btc", "--time", "20"]).ok(), "outpoint");
    devnet.mine(20).unwrap();
    let list = rusqlite::Connection::open(user.data().join("stakes.sqlite")).unwrap();
    list.execute("UPDATE stake SET record = '{}' WHERE outpoint = ?1", [&first]).unwrap();

    let listed = user.run(&["stakes"]).ok();
    assert_eq!(
        (&listed["stakes"][0]["outpoint"], &listed["stakes"][0]["state"]),
        (&json!(second), &json!("expired"))
    );
    assert_eq!(listed["failed"][0]["stake"], json!(first));
    user.run(&["stakes", "resume"]).ok();
    let withdrawn = user.run(&["withdraw"]).ok();
    assert_eq!((&withdrawn["stakes"], &withdrawn["failed"][0]["stake"]), (&json!([second]), &json!(first)));
    user.run(&["withdraw", &first]).refused(1);
    // With no other left, the command fails.
    list.execute("DELETE FROM stake WHERE outpoint = ?1", [&second]).unwrap();
    user.run(&["stakes"]).refused(1);
}

#[test]
fn a_stake_whose_answer_was_lost_is_found_where_it_is() {
    let (devnet, user) = interrupted(Cut::AfterBroadcast);
    // The line passes it on while the user is already told of the break.
    let arrived = (0..1000).any(|_| {
        thread::sleep(Duration::from_millis(10));
        !devnet.mempool().is_empty()
    });
    assert!(arrived);
    assert_eq!(state(&user), "in_mempool");
    assert!(user.run(&["stakes", "resume"]).ok()["resumed"].as_array().unwrap().is_empty());
    devnet.mine(20).unwrap();
    user.run(&["withdraw"]).ok();
    devnet.mine(1).unwrap();
    assert_eq!(state(&user), "withdrawn");
}
