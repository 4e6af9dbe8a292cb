//! Three covenant members on three machines: nothing passes between them and the staker but files.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

mod common;

use std::fs;
use std::path::Path;

use bitcoin::Amount;
use bitcoin::key::Secp256k1;
use common::{new_wallet, only_stake, state, text};
use serde_json::{Value, json};
use tapstake_devnet::{Config, Devnet};
use tapstake_params::local;
use tapstake_signer::covenant::Member;
use tapstake_tests::{Cli, Outcome};
use tapstake_tx::delegation::DelegationPackage;

/// A member's machine: its user, and what it knows of files.
struct Machine(Cli);

impl Machine {
    /// A member with a passphrase of its own. With low scrypt work: these keys are worth nothing.
    fn new(name: &str, options: &[&str]) -> Self {
        let machine = Machine(Cli::new("regtest"));
        fs::write(machine.0.path("passphrase"), format!("the passphrase of {name}\n")).unwrap();
        machine.covenant("init", &[&["--work-factor", "2"], options].concat()).ok();
        machine
    }

    fn covenant(&self, command: &str, args: &[&str]) -> Outcome {
        let passphrase = self.path("passphrase");
        let secret: &[&str] = match command {
            "init" | "sign" => &["--passphrase-file", &passphrase],
            _ => &[],
        };
        self.0.run(&[&["covenant", command], secret, args].concat())
    }

    fn path(&self, name: &str) -> String {
        self.0.path(name).to_str().unwrap().to_owned()
    }

    fn public_key(&self) -> String {
        text(&self.covenant("show", &[]).ok(), "public_key")
    }

    /// Brings a file to this machine.
    fn receive(&self, name: &str, from: &Path) -> String {
        fs::copy(from, self.0.path(name)).unwrap();
        self.path(name)
    }

    fn edit_policy(&self, edit: impl FnOnce(&mut Value)) {
        let file = self.0.data().join("covenant").join("policy.json");
        let mut policy = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        edit(&mut policy);
        fs::write(&file, policy.to_string()).unwrap();
    }
}

