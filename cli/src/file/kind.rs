//! What a file is, by its first bytes or its fields, so that a mixed-up name is answered with what was given.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::IgnoredAny;
use tapstake_tx::delegation;

/// The kinds of files that are written and read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Block,
    Commitment,
    Config,
    Database,
    Delegation,
    Evidence,
    Headers,
    KeyFile,
    MemberPolicy,
    Parameters,
    Possession,
    Proof,
    Psbt,
    Seed,
    ServicePolicy,
    Sheet,
    Transaction,
    Vote,
    Words,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Block => "a block",
            Kind::Commitment => "a commitment to randomness",
            Kind::Config => "a configuration file",
            Kind::Database => "a database",
            Kind::Delegation => "a delegation file",
            Kind::Evidence => "evidence",
            Kind::Headers => "headers",
            Kind::KeyFile => "a key file",
            Kind::MemberPolicy => "a covenant member's policy",
            Kind::Parameters => "parameters",
            Kind::Possession => "a proof of possession",
            Kind::Proof => "a proof of a stake",
            Kind::Psbt => "a PSBT",
            Kind::Seed => "a wallet's seed file",
            Kind::ServicePolicy => "a service's policy",
            Kind::Sheet => "a recovery sheet",
            Kind::Transaction => "a transaction",
            Kind::Vote => "a vote",
            Kind::Words => "a wallet's words",
        })
    }
}

/// First bytes that only one kind has.
const MAGICS: [(&[u8], Kind); 6] = [
    (&delegation::MAGIC, Kind::Delegation),
    (&tapstake_verifier::MAGIC, Kind::Proof),
    (b"psbt\xff", Kind::Psbt),
    (b"cHNidP", Kind::Psbt),
    (b"SQLite format 3\0", Kind::Database),
    (b"age-encryption.org/", Kind::KeyFile),
];

/// Fields that only one kind has. A vote's stand after the evidence's, which holds votes, and so on.
const FIELDS: [(&[&str], Kind); 11] = [
    (&["evidence"], Kind::Evidence),
    (&["public_randomness", "signature"], Kind::Vote),
    (&["commitment", "signature"], Kind::Commitment),
    (&["parts", "staking_tx"], Kind::Delegation),
    (&["inclusion_height", "branch"], Kind::Proof),
    (&["secret", "fingerprint"], Kind::Seed),
    (&["rules", "parameters"], Kind::MemberPolicy),
    (&["versions"], Kind::Parameters),
    (&["params"], Kind::Parameters),
    (&["account", "signature"], Kind::Possession),
    (&["providers", "possession_forms"], Kind::ServicePolicy),
];

impl Kind {
    /// The kind of a file with these bytes, where they show it.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let magic = MAGICS.iter().find(|(magic, _)| bytes.starts_with(magic));
        magic.map(|(_, kind)| *kind).or_else(|| Self::of_json(bytes)).or_else(|| Self::of_words(bytes))
    }

    /// The command that takes such a file, where one does.
    pub(crate) const fn taken_by(self) -> Option<&'static str> {
        Some(match self {
            Kind::Block => "tapstake scan --block FILE takes it",
            Kind::Config => "every command takes it by --config FILE",
            Kind::Delegation => {
                "tapstake delegation check FILE takes it, and tapstake stake --broadcast FILE once a quorum has signed"
            }
            Kind::Evidence => "tapstake slash --delegation FILE --evidence FILE takes it",
            Kind::Headers => "tapstake headers verify FILE takes it",
            Kind::MemberPolicy => "it belongs in the folder of its tapstake covenant --member-dir",
            Kind::Parameters => "every command takes it by --params FILE",
            Kind::Possession => "tapstake pop verify FILE takes it",
            Kind::Proof => "tapstake verify FILE takes it",
            Kind::Psbt => "put it, signed, into the folder that it was exported to",
            Kind::ServicePolicy => "tapstake verify takes it by --service-policy FILE",
            Kind::Sheet => "tapstake stakes restore FILE takes it",
            Kind::Transaction => "tapstake tx inspect FILE takes it",
            Kind::Vote => "tapstake equivocation FILE FILE takes two of them",
            Kind::Words => "tapstake wallet create takes it by --mnemonic-file FILE",
            Kind::Commitment | Kind::Database | Kind::KeyFile | Kind::Seed => return None,
        })
    }

    fn of_json(bytes: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct What {
            what: String,
        }
        let is_sheet = |what: What| what.what == "tapstake recovery sheet";
        if serde_json::from_slice(bytes).is_ok_and(is_sheet) {
            return Some(Kind::Sheet);
        }
        let fields: BTreeMap<String, IgnoredAny> = serde_json::from_slice(bytes).ok()?;
        let has_all = |names: &[&str]| names.iter().all(|name| fields.contains_key(*name));
        FIELDS.iter().find(|(names, _)| has_all(names)).map(|(_, kind)| *kind)
    }

    /// Words of a mnemonic, which no message may repeat.
    fn of_words(bytes: &[u8]) -> Option<Self> {
        // 24 words of 8 letters, and room for line ends.
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= 512)?;
        let words = text.split_whitespace();
        let plain = words.clone().all(|word| word.len() <= 8 && word.bytes().all(|b| b.is_ascii_lowercase()));
        (plain && matches!(words.count(), 12 | 24)).then_some(Kind::Words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_first_bytes_or_its_fields() {
        let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join("fixtures");
        let kind = |name: &str| Kind::of(&std::fs::read(fixtures.join(name)).expect("a fixture"));
        assert_eq!(kind("cli/proof.json"), Some(Kind::Proof));
        assert_eq!(kind("params/global-params.json"), Some(Kind::Parameters));
        assert_eq!(kind("params/chain-params.json"), Some(Kind::Parameters));
        assert_eq!(kind("cli/headers.hex"), None);
        let words = "abandon ".repeat(11) + "about\n";
        assert_eq!(Kind::of(words.as_bytes()), Some(Kind::Words));
        let sheet = br#"{"what": "tapstake recovery sheet", "version": 1}"#;
        assert_eq!(Kind::of(sheet), Some(Kind::Sheet));
        assert_eq!(Kind::of(b"tsdl\x01"), Some(Kind::Delegation));
        for junk in [&b""[..], b"{", b"[]", b"{}", b"\xff\xfe", b"some words"] {
            assert_eq!(Kind::of(junk), None);
        }
    }
}
