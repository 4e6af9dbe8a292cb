//! `tapstake covenant`: one member of the committee.

mod sign;

use std::path::{Path, PathBuf};

use bitcoin::{Amount, OutPoint, XOnlyPublicKey};
use clap::{Args, Subcommand};
use serde::Serialize;
use tapstake_params::{StakingParams, Timelock};
use tapstake_signer::covenant::{CovenantError, Member, Policy, Refusal, Rules, Services, Signed};
use tapstake_signer::keyfile::{KeyFileError, SecretBytes, WorkFactor};

use crate::delegation;
use crate::error::{Error, Result};
use crate::file;
use crate::live::{network_dir, secret_text};
use crate::network::NetworkName;
use crate::output::{Show, facts, table};
use crate::passphrase::PassphraseArgs;
use crate::session::Session;

/// What a covenant member does.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a member: its key, its policy, its record
    ///
    /// The policy is a file to be edited: which parameters and services, what bounds. It holds its own copy of the
    /// parameters, those of --params now: nothing that a delegation file says takes their place.
    Init(Init),
    /// Check a delegation against parameters and policy, and add this member's signatures
    ///
    /// Asked again for the same delegation, the member gives the same signatures. A second unbonding transaction for a
    /// stake is refused. A member of an expanded stake's committee lets that stake go once a quorum has signed for the new
    /// one: where the committee changes or its quorum is raised, the file goes round twice.
    Sign(sign::Sign),
    /// Show the member's key, its policy, and what it has signed; or copy out a delegation that it signed
    Show(ShowArgs),
    /// Take the parameters of --params into the policy; its other rules stay
    Adopt(Which),
}

/// Which member.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The member's folder [default: covenant, in the network's folder below --data-dir]
    #[arg(long, env = "TAPSTAKE_MEMBER_DIR", value_name = "DIR")]
    member_dir: Option<PathBuf>,
}

/// What to show.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    which: Which,
    /// A stake that the member signed for, whose delegation goes to the file of --out
    #[arg(long, value_name = "OUTPOINT", requires = "out")]
    stake: Option<OutPoint>,
    /// Where to write the delegation as the member signed it; a file that is there stays
    #[arg(long, value_name = "FILE", requires = "stake")]
    out: Option<PathBuf>,
}

/// How a member comes to be.
#[derive(Debug, Args)]
pub(crate) struct Init {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// File with a secret key that is known already, as 32 bytes of hex, - for stdin [default: a fresh one]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// How hard the key file is to guess open: scrypt's N as a power of two, 1 to 20 [default: about a second]
    #[arg(long, value_name = "LOG2")]
    work_factor: Option<u8>,
}

impl Which {
    fn folder(&self, session: &Session<'_>) -> Result<PathBuf> {
        self.member_dir.clone().map_or_else(|| Ok(network_dir(session)?.join("covenant")), Ok)
    }

    fn open(&self, session: &Session<'_>) -> Result<Member> {
        Member::open(&self.folder(session)?).map_err(refused)
    }

    /// The member, if its policy is for the network and the parameters that were asked for, where any were.
    fn open_as_asked(&self, session: &Session<'_>) -> Result<Member> {
        let member = self.open(session)?;
        // A policy of other parameters than those asked for would be followed without a word.
        let policy = &member.policy().schedule;
        let file = member.policy_file();
        let asked = session.settings.network.map(bitcoin::Network::from);
        if let Some(network) = asked.filter(|network| *network != policy.network()) {
            let (given, own) = (NetworkName::from(network), NetworkName::from(policy.network()));
            let message = format!("the network is {given}, and {} is for {own}", file.display());
            return Err(Error::rule("network", message).next("give another --network or --member-dir"));
        }
        if session.settings.params.is_some() && session.schedule()? != *policy {
            let message = format!("--params are not the parameters in {}", file.display());
            return Err(Error::rule("parameters", message)
                .next("leave --params out, or take them over: tapstake covenant adopt"));
        }
        Ok(member)
    }
}

pub(crate) fn run(command: &Command, session: &Session<'_>) -> Result<()> {
    match command {
        Command::Init(args) => init(args, session),
        Command::Sign(args) => sign::sign(args, session),
        Command::Show(args) => show(args, session),
        Command::Adopt(which) => adopt(which, session),
    }
}

#[derive(Serialize)]
struct Made {
    public_key: XOnlyPublicKey,
    network: NetworkName,
    folder: PathBuf,
    policy: PathBuf,
    member_of_versions: Vec<u32>,
}

impl Show for Made {
    fn text(&self) -> String {
        facts([
            ("public key", self.public_key.to_string()),
            ("network", self.network.to_string()),
            ("folder", self.folder.display().to_string()),
            ("policy", self.policy.display().to_string()),
            ("in the committee of", versions(&self.member_of_versions)),
        ])
    }
}

