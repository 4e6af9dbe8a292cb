//! How rates and amounts may be typed, and what is said of numbers that cannot be.

use crate::support::{KEYS, PROVIDER, error, json, run, stderr, stdout};

#[test]
fn a_rate_is_a_percentage_or_a_decimal_wherever_one_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let book = folder.path().join("book.jsonl");
    let book = book.display();
    json(&format!("book init --book {book}"));
    let add = |name: &str, rate: &str, limit: &str| {
        let line = format!(
            "book service add {name} --denomination ua --slashing-rate {rate} --unbonding-time 9 --leverage-limit {limit} \
             --height 100 --book {book}"
        );
        json(&line)["entries"][0]["event"]["register_service"]["terms"].clone()
    };
    assert_eq!(add("a", "0.1", "200%"), add("b", "10%", "2000000ppm"));
    let commission = |key: &str, rate: &str| {
        let line = format!("book provider add {key} --service a --commission {rate} --book {book}");
        json(&line)["entries"][0]["event"]["register_provider"]["commission"].clone()
    };
    assert_eq!((commission(KEYS[1], "5%"), commission(KEYS[2], "0.05")), (50_000.into(), 50_000.into()));
    let change = format!("book provider commission {PROVIDER} 0.06 --service a --book {book}");
    assert_eq!(json(&change)["entries"][0]["event"]["set_commission"]["commission"], 60_000);
    for (one, other) in [
        ("--rate 6% --commission 5%", "--rate 0.06 --commission 0.05"),
        ("--service a=6%,10%", "--service a=0.06,0.1"),
    ] {
        assert_eq!(json(&format!("yield --stake 1btc {one}")), json(&format!("yield --stake 1btc {other}")));
    }
    // Nobody can tell whether that is 5% or five times.
    for line in [
        format!("book provider add {} --service a --commission 5 --book {book}", KEYS[3]),
        "yield --stake 1btc --rate 6% --commission 5".to_owned(),
    ] {
        let said = error(&line, 2)["message"].as_str().unwrap().to_owned();
        assert!(said.contains("6%") && said.contains("0.06"), "{said}");
    }
    let pools = |limit: &str, name: &str| {
        let line = format!("book pool open {name} --over p --leverage-limit {limit} --book {book}");
        json(&line)["entries"][0]["event"]["open_lrt"]["leverage_limit"].clone()
    };
    json(&format!("book pool open p --unbonding-time 9 --book {book}"));
    assert_eq!(pools("0.5", "l"), pools("50%", "m"));
    let choose = format!("book pool choose l a 0.25 --book {book}");
    assert_eq!(json(&choose)["entries"][0]["event"]["choose_service"]["part"], 250_000);
}

#[test]
fn a_number_below_zero_is_said_to_be_one() {
    for (line, number) in [
        ("book exit --amount -5 --pool p --holder a", "-5"),
        ("book exit --amount -5sat --pool p --holder a", "-5sat"),
        ("book exit --amount=-0.5btc --pool p --holder a", "-0.5btc"),
        ("book exit -5 --pool p --holder a", "-5"),
        ("book pool reward p -5sat", "-5sat"),
        ("book transfer -7 --pool p --from a --to b", "-7"),
        ("expand --amount -.5btc", "-.5btc"),
        ("yield --stake 1btc --rate -1%", "-1%"),
        ("yield --stake 1btc --rate 6% --months -3", "-3"),
        ("stake --amount -1btc --time 5", "-1btc"),
    ] {
        let refused = error(line, 2);
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains(&format!("{number} is below zero")), "{line}: {message}");
        let said = stderr(&run(line));
        assert!(!said.contains("tip:") && !said.contains("unexpected"), "{line}: {said}");
    }
    let behind = run("book exit --pool p --holder a -- -5");
    assert_eq!(behind.status.code(), Some(2));
    assert!(stderr(&behind).contains("-5 is below zero"), "{}", stderr(&behind));
    // What is no number is an option that there is not.
    let said = stderr(&run("book exit -x --pool p --holder a"));
    assert!(said.contains("unexpected argument '-x'"), "{said}");
    assert!(stderr(&run("yield --stake 5 --rate 6%")).contains("a unit"));
}

#[test]
fn a_price_is_typed_with_and_without_a_blank_like_an_amount() {
    let with = |price: &str| {
        let line = ["yield", "--stake", "0.5 BTC", "--rate", "6%", "--price", price, "--json"];
        let output = crate::support::tapstake().args(line).output().unwrap();
        assert!(output.status.success(), "{price}: {}", stderr(&output));
        stdout(&output)
    };
    assert_eq!(with("42000 USD"), with("42000USD"));
}

#[test]
fn a_price_of_nothing_and_two_prices_of_a_coin_say_which_coin() {
    for prices in ["--price 0usd", "--price 1usd --price 2usd"] {
        let refused = error(&format!("yield --stake 1btc --rate 6% {prices}"), 1);
        assert_eq!(
            (&refused["rule"], refused["next"].as_str().unwrap().contains("NUMBERusd")),
            (&"price".into(), true)
        );
    }
}

#[test]
fn a_yield_names_the_parameters_that_its_slashable_amount_is_of() {
    let of = |options: &str| {
        let answer = json(&format!("yield --stake 1btc --rate 6% {options}"));
        let by = answer["slashable_by_parameters"].as_bool().unwrap();
        (answer["slashable_sat"].as_u64().unwrap(), answer["parameters"].clone(), by)
    };
    let set = |name: &str, version: u32, network: &str, default: bool| serde_json::json!({"name": name, "version": version, "network": network, "default": default});
    assert_eq!(of(""), (10_001_900, set("local", 0, "regtest", true), true));
    assert_eq!(of("--network signet").1, set("local", 0, "signet", true));
    assert_eq!(of("--network signet --params local").1, set("local", 0, "signet", false));
    assert_eq!(of("--network mainnet"), (259_590, set("bbn-1", 5, "mainnet", true), true));
    assert_eq!(of("--params bbn-1"), (259_590, set("bbn-1", 5, "mainnet", false), true));
    assert_eq!(of("--slashable 0.1btc"), (10_000_000, serde_json::Value::Null, false));
    let said = |options: &str| stdout(&run(&format!("yield --stake 1btc --rate 6% {options}")));
    assert!(
        said("").contains("by version 0 of the parameters local (the default on regtest)"),
        "{}",
        said("")
    );
    assert!(said("--params bbn-1").contains("by version 5 of the parameters bbn-1 (set, on mainnet)"));
    assert!(said("--slashable 0.1btc").contains("10000000 sat, once: as given"));
}

#[test]
fn a_file_that_is_not_there_is_named_once() {
    for line in [
        "delegation check nosuch.json",
        "verify nosuch.json",
        "book import nosuch.json",
        "scan --block nosuch --height 1",
    ] {
        let message = error(line, 1)["message"].as_str().unwrap().to_owned();
        assert!(!message.contains("nosuch.json: nosuch.json"), "{line}: {message}");
    }
}
