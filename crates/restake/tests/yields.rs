//! Yield: the worked figures, compounding, commission, and several services on one stake.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

use bitcoin::Amount;
use proptest::prelude::*;
use tapstake_restake::{
    Compounding, Denomination, PartsPerMillion, Price, RewardRate, ServiceId, ServiceYield, Valued,
    YieldError, YieldReport, YieldTerms,
};

fn ppm(millionths: u32) -> PartsPerMillion {
    PartsPerMillion::new(millionths)
}

fn btc(bitcoin: u64) -> Amount {
    Amount::from_sat(bitcoin * 100_000_000)
}

fn coin(name: &str) -> Denomination {
    Denomination::new(name).unwrap()
}

fn service(name: &str, rate: u32, commission: u32) -> ServiceYield {
    let rate = RewardRate::OfStake(ppm(rate));
    ServiceYield { service: ServiceId::new(name).unwrap(), rate, commission: ppm(commission) }
}

/// A bitcoin at 42,000 dollars, in cents.
fn dollars() -> Price {
    Price { denomination: coin("cent"), per_bitcoin: 4_200_000 }
}

/// A year without compounding or commission, of which a tenth of a percent can be slashed.
fn a_year(stake: Amount, rates: &[u32]) -> YieldTerms {
    YieldTerms {
        stake,
        slashable: stake / 1_000,
        months: 12,
        compounding: Compounding::None,
        services: rates
            .iter()
            .enumerate()
            .map(|(n, rate)| service(&format!("service-{n}"), *rate, 0))
            .collect(),
        prices: vec![dollars()],
    }
}

fn dollars_of(report: &YieldReport) -> (u128, u128) {
    let Valued { stake, earned, .. } = &report.values[0];
    assert_eq!((stake % 100, earned % 100), (0, 0));
    (stake / 100, earned / 100)
}

#[test]
fn one_bitcoin_at_six_percent_earns_2520_dollars_at_42000() {
    let report = a_year(btc(1), &[60_000]).report().unwrap();
    assert_eq!(report.earned, Amount::from_sat(6_000_000));
    assert_eq!(dollars_of(&report), (42_000, 2_520));
    assert_eq!((report.apr, report.apy), (ppm(60_000), ppm(60_000)));
}

#[test]
fn five_thousand_bitcoin_are_210_million_dollars_and_earn_by_their_rate() {
    for (rate, bitcoin, earned) in
        [(40_000, 200, 8_400_000), (60_000, 300, 12_600_000), (80_000, 400, 16_800_000)]
    {
        let report = a_year(btc(5_000), &[rate]).report().unwrap();
        assert_eq!(report.earned, btc(bitcoin));
        assert_eq!(dollars_of(&report), (210_000_000, earned));
    }
}

#[test]
fn several_services_add_their_rates_and_not_what_they_can_slash() {
    let one = a_year(btc(1), &[60_000]).report().unwrap();
    let three = a_year(btc(1), &[60_000, 20_000, 20_000]).report().unwrap();
    assert_eq!((one.apr, three.apr), (ppm(60_000), ppm(100_000)));
    assert_eq!((one.slashable, three.slashable), (Amount::from_sat(100_000), Amount::from_sat(100_000)));
    assert_eq!(three.earned, Amount::from_sat(10_000_000));
    let lines: Vec<_> = three.services.iter().map(|line| (line.apr.to_u32(), line.net.to_sat())).collect();
    assert_eq!(lines, [(60_000, 6_000_000), (20_000, 2_000_000), (20_000, 2_000_000)]);
}

#[test]
fn compounding_raises_the_yield_and_not_the_rate() {
    // 1.005^12 = 1.061677811…, (1 + 0.06/365)^365 = 1.061831309…, 1.015^4 = 1.061363550…
    for (periods, apy, earned) in [
        (1, 60_000, 6_000_000),
        (2, 60_900, 6_090_000),
        (4, 61_363, 6_136_355),
        (12, 61_677, 6_167_781),
        (365, 61_831, 6_183_131),
    ] {
        let mut terms = a_year(btc(1), &[60_000]);
        terms.compounding = Compounding::TimesAYear(periods);
        let report = terms.report().unwrap();
        assert_eq!((report.apr, report.apy), (ppm(60_000), ppm(apy)), "{periods} periods");
        assert_eq!(report.earned.to_sat(), earned, "{periods} periods");
    }
}

