use bitcoin::{Amount, OutPoint, ScriptBuf, TxOut, Txid};
use proptest::prelude::*;

use super::*;
use crate::LockReason;
use crate::testing::{TestWallet, sat, sat_per_vb, stranger};

fn pay(values: &[u64]) -> FundRequest {
    FundRequest::new(values.iter().map(|value| stranger(*value)).collect(), sat_per_vb(2))
}

fn value_in(test: &TestWallet, funded: &Funded) -> Amount {
    funded.coins().iter().map(|coin| test.wallet.get_coin(*coin).unwrap().value).sum()
}

#[test]
fn recipients_keep_their_order_and_change_is_last() {
    let mut test = TestWallet::funded(&[1_000_000]);
    let op_return = TxOut { value: Amount::ZERO, script_pubkey: ScriptBuf::new_op_return([7; 71]) };
    let recipients = vec![stranger(70_000), op_return, stranger(50_000)];
    let funded = test.wallet.fund(&FundRequest::new(recipients.clone(), sat_per_vb(2))).unwrap();
    let outputs = &funded.psbt.unsigned_tx.output;
    assert_eq!(outputs[..3], recipients);
    assert_eq!(outputs.len(), 4);
    assert_eq!(funded.change, Some((3, outputs[3].value)));
    assert!(test.is_change(&outputs[3].script_pubkey));
    assert_eq!(funded.outpoint(0).txid, funded.txid());
}

#[test]
fn insufficient_funds_say_what_is_missing() {
    let mut test = TestWallet::funded(&[100_000]);
    let WalletError::InsufficientFunds { missing, needed, available, .. } =
        test.wallet.fund(&pay(&[150_000])).unwrap_err()
    else {
        panic!("another error");
    };
    assert_eq!(available, sat(100_000));
    assert_eq!(needed, available + missing);
    // 50,000 sat and the fee of one input, one output at 2 sat/vB: a bit over 200 sat.
    assert!(missing > sat(50_200) && missing < sat(50_300), "{missing}");
    let message = test.wallet.fund(&pay(&[150_000])).unwrap_err().to_string();
    assert!(
        message.starts_with(&format!("insufficient funds: {} sat missing", missing.to_sat())),
        "{message}"
    );

    // With that much more, and what it costs to spend it (58 vbytes), it is enough.
    test.receive(&[missing.to_sat() + 2 * 58]);
    assert!(test.wallet.fund(&pay(&[150_000])).is_ok());
}

#[test]
fn locked_and_young_coins_are_not_spent_and_are_named() {
    let mut test = TestWallet::funded(&[100_000, 50_000]);
    let locked = test.wallet.coins().into_iter().find(|coin| coin.value == sat(100_000)).unwrap().outpoint;
    test.wallet.lock(&[locked], &LockReason::Other("for later".into())).unwrap();
    let script_pubkey = test.wallet.new_address().unwrap().address.script_pubkey();
    let unconfirmed = test.payment(vec![TxOut { value: sat(30_000), script_pubkey }]);
    test.wallet.note_broadcast(unconfirmed.clone(), 1_700_000_000).unwrap();

    let error = test.wallet.fund(&pay(&[60_000])).unwrap_err();
    assert!(
        matches!(error, WalletError::InsufficientFunds { locked, immature, available, .. }
            if locked == sat(100_000) && immature == sat(30_000) && available == sat(50_000)),
        "{error}"
    );
    assert!(test.wallet.fund(&pay(&[60_000]).min_confirmations(0).dry_run()).is_ok());

    let error = test.wallet.fund(&pay(&[60_000]).coins(vec![locked])).unwrap_err();
    assert_eq!(error.to_string(), format!("coin {locked} is locked: for later"));
    let young = OutPoint { txid: unconfirmed.compute_txid(), vout: 0 };
    let error = test.wallet.fund(&pay(&[20_000]).coins(vec![young])).unwrap_err();
    assert!(matches!(error, WalletError::YoungCoin { confirmations: 0, required: 1, .. }), "{error}");

    test.wallet.unlock(&[locked]).unwrap();
    assert!(test.wallet.fund(&pay(&[60_000])).is_ok());
}

