//! `tapstake demo` on the embedded chain: needs nothing, tells everything, loses nothing.

mod common;

#[test]
fn the_demo_tells_the_whole_life_of_stakes_on_the_embedded_chain() {
    let document = tapstake_tests::Cli::new("regtest").run(&["demo"]).ok();
    assert_eq!(document["chain"], "the embedded chain");
    common::check_demo(&document);
}

#[test]
fn the_demo_mines_on_regtest_alone() {
    let mut user = tapstake_tests::Cli::new("signet");
    user.set("TAPSTAKE_SOURCE", "http://127.0.0.1:1");
    let refused = user.run(&["demo"]).refused(2);
    assert_eq!(refused["kind"], "usage");
    assert!(refused["message"].as_str().is_some_and(|text| text.contains("regtest")), "{refused}");
}
