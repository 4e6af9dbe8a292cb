//! What every command that spends has in common: fee rate, staker's signature, dry run, PSBT.

use bitcoin::{Amount, FeeRate};
use clap::Args;
use tapstake_chain::ChainSource;
use tapstake_tx::{PerVb, check_fee_rate};
use tapstake_wallet::{Wallet, WalletError};

use crate::error::{Context, Error, Result};
use crate::session::Session;

/// How much the miners get.
#[derive(Debug, Clone, Args)]
pub(crate) struct FeeArgs {
    /// Fee rate in sat per virtual byte
    #[arg(long, value_name = "SAT/VB", value_parser = fee_rate_arg, conflicts_with = "target")]
    fee_rate: Option<FeeRate>,
    /// Blocks within which to confirm, where no fee rate is given
    #[arg(long, default_value_t = 6, value_name = "BLOCKS", value_parser = clap::value_parser!(u16).range(1..=1008))]
    target: u16,
}

impl Default for FeeArgs {
    fn default() -> Self {
        FeeArgs { fee_rate: None, target: 6 }
    }
}

impl FeeArgs {
    /// The fee rate: as given, else the source's estimate, else the least it relays.
    pub(crate) fn rate(&self, session: &Session<'_>, chain: &dyn ChainSource) -> Result<FeeRate> {
        if let Some(rate) = self.fee_rate {
            return Ok(check_fee_rate(rate)?);
        }
        if let Some(rate) = chain.fee_rate(self.target)? {
            return check_fee_rate(rate).next("give --fee-rate");
        }
        // A young chain or a quiet mempool has no estimate.
        let rate = chain.relay_fee()?.max(FeeRate::BROADCAST_MIN);
        session.out.note(&format!("the source estimates no fee rate; using {}", show_rate(rate)));
        Ok(check_fee_rate(rate)?)
    }
}

/// A fee rate for a person to read.
pub(crate) fn show_rate(rate: FeeRate) -> String {
    format!("{} sat/vB", PerVb(rate))
}

/// Reads a decimal number of sat per virtual byte, with at most three decimals.
pub(crate) fn fee_rate_arg(text: &str) -> Result<FeeRate, String> {
    let wrong = || format!("{text:?} is no number of sat/vB with at most 3 decimals");
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty()
        || decimals.len() > 3
        || !whole.bytes().chain(decimals.bytes()).all(|byte| byte.is_ascii_digit())
    {
        return Err(wrong());
    }
    let millis = format!("{whole}{decimals:0<3}").parse::<u64>().map_err(|_| wrong())?;
    // 1 sat/vB is 250 sat/kwu; a fraction of that is rounded up, so that what is relayed stays relayed.
    Ok(FeeRate::from_sat_per_kwu(millis.div_ceil(4)))
}

/// Reads an amount with its unit: `0.5btc`, `50000sat`.
pub(crate) fn amount_arg(text: &str) -> Result<Amount, String> {
    let at =
        text.find(|c: char| c.is_ascii_alphabetic()).ok_or("an amount has a unit: 50000sat or 0.5btc")?;
    let (number, unit) = text.split_at(at);
    let denomination = match unit.to_ascii_lowercase().as_str() {
        "btc" => bitcoin::Denomination::Bitcoin,
        "sat" | "sats" => bitcoin::Denomination::Satoshi,
        _ => return Err(format!("unit {unit:?} is neither btc nor sat")),
    };
    let amount = Amount::from_str_in(number.trim(), denomination).map_err(|error| error.to_string())?;
    if amount > Amount::MAX_MONEY {
        return Err(format!("{amount} is more than all bitcoin"));
    }
    Ok(amount)
}

