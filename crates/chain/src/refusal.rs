//! What is a node's refusal of a transaction, and what only sounds like one.

/// Parts of the reasons that Core gives when it refuses a transaction (`sendrawtransaction`, versions 25 to 31).
const REASONS: [&str; 38] = [
    "bad-txns-",
    "bad-cb-",
    "bad-witness-",
    "bare-multisig",
    "block-script-verify-flag",
    "datacarrier",
    "insufficient fee",
    "mandatory-script-verify-flag",
    "max-fee-exceeded",
    "Fee exceeds maximum configured",
    "maxburnamount",
    "mempool-script-verify-flag",
    "mempool full",
    "mempool min fee not met",
    "min relay fee not met",
    "missing-ephemeral-spends",
    "missing-inputs",
    "multi-op-return",
    "non-BIP68-final",
    "non-final",
    "package-",
    "premature-version2-tx",
    "premature-witness",
    "replacement-",
    "scriptsig-",
    "too many potential replacements",
    "too-large-cluster",
    "too-long-mempool-chain",
    "transaction failed",
    "TRUC-violation",
    "tx-size",
    "TX decode failed",
    "txn-mempool-conflict",
    "txn-same-nonwitness-data-in-mempool",
    "unexpected-witness",
    "Unspendable output exceeds",
    // The number by which Core says "rejected by the rules", as electrs passes it on.
    "error -26",
    "\"code\":-26",
];

/// Reasons that are everyday words: they count where they are all that is said, or the first word before a comma.
const WORDS: [&str; 4] = ["coinbase", "dust", "scriptpubkey", "version"];

/// Whether these words are a node's refusal of the transaction itself.
///
/// Anything else (a busy server, one that limits its clients, a node still starting) says nothing about whether the
/// transaction is on its way.
pub(crate) fn is_refusal(reason: &str) -> bool {
    let first = reason.split([',', ' ', '(']).next().unwrap_or_default();
    WORDS.contains(&first) || REASONS.iter().any(|part| reason.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_nodes_are_refusals() {
        for reason in [
            "bad-txns-inputs-missingorspent",
            "non-BIP68-final, first valid in block 120",
            "dust",
            "dust, tx with dust output must be 0-fee",
            "min relay fee not met, 0 < 100",
            "sendrawtransaction RPC error -26: whatever a newer node says",
        ] {
            assert!(is_refusal(reason), "{reason}");
        }
    }

    #[test]
    fn words_about_the_server_are_no_refusals() {
        for reason in [
            "excessive resource usage",
            "server busy - request timed out",
            "daemon is still warming up",
            "unsupported protocol version",
            "internal server error",
            "",
        ] {
            assert!(!is_refusal(reason), "{reason}");
        }
    }
}
