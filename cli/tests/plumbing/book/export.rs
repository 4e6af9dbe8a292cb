//! Figures for others: CSV files, drawings, risks.

use serde_json::json;

use super::Kept;
use crate::support::{run, stderr};

#[test]
fn csv_files_have_pools_over_receipts_and_no_formula() {
    let kept = Kept::new();
    kept.entry("pool choose l a 50%");
    kept.entry("pool choose l b 100%");
    let shares = 40_000u128 * 1_000_000;
    let moved = kept.entry(&format!("pool deposit l {shares} --holder =ann"));
    let moved = moved["shares"].as_str().unwrap().to_owned();
    kept.entry("exit --amount 10000sat --pool p --holder =ann");
    let folder = kept.folder.path().join("csv");
    kept.json(&format!("export --csv {}", folder.display()));
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let rows = |name: &str| read(name).lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        rows("pools_over_receipts.csv"),
        [
            "pool,over,supply,assets_shares,value_sat,nominal_sum_sat,leverage_ppm".to_owned(),
            format!("l,p,{moved},{shares},40000,60000,1500000"),
        ]
    );
    assert_eq!(
        rows("chosen_services.csv"),
        ["pool,service,part_ppm,nominal_sat", "l,a,500000,20000", "l,b,1000000,40000"]
    );
    let holders = rows("holders.csv");
    assert!(holders.contains(&format!("l,'=ann,{moved}")), "{holders:?}");
    assert!(holders.contains(&format!("p,'=ann,{}", 50_000u128 * 1_000_000)), "{holders:?}");
    assert!(rows("exits.csv")[1].starts_with("p,0,'=ann,"), "{:?}", rows("exits.csv"));
    assert!(rows("pools.csv")[0].contains(",missing_sat,"));
    for file in std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()) {
        let text = std::fs::read_to_string(&file).unwrap();
        let begins = |field: &str| field.starts_with(['=', '+', '-', '@', '\t', '\r']);
        assert!(!text.split("\r\n").flat_map(|row| row.split(',')).any(begins), "{}", file.display());
    }
    // JSON has the names as they are.
    assert_eq!(kept.json("export")["pools_over_receipts"][0]["holders"], json!({"=ann": moved}));
    let shown = kept.text("show");
    assert!(shown.contains("a 50%, b 100%"), "{shown}");
}

#[test]
fn a_price_is_held_against_the_value_as_far_as_their_difference_fits() {
    let kept = Kept::new();
    for (price, market) in [("0.9", 900_000u64), ("90%", 900_000), ("4295", 4_295_000_000)] {
        let risk = kept.json(&format!("risk --price {price}"));
        assert_eq!(risk["pools"][0]["market"], market, "{price}");
    }
    let beyond = kept.refused("risk --price 4296", "risk");
    assert!(beyond["next"].as_str().unwrap().contains("at most 4295 times"), "{beyond}");
}

