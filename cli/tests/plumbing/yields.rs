//! `tapstake yield`: its examples say what it prints, and what makes no sense is refused by name.

use crate::support::{error, json, run, stdout};

/// What a text has of figures.
fn figures(text: &str) -> Vec<String> {
    let words = text.split(|c: char| c.is_whitespace() || c == ',' || c == ';');
    words.filter(|word| word.starts_with(|c: char| c.is_ascii_digit())).map(str::to_owned).collect()
}

#[test]
fn every_example_of_the_help_prints_the_figures_that_the_help_names() {
    let help = stdout(&run("yield --help"));
    let mut lines = help.lines().map(str::trim).skip_while(|line| !line.starts_with("Examples"));
    let mut shown = 0;
    while let Some(line) = lines.next() {
        let Some(line) = line.strip_prefix("tapstake ") else { continue };
        let (printed, said) = (stdout(&run(line)), lines.next().unwrap());
        let printed = figures(&printed);
        for figure in figures(said) {
            assert!(printed.contains(&figure), "tapstake {line}\n{figure} is not among {printed:?}");
            shown += 1;
        }
    }
    assert!(shown >= 12, "only {shown} figures");
}

#[test]
fn services_add_their_rates_beside_one_slashable_amount() {
    let one = json("yield --stake 1btc --service a=6%");
    let three = json("yield --stake 1btc --service a=6% --service b=2% --service c=2%");
    assert_eq!((&one["apr_ppm"], &three["apr_ppm"]), (&60_000.into(), &100_000.into()));
    assert_eq!(three["earned_sat"], 10_000_000);
    // The local parameters: a tenth of what an unbonding leaves, and the fees of 1,000 sat of both transactions.
    assert_eq!(one["slashable_sat"], 10_001_900);
    assert_eq!(one["slashable_sat"], three["slashable_sat"]);
}

#[test]
fn a_coin_has_as_many_decimals_as_it_is_typed_with_and_two_at_least() {
    let answer = json("yield --stake 2btc --service a=2500.125token --price 50000token --price 42000.5usd");
    let [token, usd] = answer["values"].as_array().unwrap().as_slice() else { panic!("two coins: {answer}") };
    assert_eq!((&token["stake"], &token["earned"]), (&"100000.000".into(), &"5000.250".into()));
    // 0.100005 BTC, at 42,000.50 for one: 4,200.2600025.
    assert_eq!((&usd["stake"], &usd["earned"]), (&"84001.00".into(), &"4200.26".into()));
    assert_eq!(answer["apr_ppm"], 50_002);
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    for (line, rule) in [
        ("--rate 2500token", "price"),
        ("--rate 6% --price 0usd", "price"),
        ("--rate 6% --price 1usd --price 2usd", "price"),
        ("--rate 6% --price 999999999999999999999999999999999999999usd", "overflow"),
        ("--rate 6% --commission 100.0001%", "commission"),
        ("--rate 6% --compound 0", "time"),
        ("--rate 6% --compound 55001", "time"),
        ("--rate 6% --months 1201", "time"),
        ("--rate 6% --slashable 1.00000001btc", "slashable"),
        ("--service a=6% --service a=2%", "service"),
    ] {
        assert_eq!(error(&format!("yield --stake 1btc {line}"), 1)["rule"], rule, "{line}");
    }
    for line in [
        "--stake 1btc",
        "--stake 1 --rate 6%",
        "--stake 21000001btc --rate 6%",
        "--stake 1btc --rate 6",
        "--stake 1btc --rate 0.00001%",
        "--stake 1btc --rate -1%",
        "--stake 1btc --rate 6% --service a=6%",
        "--stake 1btc --service 6%",
        "--stake 1btc --service a=6%,",
        "--stake 1btc --rate 6% --price 42,000usd",
        "--stake 1btc --rate 6% --price 1.usd",
        "--stake 1btc --rate 6% --price 1e3usd",
        "--stake 1btc --rate 6% --compound often",
    ] {
        error(&format!("yield {line}"), 2);
    }
}
