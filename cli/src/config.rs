//! The settings of a run: configuration file, then environment, then command line, each stronger than the last.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use tapstake_chain::SourceConfig;

use crate::args::Global;
use crate::error::{Context, Error, Result};
use crate::file;
use crate::file::kind::Kind;
use crate::network::NetworkName;
use crate::params::ParamsSource;

/// Settings with every source merged; what nobody set is `None`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) json: Option<bool>,
    pub(crate) network: Option<NetworkName>,
    pub(crate) params: Option<ParamsSource>,
    pub(crate) source: Option<SourceConfig>,
    data_dir: Option<PathBuf>,
}

/// The configuration file. A key that is not here is an error, so that a typing mistake does not pass for a
/// default.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    json: Option<bool>,
    network: Option<NetworkName>,
    params: Option<String>,
    data_dir: Option<PathBuf>,
    source: Option<SourceConfig>,
}

impl Settings {
    /// Reads the configuration file, and puts over it what `global` holds: clap has already put the command
    /// line over the environment.
    ///
    /// # Errors
    ///
    /// If the file was asked for and is not there, or if it cannot be read as TOML or JSON with known keys.
    pub(crate) fn load(global: &Global) -> Result<Self> {
        let (file, folder) = match &global.config {
            Some(path) => (read(path)?, parent(path)),
            None => match default_path() {
                Some(path) if path.exists() => (read(&path)?, parent(&path)),
                _ => (File::default(), PathBuf::new()),
            },
        };
        // Paths in the file are relative to the file.
        let in_file = file.params.map(|text| text.parse::<ParamsSource>()).transpose();
        let in_file = in_file.map_err(Error::failed).context("configuration key params")?;
        Ok(Settings {
            json: global.json.or(file.json),
            network: global.network.or(file.network),
            params: global.params.clone().or(in_file.map(|params| params.relative_to(&folder))),
            source: file.source,
            data_dir: global.data_dir.clone().or(file.data_dir.map(|path| folder.join(path))),
        })
    }

    /// The folder for wallets and stakes, not yet made.
    ///
    /// # Errors
    ///
    /// If none is set and there is no home folder either.
    pub(crate) fn data_dir(&self) -> Result<PathBuf> {
        let default = || Some(base("XDG_DATA_HOME", &[".local", "share"])?.join("tapstake"));
        self.data_dir
            .clone()
            .or_else(default)
            .ok_or_else(|| Error::usage("no data folder: HOME is not set").next("give --data-dir DIR"))
    }
}

/// More than any configuration takes.
const MAX_BYTES: u64 = 64 << 10;

fn read(path: &Path) -> Result<File> {
    let name = path.display();
    let bytes = file::read(path, MAX_BYTES).context("configuration file")?;
    file::of_kind(&bytes, Kind::Config).context(format!("configuration file {name}"))?;
    let is_json = path.extension().is_some_and(|extension| extension == "json");
    let file = if is_json {
        file::json(&bytes, Kind::Config)
    } else {
        toml::from_slice(&bytes).map_err(|error: toml::de::Error| {
            // The message has several lines: the place in the file, and a pointer to it.
            let lines: Vec<_> = error.to_string().trim_end().lines().map(file::clipped).collect();
            Error::rule("file", lines.join("\n"))
        })
    };
    file.context(format!("configuration file {name}"))
        .next("docs/cli.md lists the keys of the configuration file")
}

fn parent(path: &Path) -> PathBuf {
    path.parent().map(Path::to_path_buf).unwrap_or_default()
}

fn default_path() -> Option<PathBuf> {
    Some(base("XDG_CONFIG_HOME", &[".config"])?.join("tapstake").join("config.toml"))
}

/// A base folder of the XDG specification: from its variable if that is absolute, else below the home folder.
fn base(variable: &str, below_home: &[&str]) -> Option<PathBuf> {
    let set = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    set.or_else(|| {
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty())?;
        Some(below_home.iter().fold(PathBuf::from(home), |path, part| path.join(part)))
    })
}