#[test]
fn a_pool_over_receipts_is_drawn_with_its_rate_times_the_value_beneath() {
    let kept = Kept::new();
    let svg = kept.folder.path().join("book.svg");
    // The least and the greatest value that are drawn, in thousandths: labels say where which value is.
    let drawn = |filter: &str| {
        let drawn = kept.json(&format!("plot --out {} {filter}", svg.display()));
        let text = std::fs::read_to_string(&svg).unwrap();
        let panel = text.split("block height").next().unwrap();
        let labels = panel.split(" y=\"").filter(|part| part.contains("text-anchor=\"end\">"));
        let labels = labels.map(|part| {
            let value = part.split("text-anchor=\"end\">").nth(1).unwrap().split('<').next().unwrap();
            (part.split('"').next().unwrap().parse::<f64>().unwrap(), value.parse::<f64>().unwrap())
        });
        let labels: Vec<_> = labels.collect();
        let [(low, least), .., (high, most)] = labels.as_slice() else { panic!("{panel}") };
        let paths =
            text.split("<path d=\"").skip(1).take(drawn["pools"].as_u64().unwrap().try_into().unwrap());
        let ends = |c: char| !(c.is_ascii_digit() || c == '.');
        let verticals = paths.flat_map(|path| path.split('"').next().unwrap().split('V').skip(1));
        let values = verticals.map(|y| {
            let y = y.split(ends).next().unwrap().parse::<f64>().unwrap();
            let value = least + (most - least) * (low - y) / (low - high);
            (value * 1_000.0).round()
        });
        let values: Vec<_> = values.collect();
        let extreme = |pick: fn(f64, f64) -> f64| values.iter().copied().reduce(pick).unwrap();
        let counts = (drawn["pools"].as_u64().unwrap(), drawn["points"].as_u64().unwrap());
        (counts, extreme(f64::min), extreme(f64::max))
    };
    let near = |(counts, least, most): (_, f64, f64), told: ((u64, u64), f64, f64)| {
        assert_eq!(counts, told.0);
        // A pixel is a hundredth of the room, at most.
        assert!((least - told.1).abs() < 10.0 && (most - told.2).abs() < 10.0, "{least} {most}: {told:?}");
    };
    near(drawn("--pool l"), ((1, 1), 1_000.0, 1_000.0));
    let shares = |thousands: u128| thousands * 1_000 * 1_000_000;
    kept.entry(&format!("pool deposit l {} --holder =ann", shares(40)));
    // A deposit moves no rate.
    near(drawn("--pool l"), ((1, 1), 1_000.0, 1_000.0));
    let reward = format!("pool reward l --shares {} --from bob --height 101", shares(20));
    kept.entry(&reward);
    // Half as much again, rounded down.
    near(drawn("--pool l"), ((1, 2), 1_000.0, 1_500.0));
    kept.entry("pool reward p 150000sat --height 110");
    // From 1 to 1.999993 beneath, and to 1.999993 * 1.499999 here.
    assert_eq!(drawn("--pool p").0, (1, 4));
    near(drawn("--pool l"), ((1, 3), 1_000.0, 2_999.0));
    near(drawn(""), ((2, 7), 1_000.0, 2_999.0));
    let text = std::fs::read_to_string(&svg).unwrap();
    assert!(text.contains(">l</text>") && text.contains(">p</text>"), "{text}");
    kept.refused(&format!("plot --out {} --pool q", svg.display()), "unknown-pool");
}

#[test]
fn an_export_takes_no_other_files_place() {
    let kept = Kept::new();
    let folder = kept.folder.path().join("csv");
    let export = format!("export --csv {}", folder.display());
    kept.json(&export);
    let services = std::fs::read(folder.join("services.csv")).unwrap();
    kept.entry("pool reward p 5sat --height 101");
    for foreign in ["my,own\r\n1,2\r\n", "", "stake,value_sat\r\n"] {
        std::fs::write(folder.join("stakes.csv"), foreign).unwrap();
        std::fs::write(folder.join("services.csv"), &services).unwrap();
        let refused = kept.refused(&export, "file");
        assert!(refused["message"].as_str().unwrap().contains("stakes.csv is there already"), "{refused}");
        assert_eq!(std::fs::read_to_string(folder.join("stakes.csv")).unwrap(), foreign);
    }
    std::fs::remove_file(folder.join("stakes.csv")).unwrap();
    std::fs::create_dir(folder.join("stakes.csv")).unwrap();
    assert_eq!(run(&kept.line(&export)).status.code(), Some(1));
    let history = std::fs::read_to_string(folder.join("history.csv")).unwrap();
    assert!(!history.contains(",101,"), "nothing was written: {history}");
}

#[test]
fn a_risk_report_below_the_last_entry_says_where_it_looks() {
    let kept = Kept::new();
    for (height, warned) in [(99, true), (100, false), (101, false)] {
        let output = run(&kept.line(&format!("risk --height {height}")));
        let said = stderr(&output).contains("how things stand at the last entry, at height 100");
        assert_eq!((said, output.status.code()), (warned, Some(0)), "{height}");
    }
}