/// Why a wallet could not fund something; where coins are locked, also how to free them.
pub(crate) fn not_funded(error: WalletError, wallet: &Wallet) -> Error {
    let too_few = matches!(error, WalletError::InsufficientFunds { .. } | WalletError::NoFundingCoin { .. });
    match wallet.balance().locked {
        locked if too_few && locked > Amount::ZERO => Error::from(error).next(format!(
            "{locked} are locked: tapstake wallet utxos says for what; tapstake stakes forget gives a stake up that will \
             not come, tapstake wallet unlock OUTPOINT frees a coin"
        )),
        _ => error.into(),
    }
}

/// The address that withdrawn coins go to, or the wallet's next one.
pub(crate) fn destination(
    session: &Session<'_>,
    wallet: &mut Wallet,
    to: Option<&bitcoin::Address<bitcoin::address::NetworkUnchecked>>,
) -> Result<bitcoin::ScriptBuf> {
    match to {
        None => Ok(wallet.next_unused_address()?.address.script_pubkey()),
        Some(address) => {
            let network = session.network();
            let checked = address.clone().require_network(network).map_err(|error| {
                Error::rule("address", error.to_string())
                    .next(format!("give an address of {network}, or --network"))
            })?;
            Ok(checked.script_pubkey())
        }
    }
}

/// Fresh auxiliary randomness for a signature (BIP-0340).
pub(crate) fn aux() -> [u8; 32] {
    bitcoin::secp256k1::rand::random()
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |elapsed| elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use bitcoin::Weight;
    use tapstake_signer::covenant::Refusal;
    use tapstake_tx::{BelowMinimum, PresignedFee, SlashingError};

    use super::*;

    #[test]
    fn fee_rates_are_decimal_sat_per_vbyte() {
        let kwu = |text| fee_rate_arg(text).map(FeeRate::to_sat_per_kwu);
        assert_eq!(kwu("1"), Ok(250));
        assert_eq!(kwu("0.1"), Ok(25));
        assert_eq!(kwu("2.5"), Ok(625));
        assert_eq!(kwu("0.001"), Ok(1));
        for wrong in ["", "-1", "1.2345", "1,5", "1e3", "."] {
            assert!(fee_rate_arg(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn errors_tell_fee_rates_in_sat_per_vbyte() {
        let fee = Amount::from_sat(5);
        let slashing = SlashingError::FeeRate { fee, weight: 816 };
        let tx = tapstake_tx::delegation::SignedTx::Slashing;
        let inner = tapstake_tx::delegation::DelegationError::Slashing { tx, source: slashing.clone() };
        for error in [Error::from(slashing), Error::from(inner)] {
            let message = error.message();
            assert!(message.contains("is outside 0.1..=10000 sat/vB"), "{message}");
            assert_eq!(error.rule_name(), Some("slashing-fee-rate"));
        }
        let [rate, min, max] = [24, 25, 250_000].map(FeeRate::from_sat_per_kwu);
        let message = Error::from(Refusal::StakingFee { fee, rate, min, max }).message();
        assert!(message.contains("is 0.096 sat/vB, outside the policy's 0.1..=1000 sat/vB"), "{message}");
        let paid = PresignedFee { tx, fee: Amount::from_sat(10), weight: Weight::from_wu(946) };
        let below = BelowMinimum { paid, minimum: FeeRate::from_sat_per_kwu(25) };
        let told =
            "the slashing transaction pays 0.04 sat/vB, the mempool takes 0.1 sat/vB and more at present";
        assert_eq!(below.to_string(), told);
    }

    #[test]
    fn amounts_need_a_unit() {
        assert_eq!(amount_arg("0.5btc"), Ok(Amount::from_sat(50_000_000)));
        assert_eq!(amount_arg("50000sat"), Ok(Amount::from_sat(50_000)));
        assert_eq!(amount_arg("1 BTC"), Ok(Amount::ONE_BTC));
        for wrong in ["50000", "0.5", "1 eth", "-1sat", "0.000000001btc", "99999999999btc"] {
            assert!(amount_arg(wrong).is_err(), "{wrong}");
        }
    }
}
