//! Making a provider, and telling it how far it had come.

use std::path::{Path, PathBuf};

use clap::Args;
use tapstake_signer::keyfile::{self, KeyUse, Passphrase, SecretBytes, WorkFactor};
use tapstake_signer::provider::{History, NewProvider, Origin, Provider};

use super::refusal::refused;
use super::show::Shown;
use super::{Opened, Which};
use crate::error::{Error, Result};
use crate::live::secret_text;
use crate::passphrase::PassphraseArgs;
use crate::session::Session;

/// How a provider comes to be. No secret is ever an argument.
#[derive(Debug, Args)]
pub(crate) struct Init {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    marker: MarkerArgs,
    /// The service it votes for: 1 to 64 printable characters without blanks; one provider serves one service
    #[arg(long, value_name = "NAME")]
    service: String,
    /// A copy of the key.age of a provider that was lost or moves; the same passphrase opens it [default: fresh keys]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed_file", "key_file"])]
    restore: Option<PathBuf>,
    /// File with the seed of such a provider, 32 bytes of hex, - for stdin
    #[arg(long, value_name = "FILE", conflicts_with = "key_file")]
    seed_file: Option<PathBuf>,
    /// File with an EOTS secret key that was made elsewhere, 32 bytes of hex, - for stdin
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The greatest height that the imported seed or key has voted on, anywhere: only higher ones get a vote here
    #[arg(long, value_name = "HEIGHT", conflicts_with = "never_voted")]
    last_known_height: Option<u64>,
    /// The imported seed or key has never voted, anywhere
    #[arg(long)]
    never_voted: bool,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// How hard the key file is to guess open: scrypt's N as a power of two, 1 to 20 [default: about a second]
    #[arg(long, value_name = "LOG2")]
    work_factor: Option<u8>,
}

/// Where the marker goes.
#[derive(Debug, Args)]
struct MarkerArgs {
    /// Folder for the provider's marker, which no backup of the provider's folder may take back; one for all networks, on
    /// which a key is the same [default: ~/.local/state/tapstake]
    #[arg(long, env = "TAPSTAKE_MARKER_DIR", value_name = "DIR")]
    marker_dir: Option<PathBuf>,
}

/// From which height on to vote again.
#[derive(Debug, Args)]
pub(crate) struct Recover {
    #[command(flatten)]
    opened: Opened,
    /// The greatest height that the provider has voted on, anywhere: only higher ones get a new vote
    #[arg(long, value_name = "HEIGHT")]
    last_known_height: u64,
    /// Folder to move the provider's marker to [default: where it is]
    #[arg(long, env = "TAPSTAKE_MARKER_DIR", value_name = "DIR")]
    marker_dir: Option<PathBuf>,
}

impl MarkerArgs {
    fn folder(&self) -> Result<PathBuf> {
        if let Some(folder) = &self.marker_dir {
            return Ok(folder.clone());
        }
        let set = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
        let state = set.or_else(|| Some(PathBuf::from(home?).join(".local").join("state")));
        let state = state.ok_or_else(|| {
            Error::usage("no place for the marker: HOME is not set").next("give --marker-dir DIR")
        })?;
        // A seed gives the same key on every network, and two votes expose it wherever they are: one marker for all.
        Ok(state.join("tapstake"))
    }
}

pub(super) fn init(args: &Init, session: &Session<'_>) -> Result<()> {
    let folder = args.which.folder(session)?;
    let marker_folder = args.marker.folder()?;
    if std::path::absolute(&marker_folder)?.starts_with(std::path::absolute(&folder)?) {
        return Err(Error::usage(
            "the marker would lie in the provider's folder, and go back with its backups",
        )
        .next("give another --marker-dir, best on another disk"));
    }
    let history = history(args)?;
    let passphrase = args.passphrase.read(true)?;
    let origin = match history {
        Some(history) => imported(args, &passphrase, history)?,
        None => Origin::Fresh,
    };
    if args.work_factor.is_some_and(|work| work < WorkFactor::LEAST) {
        session
            .out
            .warn("with this work factor the passphrase is easy to guess from the key file: for tests only");
    }
    let provider = Provider::init(&NewProvider {
        folder: &folder,
        marker_folder: &marker_folder,
        service: &args.service,
        origin,
        passphrase: &passphrase,
        work: args.work_factor.map_or(WorkFactor::Calibrated, WorkFactor::Fixed),
    })
    .map_err(refused)?;
    session.out.show(&Shown::of(provider.status().map_err(refused)?));
    session.out.note(
        "keep a copy of key.age and its passphrase elsewhere; a copy of the record does not help, it is old with the next vote",
    );
    Ok(())
}

/// What is known of the keys' votes; none for fresh keys.
fn history(args: &Init) -> Result<Option<History>> {
    let known = match (args.last_known_height, args.never_voted) {
        (Some(height), _) => Some(History::LastKnownHeight(height)),
        (None, true) => Some(History::NeverVoted),
        (None, false) => None,
    };
    let secret = args.seed_file.as_ref().or(args.key_file.as_ref());
    if secret.is_some_and(|file| file == Path::new("-")) && args.passphrase.is_stdin() {
        return Err(Error::usage("only one secret can come from stdin").next("give a file for the other"));
    }
    match (secret.or(args.restore.as_ref()), known) {
        (Some(_), None) => {
            Err(Error::rule("last-known-height", "keys that are not fresh may have voted before").next(
                "give --last-known-height HEIGHT, the greatest they have voted on anywhere, or --never-voted",
            ))
        }
        (None, Some(History::LastKnownHeight(_))) => {
            Err(Error::usage("fresh keys have no last known height")
                .next("give --restore, --seed-file or --key-file, or leave --last-known-height out"))
        }
        (None, _) => Ok(None),
        (Some(_), known) => Ok(known),
    }
}

fn imported(args: &Init, passphrase: &Passphrase, history: History) -> Result<Origin> {
    let hex = |file: &Path| -> Result<SecretBytes> {
        SecretBytes::from_hex(&secret_text(file, "seed or key")?).map_err(|error| Error::rule("key", error))
    };
    if let Some(file) = &args.seed_file {
        return Ok(Origin::Seed(hex(file)?, history));
    }
    if let Some(file) = &args.key_file {
        return Ok(Origin::Key(hex(file)?, history));
    }
    let Some(file) = &args.restore else { return Ok(Origin::Fresh) };
    let refuse = |error: keyfile::KeyFileError| refused(error.into());
    let (key_use, secret) = keyfile::read_any(file, passphrase).map_err(refuse)?;
    match key_use {
        KeyUse::ProviderSeed => Ok(Origin::Seed(secret, history)),
        KeyUse::ProviderKey => Ok(Origin::Key(secret, history)),
        KeyUse::CovenantKey => {
            Err(Error::rule("key-file", format!("{} holds the key of a covenant member", file.display())))
        }
    }
}

pub(super) fn recover(args: &Recover, session: &Session<'_>) -> Result<()> {
    let folder = args.opened.which.folder(session)?;
    let passphrase = args.opened.passphrase.read(false)?;
    session
        .out
        .warn("if the provider has voted above this height, anywhere, the next vote can give its key away");
    session.out.confirm(&format!("vote only above height {} from now on?", args.last_known_height))?;
    let marker_folder = args.marker_dir.as_deref();
    let provider =
        Provider::recover(&folder, &passphrase, args.last_known_height, marker_folder).map_err(refused)?;
    session.out.show(&Shown::of(provider.status().map_err(refused)?));
    Ok(())
}