#[test]
fn chosen_coins_are_all_spent_and_no_others() {
    let mut test = TestWallet::funded(&[100_000, 50_000, 70_000]);
    let chosen: Vec<OutPoint> = test
        .wallet
        .coins()
        .iter()
        .filter(|coin| coin.value != sat(100_000))
        .map(|coin| coin.outpoint)
        .collect();
    let funded = test.wallet.fund(&pay(&[10_000]).coins(chosen.clone())).unwrap();
    let mut spent = funded.coins();
    spent.sort();
    let mut chosen_sorted = chosen;
    chosen_sorted.sort();
    assert_eq!(spent, chosen_sorted);

    let foreign = OutPoint { txid: Txid::from_raw_hash(bitcoin::hashes::Hash::all_zeros()), vout: 3 };
    let error = test.wallet.fund(&pay(&[10_000]).coins(vec![foreign])).unwrap_err();
    assert!(matches!(error, WalletError::UnknownCoin(coin) if coin == foreign), "{error}");
}

#[test]
fn everything_goes_to_one_recipient_in_its_place() {
    let mut test = TestWallet::funded(&[100_000, 50_000]);
    let op_return = TxOut { value: Amount::ZERO, script_pubkey: ScriptBuf::new_op_return([7; 71]) };
    let recipients = vec![stranger(0), op_return.clone(), stranger(20_000)];
    let request = FundRequest::new(recipients, sat_per_vb(2)).everything_to(0);
    let funded = test.wallet.fund(&request).unwrap();
    let outputs = &funded.psbt.unsigned_tx.output;
    assert_eq!(outputs.len(), 3);
    assert_eq!(funded.change, None);
    assert_eq!(outputs[0], TxOut { value: sat(130_000) - funded.fee, ..stranger(0) });
    assert_eq!(outputs[1], op_return);
    assert_eq!(outputs[2], stranger(20_000));

    // Nothing but dust would be left for it.
    let two = |value| FundRequest::new(vec![stranger(0), stranger(value)], sat_per_vb(2)).everything_to(0);
    let fee = test.wallet.fund(&two(20_000)).unwrap().fee.to_sat();
    assert!(test.wallet.fund(&two(150_000 - fee - 330)).is_ok());
    let request = two(150_000 - fee - 329);
    let error = test.wallet.fund(&request).unwrap_err();
    assert!(matches!(error, WalletError::InsufficientFunds { .. }), "{error}");
}

#[test]
fn fee_rates_and_fees_out_of_reason_are_refused() {
    let mut test = TestWallet::funded(&[100_000_000]);
    for rate in [FeeRate::ZERO, FeeRate::from_sat_per_kwu(24), FeeRate::from_sat_per_kwu(500_001)] {
        let error = test.wallet.fund(&FundRequest::new(vec![stranger(50_000)], rate)).unwrap_err();
        assert!(matches!(error, WalletError::FeeRate(_)), "{error}");
    }
    // 154 vbytes at 500 sat each for a payment of 50,000 sat.
    let costly = FundRequest::new(vec![stranger(50_000)], sat_per_vb(500));
    let error = test.wallet.fund(&costly).unwrap_err();
    assert!(matches!(error, WalletError::FeeTooHigh { limit, .. } if limit == sat(12_500)), "{error}");
    assert!(test.wallet.fund(&costly.max_fee(sat(100_000))).is_ok());
}

#[test]
fn dust_burned_value_and_no_recipient_are_refused() {
    let mut test = TestWallet::funded(&[100_000]);
    let error = test.wallet.fund(&pay(&[50_000, 329])).unwrap_err();
    assert!(error.to_string().starts_with("output 1: output of 329 sat is dust"), "{error}");
    let burn = TxOut { value: sat(1_000), script_pubkey: ScriptBuf::new_op_return([7; 7]) };
    let error = test.wallet.fund(&FundRequest::new(vec![burn], sat_per_vb(1))).unwrap_err();
    assert!(matches!(error, WalletError::Burns { index: 0, .. }), "{error}");
    let error = test.wallet.fund(&pay(&[])).unwrap_err();
    assert!(matches!(error, WalletError::NoRecipient { index: 0, count: 0 }), "{error}");
    let error = test.wallet.fund(&pay(&[50_000]).everything_to(1)).unwrap_err();
    assert!(matches!(error, WalletError::NoRecipient { index: 1, count: 1 }), "{error}");
    let error = test.wallet.fund(&pay(&[u64::MAX, u64::MAX])).unwrap_err();
    assert!(matches!(error, WalletError::ValueOutOfRange), "{error}");
}

