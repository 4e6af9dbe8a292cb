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
use common::{new_wallet, state, text};
use tapstake_devnet::{Config, Devnet};
use tapstake_tests::Cli;

/// When the line breaks, for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// The server never hears of the transaction.
    BeforeBroadcast,
    /// The server takes it, and nobody hears the answer.
    AfterBroadcast,
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
        let cut = line.contains("blockchain.transaction.broadcast");
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
