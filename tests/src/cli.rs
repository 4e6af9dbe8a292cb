use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

/// The `tapstake` program, built once for this process by the cargo and the profile that built the test.
///
/// # Panics
///
/// If it cannot be built.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(build)
}

fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // As the whole workspace's tests build it, so that those who run all have it already.
    let mut build = Command::new(cargo);
    build.args(["test", "--no-run", "--workspace", "--test", "plumbing", "--message-format", "json"]);
    if cfg!(feature = "daemons") {
        build.args(["--features", "daemons"]);
    }
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let output = build.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let built =
        text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find_map(|message| {
            let ours = message["target"]["name"] == "tapstake";
            message["executable"].as_str().filter(|_| ours).map(PathBuf::from)
        });
    built.unwrap_or_else(|| panic!("tapstake was not built: {}", String::from_utf8_lossy(&output.stderr)))
}

/// A user of the program on one network, whose home and data folder go when it is dropped.
#[derive(Debug)]
pub struct Cli {
    home: TempDir,
    network: &'static str,
    variables: Vec<(&'static str, OsString)>,
}

impl Cli {
    /// A user who has nothing yet.
    ///
    /// # Panics
    ///
    /// If there is no temporary folder.
    pub fn new(network: &'static str) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        Cli { home, network, variables: Vec::new() }
    }

    /// Sets a variable of the environment of every run, such as `TAPSTAKE_SOURCE`.
    pub fn set(&mut self, variable: &'static str, value: impl Into<OsString>) {
        self.variables.retain(|(name, _)| *name != variable);
        self.variables.push((variable, value.into()));
    }

    /// A path in the user's home.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The folder of wallets, stakes and recovery sheets.
    pub fn data(&self) -> PathBuf {
        self.path("data").join(self.network)
    }

    /// Runs the program once, with `--json`, and waits for its end.
    ///
    /// # Panics
    ///
    /// If it cannot be started or is killed.
    pub fn run(&self, args: &[&str]) -> Outcome {
        let mut command = Command::new(program());
        command.env_clear().env("HOME", self.home.path());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.args(["--json", "--network", self.network, "--data-dir"]).arg(self.path("data")).args(args);
        let output = command.output().expect("the program starts");
        Outcome {
            args: args.join(" "),
            code: output.status.code().expect("the program ends by itself"),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    args: String,
    /// The exit code.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it said besides.
    pub stderr: String,
}

impl Outcome {
    /// The document that a successful run printed.
    ///
    /// # Panics
    ///
    /// If the run failed.
    pub fn ok(&self) -> Value {
        self.document(0)
    }

    /// The error that a run which ended with `code` printed.
    ///
    /// # Panics
    ///
    /// If the run ended otherwise.
    pub fn refused(&self, code: i32) -> Value {
        self.document(code)["error"].clone()
    }

    fn document(&self, code: i32) -> Value {
        let Outcome { args, stdout, stderr, .. } = self;
        assert_eq!(self.code, code, "tapstake {args}\n{stdout}{stderr}");
        serde_json::from_str(stdout)
            .unwrap_or_else(|error| panic!("tapstake {args} printed no JSON ({error}):\n{stdout}{stderr}"))
    }
}
