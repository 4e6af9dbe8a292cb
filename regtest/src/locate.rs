use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Error;

/// Shared with the scripts that fill the cache.
const VERSIONS: &str = include_str!("../versions");

/// Looks for a bitcoind that can serve ElectrumX: `BITCOIND_EXE`, then `PATH`, then the cache that
/// `regtest/get-bitcoind.sh` fills.
///
/// One in `PATH` without `-txospenderindex` (before Bitcoin Core 31) is passed over; `BITCOIND_EXE` is taken at
/// its word.
///
/// # Errors
///
/// [`Error::Missing`], which names the script to run.
pub fn bitcoind_exe() -> Result<PathBuf, Error> {
    let cached = cache().join(format!("bitcoind-{}", version("LIBBITCOINKERNEL_SYS"))).join("bitcoind");
    if let Some(named) = variable("BITCOIND_EXE") {
        return Ok(named.into());
    }
    let in_path = env::split_paths(&variable("PATH").unwrap_or_default())
        .map(|folder| folder.join("bitcoind"))
        .find(|program| program.is_file());
    match in_path.filter(|program| has_spender_index(program)) {
        Some(program) => Ok(program),
        None if cached.is_file() => Ok(cached),
        None => Err(Error::Missing {
            program: "bitcoind",
            places: "BITCOIND_EXE, PATH",
            cache: cached,
            script: "get-bitcoind.sh",
        }),
    }
}

/// Looks for ElectrumX: `ELECTRUMX_EXE`, then the cache that `regtest/get-electrumx.sh` fills.
///
/// Not in `PATH`: a server of this name there may be another coin's.
///
/// # Errors
///
/// [`Error::Missing`], which names the script to run.
pub fn electrumx_exe() -> Result<PathBuf, Error> {
    if let Some(named) = variable("ELECTRUMX_EXE") {
        return Ok(named.into());
    }
    let environment = cache().join(format!("electrumx-{}", version("E_X")));
    let cached = environment.join("bin").join("electrumx_server");
    // The script writes this mark last: without it the environment is half made.
    if environment.join("finished").is_file() {
        return Ok(cached);
    }
    Err(Error::Missing {
        program: "electrumx_server",
        places: "ELECTRUMX_EXE",
        cache: cached,
        script: "get-electrumx.sh",
    })
}

/// An environment variable that is set to something.
fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

fn cache() -> PathBuf {
    let base = variable("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(variable("HOME").unwrap_or_default()).join(".cache"));
    base.join("tapstake")
}

fn version(name: &str) -> &'static str {
    VERSIONS
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        .expect("`versions` names every program")
}

fn has_spender_index(program: &Path) -> bool {
    Command::new(program)
        .arg("-help")
        .stdin(Stdio::null())
        .output()
        .is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains("-txospenderindex"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_file_names_both_programs() {
        assert!(version("LIBBITCOINKERNEL_SYS").starts_with(|c: char| c.is_ascii_digit()));
        assert!(version("E_X").starts_with(|c: char| c.is_ascii_digit()));
    }

    #[test]
    fn a_program_that_cannot_run_has_no_spender_index() {
        assert!(!has_spender_index(Path::new("/nonexistent/bitcoind")));
    }
}
