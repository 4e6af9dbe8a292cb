//! The passphrase of a key file: from a file or typed, never an argument.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use tapstake_signer::keyfile::Passphrase;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::live::secret_text;

/// What opens the key file.
#[derive(Debug, Args)]
pub(crate) struct PassphraseArgs {
    /// File with the passphrase of the key file, - for stdin [default: asked for]
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl PassphraseArgs {
    /// The passphrase: from its file, or typed, twice where it is a new one.
    pub(crate) fn read(&self, new: bool) -> Result<Passphrase> {
        let stdin_is_terminal = std::io::stdin().is_terminal();
        let text = match &self.passphrase_file {
            Some(path) if path != Path::new("-") || !stdin_is_terminal => secret_text(path, "passphrase")?,
            None if !stdin_is_terminal => {
                return Err(
                    Error::usage("no passphrase, and nobody to ask").next("give --passphrase-file FILE")
                );
            }
            _ => {
                let typed = rpassword::prompt_password("passphrase: ").map(Zeroizing::new)?;
                if new && *typed != *rpassword::prompt_password("again: ").map(Zeroizing::new)? {
                    return Err(Error::failed("the two passphrases differ, so nothing was made"));
                }
                typed
            }
        };
        Passphrase::new(text.to_string()).ok_or_else(|| Error::rule("passphrase", "the passphrase is empty"))
    }

    /// Whether stdin is where the passphrase comes from.
    pub(crate) fn is_stdin(&self) -> bool {
        self.passphrase_file.as_deref() == Some(Path::new("-"))
    }
}
