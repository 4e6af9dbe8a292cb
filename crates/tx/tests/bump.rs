//! A stuck staking transaction: not replaced once others are signed on it, but paid for by a child.
#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

mod common;

use bitcoin::{Amount, FeeRate, Weight};
use common::delegation::{FEE, VALUE, default_world, staking_tx};
use common::{COMMITTEES, outpoint, world};
use proptest::prelude::*;
use tapstake_tx::delegation::SignedTx;
use tapstake_tx::{CpfpError, ReplacedError, check_not_replaced, cpfp_child_fee};

#[test]
fn a_staking_transaction_is_not_replaced_once_others_are_signed_on_it() {
    let world = default_world();
    let (signed, _) = staking_tx(world.stake.terms(), VALUE);
    // The same with other witnesses is the same.
    let mut same = signed.clone();
    same.input[0].witness.clear();
    assert_eq!(check_not_replaced(&signed, &same), Ok(()));

    let mut bumped = signed.clone();
    bumped.output[0].value -= Amount::from_sat(500);
    let (staking, replacement) = (signed.compute_txid(), bumped.compute_txid());
    let refusal = check_not_replaced(&signed, &bumped).unwrap_err();
    assert_eq!(refusal, ReplacedError { staking, replacement, outpoint: outpoint(9) });
    assert!(refusal.to_string().ends_with("let a child pay for it (CPFP) instead of replacing it"));

    let mut unrelated = bumped;
    unrelated.input[0].previous_output = outpoint(10);
    assert_eq!(check_not_replaced(&signed, &unrelated), Ok(()));
}

#[test]
fn a_child_pays_what_its_parent_lacks() {
    let sat = Amount::from_sat;
    let rate = |per_vb| FeeRate::from_sat_per_vb(per_vb).unwrap();
    // 150 vB at 1 sat/vB, pulled to 10 sat/vB by 110 vB: 2,600 sat are due for both.
    assert_eq!(cpfp_child_fee(sat(150), 150, 110, rate(10)), Ok(sat(2_450)));
    assert_eq!(cpfp_child_fee(Amount::ZERO, 150, 110, rate(10)), Ok(sat(2_600)));
    let (paid, due) = (sat(1_500), sat(1_500));
    assert_eq!(cpfp_child_fee(paid, 150, 110, rate(10)), Err(CpfpError::NotNeeded { paid, due }));
    assert_eq!(cpfp_child_fee(sat(1_499), 150, 110, rate(10)), Ok(sat(1_101)));
    for (parent, child) in [(0, 110), (150, 0)] {
        let refusal = cpfp_child_fee(sat(1), parent, child, rate(10));
        assert_eq!(refusal, Err(CpfpError::Empty { parent, child }));
    }
    for out_of_reason in [FeeRate::ZERO, rate(2_001), FeeRate::MAX] {
        let refusal = cpfp_child_fee(sat(1), 150, 110, out_of_reason);
        assert!(matches!(refusal, Err(CpfpError::FeeRate(error)) if error.rate == out_of_reason));
    }
    for huge in [u64::MAX, u64::MAX / 2, 1 << 50] {
        assert!(matches!(cpfp_child_fee(sat(1), huge, 110, rate(10)), Err(CpfpError::TooLarge { .. })));
        assert!(matches!(cpfp_child_fee(sat(1), 110, huge, rate(10)), Err(CpfpError::TooLarge { .. })));
    }
}

proptest! {
    #[test]
    fn parent_and_child_together_reach_the_target_and_one_sat_less_does_not(
        parent in 100u64..100_000, child in 100u64..10_000, paid in 0u64..1_000_000, target in 25u64..500_000,
    ) {
        let target = FeeRate::from_sat_per_kwu(target);
        let (paid, both) = (Amount::from_sat(paid), Weight::from_vb(parent + child).unwrap());
        match cpfp_child_fee(paid, parent, child, target) {
            Ok(fee) => {
                prop_assert!((paid + fee).to_sat() * 1_000 >= both.to_wu() * target.to_sat_per_kwu());
                let less = (paid + fee).to_sat() - 1;
                prop_assert!(less * 1_000 < both.to_wu() * target.to_sat_per_kwu());
                // The child by itself is no slower than the two together.
                prop_assert!(fee >= target.fee_vb(child).unwrap() - Amount::ONE_SAT);
            }
            Err(error) => prop_assert!(matches!(error, CpfpError::NotNeeded { .. }), "{error}"),
        }
    }
}

#[test]
fn fee_rates_are_those_of_the_signed_transactions() {
    for committee in COMMITTEES {
        let world = world(2, committee);
        let delegation = world.verified();
        let parts = delegation.verified_parts();
        let rates = delegation.presigned_fee_rates();
        let (_, signature) =
            delegation.unbonding().spend(delegation.stake()).sign(&world.secp, &world.staker, &[0; 32]);
        let exposed = world.exposed(&world.providers[0]);
        let signed = [
            parts.finish_unbonding(&world.secp, signature).unwrap(),
            parts.slash(&world.secp, &exposed).unwrap(),
            parts.slash_unbonding(&world.secp, &exposed).unwrap(),
        ];
        for (paid, tx) in rates.all().into_iter().zip(&signed) {
            assert_eq!(paid.weight, tx.weight(), "{}", paid.tx);
        }
        assert_eq!(rates.all().map(|paid| paid.fee), [Amount::from_sat(1_000), FEE, FEE]);

        let unbonding = rates.unbonding.rate();
        assert_eq!(rates.check_against_mempool_minimum(unbonding), []);
        let above = FeeRate::from_sat_per_kwu(unbonding.to_sat_per_kwu() + 1);
        let [below] = rates.check_against_mempool_minimum(above)[..] else { panic!("one of three") };
        assert_eq!((below.paid.tx, below.minimum), (SignedTx::Unbonding, above));
        assert!(below.to_string().starts_with("the unbonding transaction pays "));
        assert_eq!(rates.check_against_mempool_minimum(FeeRate::MAX).len(), 3);
        assert_eq!(parts.presigned_fee_rates(), rates);
    }
}