#[test]
fn a_period_that_has_not_ended_earns_for_the_time_that_it_had() {
    let earned = |compounding, months| {
        let terms = YieldTerms { months, compounding, ..a_year(btc(1), &[60_000]) };
        terms.report().unwrap().earned.to_sat()
    };
    assert_eq!(earned(Compounding::None, 0), 0);
    assert_eq!(earned(Compounding::None, 6), 3_000_000);
    assert_eq!(earned(Compounding::None, 30), 15_000_000);
    assert_eq!(earned(Compounding::TimesAYear(1), 6), 3_000_000);
    // A year at 6 % and half a year at 3 %.
    assert_eq!(earned(Compounding::TimesAYear(1), 18), 9_180_000);
    // Two periods of 1.5 % and a third of one, 0.5 %.
    assert_eq!(earned(Compounding::TimesAYear(4), 7), 3_537_612);
    // 1.005^18 = 1.09392893…
    assert_eq!(earned(Compounding::TimesAYear(12), 18), 9_392_893);
}

#[test]
fn the_provider_takes_its_commission_first() {
    let mut terms = a_year(btc(1), &[]);
    terms.services = vec![service("chain", 60_000, 100_000), service("oracle", 20_000, 1_000_000)];
    let report = terms.report().unwrap();
    assert_eq!((report.gross_apr, report.apr), (ppm(80_000), ppm(54_000)));
    assert_eq!(report.earned, Amount::from_sat(5_400_000));
    let chain = &report.services[0];
    assert_eq!(
        (chain.gross, chain.commission, chain.net),
        (Amount::from_sat(6_000_000), Amount::from_sat(600_000), Amount::from_sat(5_400_000))
    );
    assert_eq!((report.services[1].net, report.services[1].apr), (Amount::ZERO, ppm(0)));
}

#[test]
fn a_reward_in_another_coin_needs_a_price_and_the_price_is_the_callers() {
    let mut terms = a_year(btc(2), &[60_000]);
    let rate = RewardRate::PerBitcoin { denomination: coin("utoken"), units: 30_000_000 };
    terms.services.push(ServiceYield {
        service: ServiceId::new("bridge").unwrap(),
        rate,
        commission: PartsPerMillion::ZERO,
    });
    let refusal = terms.report().unwrap_err();
    assert_eq!(refusal.to_string(), "bridge pays in utoken: give the price of a bitcoin in utoken");
    // A bitcoin at 1,500 tokens: 30 tokens a bitcoin are 2 %.
    terms.prices.push(Price { denomination: coin("utoken"), per_bitcoin: 1_500_000_000 });
    let report = terms.report().unwrap();
    assert_eq!((report.apr, report.earned), (ppm(80_000), Amount::from_sat(16_000_000)));
    let told = &report.values[1];
    assert_eq!((&told.denomination, told.stake, told.earned), (&coin("utoken"), 3_000_000_000, 240_000_000));
    // At half the price of the token it is half of that.
    terms.prices[1].per_bitcoin = 3_000_000_000;
    assert_eq!(terms.report().unwrap().apr, ppm(70_000));
    assert_eq!(dollars().bitcoin_floor(4_200_001), Some(btc(1) + Amount::from_sat(23)));
    assert_eq!(dollars().value_floor(Amount::from_sat(23)), Some(0));
}

#[test]
fn terms_outside_their_bounds_are_refused() {
    let terms = || a_year(btc(1), &[60_000]);
    let refusal = |change: &dyn Fn(&mut YieldTerms)| {
        let mut terms = terms();
        change(&mut terms);
        terms.report().unwrap_err()
    };
    for periods in [0, 55_001, u32::MAX] {
        let error = refusal(&|terms| terms.compounding = Compounding::TimesAYear(periods));
        assert_eq!(error, YieldError::Periods(periods));
    }
    assert_eq!(refusal(&|terms| terms.months = 1_201), YieldError::Months(1_201));
    assert_eq!(
        refusal(&|terms| terms.slashable = btc(1) + Amount::ONE_SAT),
        YieldError::Slashable { slashable: btc(1) + Amount::ONE_SAT, stake: btc(1) }
    );
    assert_eq!(
        refusal(&|terms| terms.services[0].commission = ppm(1_000_001)),
        YieldError::Commission { service: ServiceId::new("service-0").unwrap(), commission: ppm(1_000_001) }
    );
    assert_eq!(refusal(&|terms| terms.prices[0].per_bitcoin = 0), YieldError::ZeroPrice(coin("cent")));
    assert_eq!(refusal(&|terms| terms.prices.push(dollars())), YieldError::TwoPrices(coin("cent")));
    // A rate that grows beyond every number in a hundred years.
    let error = refusal(&|terms| {
        terms.services[0].rate = RewardRate::OfStake(ppm(u32::MAX));
        (terms.months, terms.compounding) = (1_200, Compounding::TimesAYear(55_000));
    });
    assert_eq!(error, YieldError::Overflow("the growth of the stake"));
}

