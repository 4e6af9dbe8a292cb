//! Checking a delegation and adding this member's signatures.

use std::path::PathBuf;

use bitcoin::{OutPoint, XOnlyPublicKey};
use clap::Args;
use serde::Serialize;
use tapstake_params::Height;
use tapstake_signer::covenant::{Answer, Policy, Release};

use super::{Which, refused};
use crate::error::Result;
use crate::live::SourceArgs;
use crate::output::{Show, facts};
use crate::passphrase::PassphraseArgs;
use crate::session::Session;
use crate::{delegation, file};

/// What to sign.
#[derive(Debug, Args)]
pub(crate) struct Sign {
    /// The delegation file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where to write the delegation with the signatures [default: FILE itself]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The height of the chain's end, which says the parameters version [default: asked of the source, if there is one]
    #[arg(long, value_name = "HEIGHT")]
    tip: Option<Height>,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    #[command(flatten)]
    source: SourceArgs,
}

#[derive(Serialize)]
struct Answered {
    stake: OutPoint,
    public_key: XOnlyPublicKey,
    repeated: bool,
    file: PathBuf,
    signed_by: usize,
    needed: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    old_stake: Option<OldStake>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    spends_the_coins_of: Vec<OutPoint>,
}

/// How far the old stake of an expansion is let go.
#[derive(Serialize)]
struct OldStake {
    /// Whether this member lets it go, or waits for a quorum over the new stake. None if it has no say.
    #[serde(skip_serializing_if = "Option::is_none")]
    release: Option<&'static str>,
    signed_by: usize,
    needed: usize,
}

impl OldStake {
    fn of(answer: &Answer, policy: &Policy) -> Result<Option<Self>> {
        let Some(part) = &answer.package.expansion else { return Ok(None) };
        let release = match answer.release {
            Release::NotAsked => None,
            Release::Given => Some("given"),
            Release::Waits { .. } => Some("waits-for-quorum"),
        };
        let needed = policy.schedule.version(part.previous.params_version)?.covenant.threshold();
        Ok(Some(OldStake { release, signed_by: part.covenant.len(), needed }))
    }
}

impl Show for Answered {
    fn text(&self) -> String {
        let status =
            if self.repeated { "signed before; the same signatures again" } else { "checked and signed" };
        let mut rows = vec![
            ("status", status.to_owned()),
            ("stake", self.stake.to_string()),
            ("member", self.public_key.to_string()),
            ("signed by", format!("{} of {} members that must", self.signed_by, self.needed)),
        ];
        if let Some(OldStake { release, signed_by, needed }) = &self.old_stake {
            let waits =
                if *release == Some("waits-for-quorum") { "; this one waits for the quorum" } else { "" };
            rows.push(("old stake let go by", format!("{signed_by} of {needed} members that must{waits}")));
        }
        rows.push(("written to", self.file.display().to_string()));
        facts(rows)
    }
}

pub(super) fn sign(args: &Sign, session: &Session<'_>) -> Result<()> {
    let package = delegation::read(&args.file)?;
    let mut member = args.which.open_as_asked(session)?;
    let tip = match args.tip {
        Some(tip) => Some(tip),
        None if args.source.source.is_some() || session.settings.source.is_some() => {
            Some(args.source.connect(session)?.chain().tip()?.height)
        }
        None => None,
    };
    let key = member.unlock(&args.passphrase.read(false)?).map_err(refused)?;
    let answer = member.sign(&key, &package, tip).map_err(refused)?;
    for rival in &answer.rivals {
        session.out.warn(&format!(
            "stake {rival}, signed before, spends the same coins: only one of the two can confirm"
        ));
    }
    let path = args.out.clone().unwrap_or_else(|| args.file.clone());
    file::replace(&path, &delegation::to_text(&answer.package))?;
    if let Release::Waits { signed, needed } = answer.release {
        session.out.note(&format!(
            "this member lets the old stake go once {needed} members have signed for the new one, {signed} have: combine \
             their files with tapstake delegation check, and sign the combined file again"
        ));
    }
    let params = member.policy().schedule.version(answer.package.params_version)?;
    let old_stake = OldStake::of(&answer, member.policy())?;
    session.out.show(&Answered {
        stake: answer.stake,
        public_key: member.public_key(),
        repeated: answer.repeated,
        file: path,
        signed_by: answer.package.parts.covenant.len(),
        needed: params.covenant.threshold(),
        old_stake,
        spends_the_coins_of: answer.rivals,
    });
    Ok(())
}