fn versions(of: &[u32]) -> String {
    match of {
        [] => "no parameters version".to_owned(),
        all => {
            format!("parameters version {}", all.iter().map(u32::to_string).collect::<Vec<_>>().join(", "))
        }
    }
}

fn member_of(policy: &Policy, key: &XOnlyPublicKey) -> Vec<u32> {
    let sits_in = policy.schedule.versions().iter().filter(|version| version.covenant.contains(key));
    sits_in.map(|version| version.version).collect()
}

fn init(args: &Init, session: &Session<'_>) -> Result<()> {
    let folder = args.which.folder(session)?;
    if args.key_file.as_deref() == Some(Path::new("-")) && args.passphrase.is_stdin() {
        return Err(Error::usage("only one secret can come from stdin").next("give a file for the other"));
    }
    if args.work_factor.is_some_and(|work| work < WorkFactor::LEAST) {
        session
            .out
            .warn("with this work factor the passphrase is easy to guess from the key file: for tests only");
    }
    let policy = Policy::new(session.schedule()?);
    let secret = match &args.key_file {
        None => SecretBytes::generate(),
        Some(path) => {
            let wrong = |error: tapstake_signer::keyfile::SecretError| Error::rule("key", error);
            SecretBytes::from_hex(&secret_text(path, "covenant key")?).map_err(wrong)?
        }
    };
    let passphrase = args.passphrase.read(true)?;
    let work = args.work_factor.map_or(WorkFactor::Calibrated, WorkFactor::Fixed);
    let member = Member::create(&folder, &policy, &secret, &passphrase, work).map_err(refused)?;
    let public_key = member.public_key();
    let made = Made {
        public_key,
        network: policy.schedule.network().into(),
        policy: member.policy_file(),
        member_of_versions: member_of(&policy, &public_key),
        folder,
    };
    if args.key_file.is_some() {
        session.out.warn(
            "this member knows nothing of what the key may have signed elsewhere: a member that moves takes its whole \
             folder along",
        );
    }
    if made.member_of_versions.is_empty() {
        session.out.note(&format!(
            "no committee of these parameters has this key yet: once one has, tapstake covenant adopt --params FILE takes \
             its parameters into {}",
            made.policy.display()
        ));
    }
    session.out.show(&made);
    Ok(())
}

#[derive(Serialize)]
struct Shown {
    public_key: XOnlyPublicKey,
    network: NetworkName,
    folder: PathBuf,
    key_file: bool,
    member_of_versions: Vec<u32>,
    rules: Rules,
    signed: Vec<Signed>,
}

impl Show for Shown {
    fn text(&self) -> String {
        let Shown { rules, .. } = self;
        let value = |bound: Option<Amount>| bound.map(|value| value.to_string());
        let time = |bound: Option<Timelock>| bound.map(|time| format!("{time} blocks"));
        let bounds = |min: Option<String>, max: Option<String>| match (min, max) {
            (None, None) => "those of the parameters".to_owned(),
            (Some(min), None) => format!("from {min}"),
            (None, Some(max)) => format!("up to {max}"),
            (Some(min), Some(max)) => format!("{min} to {max}"),
        };
        let services = match &rules.services {
            Services::Any => "any".to_owned(),
            Services::Known(known) => known.keys().cloned().collect::<Vec<_>>().join(", "),
        };
        let mut text = facts([
            ("public key", self.public_key.to_string()),
            ("network", self.network.to_string()),
            ("folder", self.folder.display().to_string()),
            ("key", if self.key_file { "in the folder, encrypted" } else { "elsewhere" }.to_owned()),
            ("in the committee of", versions(&self.member_of_versions)),
            ("bounds on value", bounds(value(rules.min_value), value(rules.max_value))),
            ("bounds on time", bounds(time(rules.min_staking_time), time(rules.max_staking_time))),
            ("services", services),
            ("signed for", format!("{} stakes", self.signed.len())),
        ]);
        if !self.signed.is_empty() {
            let rows = self.signed.iter().map(|signed| {
                vec![
                    signed.subject.stake.to_string(),
                    signed.subject.value.to_string(),
                    signed.subject.staking_time.to_string(),
                    signed.subject.params_version.to_string(),
                    signed.subject.unbonding.to_string(),
                ]
            });
            let header = ["stake", "value", "time", "version", "unbonding txid"];
            text.push_str("\n\n");
            text.push_str(&table(&header, &["value", "time", "version"], rows));
        }
        text
    }
}