#[test]
fn young_coinbase_coins_are_never_spent() {
    let mut test = TestWallet::new();
    let coinbase = test.coinbase(5_000_000);
    let outpoint = OutPoint { txid: coinbase.compute_txid(), vout: 0 };
    test.mine(vec![coinbase], 1);
    test.mine(Vec::new(), 98);
    assert_eq!(test.wallet.balance().immature, sat(5_000_000));
    let error = test.wallet.fund(&pay(&[50_000]).coins(vec![outpoint])).unwrap_err();
    assert!(matches!(error, WalletError::YoungCoin { confirmations: 99, required: 100, .. }), "{error}");
    assert!(test.wallet.fund(&pay(&[50_000])).is_err());
    test.mine(Vec::new(), 1);
    assert_eq!(test.wallet.balance().confirmed, sat(5_000_000));
    assert!(test.wallet.fund(&pay(&[50_000])).is_ok());
}

#[test]
fn a_dry_run_leaves_the_change_address_for_the_next() {
    let mut test = TestWallet::funded(&[100_000]);
    let change = |funded: &Funded| funded.psbt.unsigned_tx.output[1].script_pubkey.clone();
    let dry = test.wallet.fund(&pay(&[10_000]).dry_run()).unwrap();
    let first = test.wallet.fund(&pay(&[10_000])).unwrap();
    assert_eq!(change(&dry), change(&first));
    let second = test.wallet.fund(&pay(&[10_000])).unwrap();
    assert_ne!(change(&first), change(&second));
    test.wallet.abandon(&second).unwrap();
    let third = test.wallet.fund(&pay(&[10_000])).unwrap();
    assert_eq!(change(&second), change(&third));
}

fn selections() -> impl Strategy<Value = CoinSelection> {
    prop_oneof![
        Just(CoinSelection::BranchAndBound),
        Just(CoinSelection::LargestFirst),
        Just(CoinSelection::OldestFirst)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_funded_transaction_balances_and_pays_its_fee_rate(
        coins in prop::collection::vec(1_000u64..2_000_000, 1..12),
        paid in prop::collection::vec(330u64..400_000, 1..5),
        rate in 25u64..5_000,
        selection in selections(),
        everything in any::<bool>(),
    ) {
        let mut test = TestWallet::funded(&coins);
        let rate = FeeRate::from_sat_per_kwu(rate);
        let mut request = FundRequest::new(paid.iter().map(|value| stranger(*value)).collect(), rate)
            .selection(selection)
            .max_fee(sat(10_000_000));
        if everything {
            request = request.everything_to(paid.len() - 1);
        }
        match test.wallet.fund(&request) {
            Ok(funded) => {
                let outputs = &funded.psbt.unsigned_tx.output;
                let out: Amount = outputs.iter().map(|output| output.value).sum();
                prop_assert_eq!(value_in(&test, &funded), out + funded.fee);
                let fixed = paid.len() - usize::from(everything);
                for (value, output) in paid.iter().take(fixed).zip(outputs) {
                    prop_assert_eq!(output, &stranger(*value));
                }
                prop_assert!(outputs.len() <= paid.len() + usize::from(!everything));
                prop_assert!(outputs.iter().all(|output| output.value >= sat(330)));
                match funded.change {
                    Some((vout, value)) => {
                        prop_assert_eq!(vout as usize, paid.len());
                        prop_assert_eq!(value, outputs[paid.len()].value);
                        prop_assert!(test.is_change(&outputs[paid.len()].script_pubkey));
                    }
                    None => prop_assert_eq!(outputs.len(), paid.len()),
                }
                let signer = test.wallet.signer(None).unwrap();
                let mut psbt = funded.psbt.clone();
                let signed = test.wallet.sign(&signer, &mut psbt).unwrap();
                prop_assert_eq!(signed.len(), psbt.inputs.len());
                prop_assert!(test.wallet.finalize(&mut psbt).unwrap());
                let tx = crate::extract_tx(psbt, FeeRate::MAX).unwrap();
                prop_assert_eq!(tx.compute_txid(), funded.txid());
                prop_assert!(funded.fee >= rate.fee_wu(tx.weight()).unwrap());
            }
            Err(WalletError::InsufficientFunds { missing, needed, available, .. }) => {
                prop_assert!(missing > Amount::ZERO);
                prop_assert_eq!(needed, available + missing);
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}
