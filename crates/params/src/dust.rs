use bitcoin::{Amount, Script, ScriptBuf};

/// An output too small to be worth spending, which nodes do not relay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("output of {} sat is dust: below {} sat for script {script_pubkey:x}", value.to_sat(), minimum.to_sat())]
pub struct DustError {
    /// The value of the output.
    pub value: Amount,
    /// The least value that is not dust.
    pub minimum: Amount,
    /// The output's script.
    pub script_pubkey: ScriptBuf,
}

/// The least value an output to `script_pubkey` needs not to be dust, at 3 sat per virtual byte: the cost of
/// the output and of the input that would spend it.
///
/// 330 sat for a Taproot output, 0 for an OP_RETURN.
pub fn dust_value(script_pubkey: &Script) -> Amount {
    script_pubkey.minimal_non_dust()
}

/// Refuses a dust output; an OP_RETURN output is never dust.
///
/// # Errors
///
/// [`DustError`] if `value` is below [`dust_value`].
pub fn check_not_dust(value: Amount, script_pubkey: &Script) -> Result<(), DustError> {
    let minimum = dust_value(script_pubkey);
    if value < minimum {
        return Err(DustError { value, minimum, script_pubkey: script_pubkey.into() });
    }
    Ok(())
}

/// The dust value of a Taproot output.
pub(crate) const TAPROOT_DUST: Amount = Amount::from_sat(330);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taproot_output_is_dust_below_330_sat() {
        let mut script = std::vec![0x51, 0x20];
        script.extend([7; 32]);
        let script = ScriptBuf::from_bytes(script);
        assert_eq!(dust_value(&script), TAPROOT_DUST);
        assert!(check_not_dust(TAPROOT_DUST, &script).is_ok());
        let error = check_not_dust(Amount::from_sat(329), &script).unwrap_err();
        assert!(std::format!("{error}").starts_with("output of 329 sat is dust: below 330 sat"));
    }

    #[test]
    fn an_op_return_is_never_dust() {
        assert!(check_not_dust(Amount::ZERO, &ScriptBuf::new_op_return([1, 2])).is_ok());
    }
}
