//! The rules behind a provider's refusals, and what to do next.

use tapstake_signer::keyfile::KeyFileError;
use tapstake_signer::provider::ProviderError;

use crate::error::Error;

pub(super) fn refused(error: ProviderError) -> Error {
    let rule = rule(&error);
    let next = next(&error);
    let refused = match rule {
        Some(rule) => Error::rule(rule, error),
        None => error.into(),
    };
    match next {
        Some(next) => refused.next(next),
        None => refused,
    }
}

const fn rule(error: &ProviderError) -> Option<&'static str> {
    Some(match error {
        ProviderError::DoubleVote { .. } => "double-vote",
        ProviderError::NotAbove { .. } => "height-not-above",
        ProviderError::NotCommitted { .. } => "not-committed",
        ProviderError::Overlap { .. } => "commitment-overlap",
        ProviderError::Range { .. } | ProviderError::Commitment(_) => "commitment-range",
        ProviderError::Height { .. } => "height",
        ProviderError::OldBackup { .. } => "old-backup",
        ProviderError::MarkerMissing(_) | ProviderError::MarkerDamaged { .. } => "marker",
        ProviderError::MarkerMoved { .. } => "marker-moved",
        ProviderError::NoNumberLeft { .. } => "record",
        ProviderError::OtherMarker { .. } => "other-service",
        ProviderError::LastKnownHeight { .. } => "last-known-height",
        ProviderError::Locked { .. } => "provider-locked",
        ProviderError::Exists(_) => "provider-exists",
        ProviderError::NoProvider(_) => "no-provider",
        ProviderError::Service { .. } => "service",
        ProviderError::NoKey | ProviderError::OtherKey { .. } => "key",
        ProviderError::Damaged { .. } => "record",
        ProviderError::NewerFormat { .. } => "file-version",
        ProviderError::KeyFile(KeyFileError::WrongPassphrase(_)) => "passphrase",
        ProviderError::KeyFile(KeyFileError::WorkFactor { .. }) => "work-factor",
        ProviderError::KeyFile(KeyFileError::Io { .. }) => return None,
        ProviderError::KeyFile(_) => "key-file",
        ProviderError::Signature { .. } => "signature",
        _ => return None,
    })
}

const STATE_HEIGHT: &str = "find the greatest height that this provider has voted on, anywhere (the service's chain knows), \
    stop every other process that has its key, then: tapstake provider recover --last-known-height HEIGHT";

fn next(error: &ProviderError) -> Option<String> {
    Some(match error {
        ProviderError::DoubleVote { .. } => {
            "this height keeps its recorded block; ask for that one to get its signature again, and go on with later heights"
                .to_owned()
        }
        ProviderError::NotAbove { highest, .. } => format!("go on with heights from {} on", highest + 1),
        ProviderError::NotCommitted { height } => {
            format!("tapstake provider commit --start {height} --count COUNT, and give the file to the service first")
        }
        ProviderError::Overlap { with: (start, count), .. } => {
            format!("commit from height {} on; for the same commitment again, --start {start} --count {count}", start + count)
        }
        ProviderError::OldBackup { .. } | ProviderError::MarkerMissing(_) | ProviderError::MarkerDamaged { .. } => {
            STATE_HEIGHT.to_owned()
        }
        ProviderError::MarkerMoved { to, .. } => format!(
            "if this is the newest folder there is, stop every other process that has its key, then: tapstake provider recover \
             --last-known-height HEIGHT --marker-dir {}; with init, give this --marker-dir",
            to.parent().unwrap_or(to).display()
        ),
        ProviderError::OtherMarker { .. } => "a key serves one service: make another provider for this one".to_owned(),
        ProviderError::LastKnownHeight { recorded, .. } => format!("state {recorded} or more"),
        ProviderError::Locked { .. } => "one process at a time votes with a provider's key: stop the other one".to_owned(),
        ProviderError::Exists(_) => "give another --provider-dir".to_owned(),
        ProviderError::NoProvider(_) => {
            "tapstake provider init makes one; --provider-dir says where it is".to_owned()
        }
        ProviderError::Damaged { .. } => "keep the folder as it is; docs/slashing-protection.md says how to make it anew \
            from key.age and the last known height"
            .to_owned(),
        ProviderError::KeyFile(KeyFileError::WrongPassphrase(_)) => "give the passphrase of this key file".to_owned(),
        _ => return None,
    })
}