fn read(path: &str) -> DelegationPackage {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The parameters of the local set, with a committee of two of these three.
fn parameters(user: &Cli, members: &[Machine]) -> Value {
    let mut parameters = user.run(&["params", "show"]).ok();
    let version = &mut parameters["versions"][0];
    version["covenant_pks"] = members.iter().map(Machine::public_key).collect();
    version["covenant_quorum"] = json!(2);
    parameters
}

#[test]
fn three_members_on_three_machines_exchange_files_only() {
    let devnet = Devnet::start(&Config::default()).unwrap();
    let mut staker = Cli::new("regtest");
    staker.set("TAPSTAKE_SOURCE", devnet.electrum_url());
    let script = new_wallet(&staker);
    devnet.fund(&script, Amount::from_sat(10_000_000)).unwrap();
    devnet.mine(1).unwrap();

    // Two members make fresh keys, one brings its own.
    let imported = Machine(Cli::new("regtest"));
    fs::write(imported.0.path("passphrase"), "the passphrase of b").unwrap();
    fs::write(imported.0.path("key"), "0000000000000000000000000000000000000000000000000000000000000b0b")
        .unwrap();
    let key_file = imported.path("key");
    imported.covenant("init", &["--work-factor", "2", "--key-file", &key_file]).ok();
    let members = [Machine::new("a", &[]), imported, Machine::new("c", &[])];
    let refused = members[0].covenant("init", &[]).refused(1);
    assert!(text(&refused, "message").ends_with("is there already and is left as it is"), "{refused}");

    // The network's parameters name them; each takes these over.
    let file = staker.path("parameters.json");
    fs::write(&file, parameters(&staker, &members).to_string()).unwrap();
    staker.set("TAPSTAKE_PARAMS", &file);
    for member in &members {
        let parameters = member.receive("parameters.json", &file);
        // A key that sits in no committee yet has signed for none, and is not asked.
        let adopted = member.covenant("adopt", &["--params", &parameters]).ok();
        assert_eq!(adopted["changed_versions"], json!([0]));
        assert_eq!(adopted["member_of_versions"], json!([0]));
        let refused = member.covenant("adopt", &["--params", "local"]).refused(1);
        assert!(text(&refused, "message").contains("changed or removed"), "asks first: {refused}");
        let refused = member.covenant("show", &["--params", "local"]).refused(1);
        assert_eq!(refused["rule"], "parameters", "{refused}");
    }

    let provider = local::provider_keypair(&Secp256k1::new(), 0).x_only_public_key().0.to_string();
    let draft = staker.path("draft.json");
    let stake =
        ["stake", "--amount", "0.05btc", "--time", "60", "--provider", &provider, "--account", "text:me"];
    let drafted = staker.run(&[&stake[..], &["--draft", draft.to_str().unwrap()]].concat()).ok();

    // The first signs a copy, in place.
    let a = members[0].receive("delegation.json", &draft);
    let signed = members[0].covenant("sign", &[&a]).ok();
    assert_eq!((&signed["stake"], &signed["repeated"]), (&drafted["outpoint"], &false.into()));
    assert_eq!((&signed["signed_by"], &signed["needed"]), (&1.into(), &2.into()));
    let refused = staker.run(&["stake", "--broadcast", &a]).refused(1);
    assert_eq!(refused["rule"], "quorum", "{refused}");
    let once = read(&a);

    // The second has a bound of its own, and signs once it is wider.
    members[1].edit_policy(|policy| policy["rules"]["max_value_sat"] = json!(4_999_999));
    let b = members[1].receive("delegation.json", &draft);
    let refused = members[1].covenant("sign", &[&b]).refused(1);
    assert_eq!(refused["rule"], "policy-bounds", "{refused}");
    assert_eq!(fs::read(&b).unwrap(), fs::read(&draft).unwrap(), "a refusal leaves the file as it is");
    members[1].edit_policy(|policy| policy["rules"]["max_value_sat"] = json!(5_000_000));
    let answer = members[1].path("signed-by-b.json");
    members[1].covenant("sign", &[&b, "--out", &answer, "--tip", "2"]).ok();
    assert_eq!(fs::read(&b).unwrap(), fs::read(&draft).unwrap());

    // Whoever asks again gets the same signatures, and the list has one stake.
    let again = members[0].receive("again.json", &draft);
    assert_eq!(members[0].covenant("sign", &[&again]).ok()["repeated"], true);
    assert_eq!(read(&again), once);
    let shown = members[0].covenant("show", &[]).ok();
    let [listed] = shown["signed"].as_array().unwrap().as_slice() else { panic!("{shown}") };
    assert_eq!((&listed["stake"], &listed["value_sat"]), (&drafted["outpoint"], &5_000_000.into()));

    // A member gives a copy to whoever lost the file.
    let outpoint = text(&drafted, "outpoint");
    let copy = members[0].path("copy.json");
    members[0].covenant("show", &["--stake", &outpoint, "--out", &copy]).ok();
    assert_eq!(read(&copy), once);
    let refused = members[2].covenant("show", &["--stake", &outpoint, "--out", &copy]).refused(1);
    assert_eq!(refused["rule"], "stake", "{refused}");

    // Two copies make a quorum.
    let both = staker.path("both.json");
    let both = both.to_str().unwrap();
    let checked = staker.run(&["delegation", "check", &a, &answer, "--out", both]).ok();
    assert_eq!(checked["missing"], 0, "{checked}");
    staker.run(&["stake", "--broadcast", both]).ok();
    devnet.mine(1).unwrap();
    assert_eq!(only_stake(&staker)["outpoint"], drafted["outpoint"]);
    staker.run(&["unbond", both]).ok();
    assert_eq!(state(&staker), "unbonding");

    // The third is asked late, and signs as well: a signature more does no harm.
    let c = members[2].receive("delegation.json", Path::new(both));
    assert_eq!(members[2].covenant("sign", &[&c]).ok()["signed_by"], 3);
}

#[test]
fn a_member_names_the_rule_and_signs_nothing() {
    let devnet = Devnet::start(&Config::default()).unwrap();
    let mut staker = Cli::new("regtest");
    staker.set("TAPSTAKE_SOURCE", devnet.electrum_url());
    let script = new_wallet(&staker);
    devnet.fund(&script, Amount::from_sat(10_000_000)).unwrap();
    devnet.mine(1).unwrap();
    let draft = staker.path("draft.json");
    let stake = ["stake", "--amount", "0.05btc", "--time", "60", "--account", "text:me", "--draft"];
    staker.run(&[&stake[..], &[draft.to_str().unwrap()]].concat()).ok();

    // A member of the public local committee.
    let member = Machine(Cli::new("regtest"));
    fs::write(member.0.path("passphrase"), "secret").unwrap();
    let key = local::covenant_keypairs(&Secp256k1::new())[0];
    fs::write(member.0.path("key"), key.display_secret().to_string()).unwrap();
    let key_file = member.path("key");
    member.covenant("init", &["--work-factor", "2", "--key-file", &key_file]).ok();
    let refused = |file: &str, args: &[&str]| {
        let before = fs::read(file).unwrap();
        let refused = member.covenant("sign", &[&[file], args].concat()).refused(1);
        assert_eq!(fs::read(file).unwrap(), before, "{refused}");
        text(&refused, "rule")
    };

    let file = member.receive("delegation.json", &draft);
    let mut package = read(&file);
    package.parts.unbonding_tx.output[0].value += Amount::ONE_SAT;
    let wrong = member.path("wrong.json");
    fs::write(&wrong, serde_json::to_string(&package).unwrap()).unwrap();
    assert_eq!(refused(&wrong, &[]), "unbonding-fee");

    // No delegation is that long: what is behind its length is not even read.
    let huge = member.path("huge.json");
    fs::File::create(&huge).unwrap().set_len(100_000_000).unwrap();
    let error = member.covenant("sign", &[&huge]).refused(1);
    assert_eq!(error["rule"], "file", "{error}");
    fs::write(&huge, "{}").unwrap();
    assert_eq!(refused(&huge, &[]), "file");

    // Another process has the folder; then nobody has.
    let folder = member.0.data().join("covenant");
    let held = Member::open(&folder).unwrap();
    assert_eq!(refused(&file, &[]), "in-use");
    drop(held);

    fs::write(member.0.path("passphrase"), "no secret").unwrap();
    assert_eq!(refused(&file, &[]), "passphrase");
    fs::write(member.0.path("passphrase"), "").unwrap();
    assert_eq!(refused(&file, &[]), "passphrase");
    let shown = member.covenant("show", &[]).ok();
    assert_eq!(shown["signed"], json!([]), "nothing was signed so far: {shown}");

    fs::write(member.0.path("passphrase"), "secret").unwrap();
    member.covenant("sign", &[&file]).ok();
    let nobody = Cli::new("regtest");
    let error = nobody.run(&["covenant", "show"]).refused(1);
    assert!(text(&error, "next").contains("tapstake covenant init"), "{error}");
    let error = nobody.run(&["covenant", "init"]).refused(2);
    assert!(text(&error, "next").contains("--passphrase-file"), "{error}");
}

/// Two versions of the parameters: two of a, b and c at first, two of b, c and d from a height on.
fn changing_committee(user: &Cli, members: &[Machine], height: u32) -> Value {
    let mut parameters = parameters(user, &members[..3]);
    let mut second = parameters["versions"][0].clone();
    second["version"] = json!(1);
    second["activation_height"] = json!(height);
    second["covenant_pks"] = members[1..].iter().map(Machine::public_key).collect();
    parameters["versions"].as_array_mut().unwrap().push(second);
    parameters
}

#[test]
fn a_file_goes_round_twice_where_an_expansion_changes_the_committee() {
    let devnet = Devnet::start(&Config::default()).unwrap();
    let mut staker = Cli::new("regtest");
    staker.set("TAPSTAKE_SOURCE", devnet.electrum_url());
    let script = new_wallet(&staker);
    for _ in 0..2 {
        devnet.fund(&script, Amount::from_sat(10_000_000)).unwrap();
        devnet.mine(1).unwrap();
    }
    let change = devnet.tip().height + 10;
    let members = ["a", "b", "c", "d"].map(|name| Machine::new(name, &[]));
    let file = staker.path("parameters.json");
    fs::write(&file, changing_committee(&staker, &members, change).to_string()).unwrap();
    staker.set("TAPSTAKE_PARAMS", &file);
    for member in &members {
        let parameters = member.receive("parameters.json", &file);
        member.covenant("adopt", &["--params", &parameters, "--yes"]).ok();
    }
    let [a, b, c, _] = &members;
    let sign = |member: &Machine, name: &str, file: &str| {
        let copy = member.receive(name, Path::new(file));
        let outcome = member.covenant("sign", &[&copy, "--tip", &devnet.tip().height.to_string()]);
        if outcome.code == 0 {
            fs::copy(&copy, file).unwrap();
        }
        outcome
    };

    let draft = staker.path("draft.json");
    let draft = draft.to_str().unwrap();
    let provider = local::provider_keypair(&Secp256k1::new(), 0).x_only_public_key().0.to_string();
    let stake =
        ["stake", "--amount", "0.05btc", "--time", "60", "--provider", &provider, "--account", "text:me"];
    staker.run(&[&stake[..], &["--draft", draft]].concat()).ok();
    for member in [a, b] {
        let signed = sign(member, "stake.json", draft).ok();
        assert_eq!(signed["old_stake"], Value::Null, "there is none: {signed}");
    }
    staker.run(&["stake", "--broadcast", draft]).ok();
    devnet.mine_to_height(change).unwrap();
    let old = text(&only_stake(&staker), "outpoint");

    let expansion = staker.path("expansion.json");
    let expansion = expansion.to_str().unwrap();
    let drafted =
        staker.run(&["expand", &old, "--amount", "0.06btc", "--time", "90", "--draft", expansion]).ok();
    assert_eq!(text(&drafted, "expands"), old);

    // Who guards the old stake alone has nothing to sign yet; who sits in both signs for the new one.
    let refused = sign(a, "expansion.json", expansion).refused(1);
    assert_eq!(refused["rule"], "release-waits", "{refused}");
    let refused = text(&refused, "next");
    assert!(refused.contains("bring the file with its quorum"), "{refused}");
    let signed = sign(b, "expansion.json", expansion).ok();
    assert_eq!((&signed["signed_by"], &signed["needed"]), (&1.into(), &2.into()));
    assert_eq!(signed["old_stake"], json!({ "release": "waits-for-quorum", "signed_by": 0, "needed": 2 }));
    let signed = sign(c, "expansion.json", expansion).ok();
    assert_eq!(signed["old_stake"], json!({ "release": "given", "signed_by": 1, "needed": 2 }));
    assert_eq!(staker.run(&["stake", "--broadcast", expansion]).refused(1)["rule"], "quorum");

    // The second round.
    let signed = sign(b, "again.json", expansion).ok();
    assert_eq!(signed["old_stake"], json!({ "release": "given", "signed_by": 2, "needed": 2 }));
    assert_eq!((&signed["signed_by"], &signed["repeated"]), (&2.into(), &false.into()));
    let before = fs::read(expansion).unwrap();
    assert_eq!(sign(b, "again.json", expansion).ok()["repeated"], true);
    assert_eq!(fs::read(expansion).unwrap(), before, "asked once more, it answers the same");
    staker.run(&["stake", "--broadcast", expansion]).ok();
    devnet.mine(1).unwrap();
    let listed = staker.run(&["stakes"]).ok();
    let states: Vec<_> = listed["stakes"].as_array().unwrap().iter().map(|row| text(row, "state")).collect();
    assert_eq!(states, ["expanded", "confirmed"]);
    staker.run(&["unbond", expansion]).ok();
}