fn show(args: &ShowArgs, session: &Session<'_>) -> Result<()> {
    let member = args.which.open_as_asked(session)?;
    if let (Some(stake), Some(out)) = (args.stake, &args.out) {
        let package = member.package(stake).map_err(refused)?;
        let package = package
            .ok_or_else(|| Error::rule("stake", format!("this member did not sign for stake {stake}")))?;
        file::write_new(out, &delegation::to_text(&package))?;
    }
    let policy = member.policy();
    session.out.show(&Shown {
        public_key: member.public_key(),
        network: policy.schedule.network().into(),
        folder: member.folder().to_owned(),
        key_file: member.has_key_file(),
        member_of_versions: member_of(policy, &member.public_key()),
        rules: policy.rules.clone(),
        signed: member.signed().map_err(refused)?,
    });
    Ok(())
}

#[derive(Serialize)]
struct Adopted {
    policy: PathBuf,
    added_versions: Vec<u32>,
    changed_versions: Vec<u32>,
    removed_versions: Vec<u32>,
    member_of_versions: Vec<u32>,
}

impl Show for Adopted {
    fn text(&self) -> String {
        facts([
            ("policy", self.policy.display().to_string()),
            ("added", versions(&self.added_versions)),
            ("changed", versions(&self.changed_versions)),
            ("removed", versions(&self.removed_versions)),
            ("in the committee of", versions(&self.member_of_versions)),
        ])
    }
}

fn adopt(which: &Which, session: &Session<'_>) -> Result<()> {
    let mut member = which.open(session)?;
    let (old, new) = (member.policy().schedule.clone(), session.schedule()?);
    if old.network() != new.network() {
        let (given, own) = (NetworkName::from(new.network()), NetworkName::from(old.network()));
        let message =
            format!("the parameters are for {given}, and {} is for {own}", member.policy_file().display());
        return Err(Error::rule("network", message).next("make another member for that network"));
    }
    let numbers = |versions: &[StakingParams], keep: &dyn Fn(&StakingParams) -> bool| -> Vec<u32> {
        versions.iter().filter(|version| keep(version)).map(|version| version.version).collect()
    };
    let changed_versions = numbers(new.versions(), &|version| {
        old.version(version.version).is_ok_and(|before| before != version)
    });
    let removed_versions = numbers(old.versions(), &|version| new.version(version.version).is_err());
    let sat = !member_of(member.policy(), &member.public_key()).is_empty();
    if sat && !(changed_versions.is_empty() && removed_versions.is_empty()) {
        // Networks add versions; they do not rewrite those that stakes were made under. A key that sits in none of them
        // has signed for none.
        session
            .out
            .confirm("versions that the policy has are changed or removed: adopt these parameters?")?;
    }
    let added_versions = numbers(new.versions(), &|version| old.version(version.version).is_err());
    member.adopt(new).map_err(refused)?;
    let member_of_versions = member_of(member.policy(), &member.public_key());
    let policy = member.policy_file();
    session.out.show(&Adopted {
        policy,
        added_versions,
        changed_versions,
        removed_versions,
        member_of_versions,
    });
    Ok(())
}

/// A member's refusal with its rule, and what to do next.
fn refused(error: CovenantError) -> Error {
    let next = match &error {
        CovenantError::NoMember(_) => Some("tapstake covenant init makes one; --member-dir says where it is"),
        CovenantError::Exists(_) => Some("give another --member-dir"),
        CovenantError::InUse(_) => Some("wait for it, and ask again"),
        CovenantError::KeyFile(KeyFileError::WrongPassphrase(_)) => {
            Some("give the passphrase of this key file")
        }
        CovenantError::Refused(Refusal::TipUnknown { .. }) => Some("give --tip HEIGHT, or a --source to ask"),
        CovenantError::Refused(Refusal::Version { .. }) => Some(
            "the staker drafts again under the version that applies; if the policy lacks it, tapstake covenant adopt",
        ),
        CovenantError::Refused(Refusal::SecondUnbonding { .. } | Refusal::SecondSlashing { .. }) => {
            Some("the staker asks with the delegation that was signed, or drafts another staking transaction")
        }
        CovenantError::Refused(Refusal::ReleaseWaits { .. }) => Some(
            "have the new committee sign first, and bring the file with its quorum: this member signs last",
        ),
        CovenantError::Refused(Refusal::ServiceProvider(_)) => Some(
            "the staker proves possession for a service of its providers; if the policy lacks them, edit policy.json",
        ),
        CovenantError::Refused(Refusal::UnknownOwnSignature { .. }) => Some(
            "stop, and find out where the key signed: put the newest record back, or take the key out of the committee",
        ),
        CovenantError::DamagedRecord { .. } => {
            Some("do not sign with this key until the record is back: it says what was signed")
        }
        _ => None,
    };
    let rule = error.rule();
    let error = match rule {
        Some(rule) => Error::rule(rule, error),
        None => error.into(),
    };
    match next {
        Some(next) => error.next(next),
        None => error,
    }
}