#[test]
fn terms_and_reports_are_json_in_which_nothing_unknown_is_read() {
    let text = r#"{
        "stake": 100000000, "slashable": 100000, "months": 12, "compounding": { "times_a_year": 12 },
        "services": [
            { "service": "chain", "rate": { "of_stake": 60000 }, "commission": 0 },
            { "service": "bridge", "rate": { "per_bitcoin": { "denomination": "utoken", "units": "30" } }, "commission": 0 }
        ],
        "prices": [{ "denomination": "utoken", "per_bitcoin": "1500" }]
    }"#;
    let terms: YieldTerms = serde_json::from_str(text).unwrap();
    let report = serde_json::to_value(terms.report().unwrap()).unwrap();
    assert_eq!((&report["apr"], &report["slashable"]), (&80_000.into(), &100_000.into()));
    assert_eq!(report["values"][0]["stake"], "1500");
    let more = text.replacen("\"months\"", "\"promise\": 1, \"months\"", 1);
    assert!(serde_json::from_str::<YieldTerms>(&more).is_err());
}

/// At most four services of 5 % a year each, for twenty years: more than all bitcoin is an error, not a yield.
fn any_terms() -> impl Strategy<Value = YieldTerms> {
    let service =
        (0u32..=50_000, 0u32..=1_000_000).prop_map(|(rate, commission)| service("s", rate, commission));
    let compounding = prop_oneof![Just(Compounding::None), (1u32..=55_000).prop_map(Compounding::TimesAYear)];
    (1u64..=21_000_000_000_000, 0u32..=240, compounding, proptest::collection::vec(service, 0..5)).prop_map(
        |(stake, months, compounding, services)| {
            let stake = Amount::from_sat(stake);
            YieldTerms { stake, slashable: stake, months, compounding, services, prices: vec![dollars()] }
        },
    )
}

#[test]
fn a_rate_in_another_coin_is_rounded_down() {
    let apr = |units| {
        let rate = RewardRate::PerBitcoin { denomination: coin("utoken"), units };
        let services = vec![ServiceYield { rate, ..service("s", 0, 0) }];
        let prices = vec![Price { denomination: coin("utoken"), per_bitcoin: 10u128.pow(19) }];
        YieldTerms { services, prices, ..a_year(btc(1), &[]) }.report().unwrap().gross_apr.to_u32()
    };
    assert_eq!((apr(10u128.pow(13)), apr(10u128.pow(13) - 1)), (1, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn the_integers_agree_with_floating_point(terms in any_terms()) {
        let rate: f64 = terms.services.iter().map(|service| {
            let RewardRate::OfStake(rate) = service.rate else { unreachable!() };
            f64::from(rate.to_u32()) * f64::from(1_000_000 - service.commission.to_u32()) / 1e12
        }).sum();
        let (years, stake) = (f64::from(terms.months) / 12.0, terms.stake.to_sat() as f64);
        let growth = |years: f64| match terms.compounding {
            Compounding::None => rate * years,
            Compounding::TimesAYear(periods) => {
                let periods_in = (f64::from(periods) * years + 1e-9).floor();
                let rest = years - periods_in / f64::from(periods);
                (periods_in * (rate / f64::from(periods)).ln_1p()).exp() * (1.0 + rate * rest) - 1.0
            }
        };
        let report = terms.report().unwrap();
        let earned = report.earned.to_sat() as f64;
        let expected = stake * growth(years);
        // Each period's growth is floored at 1e-18.
        let periods = match terms.compounding {
            Compounding::None => 1.0,
            Compounding::TimesAYear(periods) => f64::from(periods) * years,
        };
        let tolerance = 2.0 + expected * 1e-9 + (stake + expected) * periods * 2e-18;
        prop_assert!((earned - expected).abs() <= tolerance, "{} for {}", earned, expected);
        prop_assert!((f64::from(report.apy.to_u32()) - growth(1.0) * 1e6).abs() <= 1.0 + growth(1.0) * 1e-3);
        prop_assert_eq!(report.apr.to_u32(), (rate * 1e6 + 1e-6).floor() as u32);
    }

    #[test]
    fn staking_again_never_earns_less_and_longer_never_earns_less(terms in any_terms()) {
        let earned = |compounding, months| {
            YieldTerms { compounding, months, ..terms.clone() }.report().unwrap().earned
        };
        let (months, compounding) = (terms.months, terms.compounding);
        // By the satoshi that rounding each step down can take.
        prop_assert!(earned(compounding, months) + Amount::ONE_SAT >= earned(Compounding::None, months));
        prop_assert!(earned(compounding, months + 1) >= earned(compounding, months));
        let report = terms.report().unwrap();
        prop_assert!(report.apy.to_u32() + 1 >= report.apr.to_u32());
        for line in report.services {
            prop_assert_eq!(line.commission + line.net, line.gross);
        }
    }
}
