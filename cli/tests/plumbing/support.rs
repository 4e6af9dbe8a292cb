//! Running the binary.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The x coordinates of 1·G, 2·G and so on.
pub(crate) const KEYS: [&str; 11] = [
    "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
    "c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5",
    "f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9",
    "e493dbf1c10d80f3581e4904930b1404cc6c13900ee0758474fa94abe8c4cd13",
    "2f8bde4d1a07209355b4a7250a5c5128e88b84bddc619ab7cba8d569b240efe4",
    "fff97bd5755eeea420453a14355235d382f6472f8568a18b2f057a1460297556",
    "5cbdf0646e5db4eaa398f365f2ea7a0e3d419b7e0330e39ce92bddedcac4f9bc",
    "2f01e5e15cca351daff3843fb70f3c2f0a1bdd05e5af888a67784ef3e10a2a01",
    "acd484e2f0c7f65309ad178a9f559abde09796974c57e714c35f110dfc27ccbe",
    "a0434d9e47f3c86235477c7b1ae6ae5d3442d49b1943c2b752a68e2a47e247c7",
    "774ae7f858a9411e5ef4246b70c65aac5649980be5c17891bbec17895da008cb",
];
pub(crate) const STAKER: &str = KEYS[0];
pub(crate) const PROVIDER: &str = KEYS[1];

/// The x coordinate of no point.
pub(crate) const OFF_CURVE: &str = "0000000000000000000000000000000000000000000000000000000000000005";

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// The binary, in the repository's folder, without any setting from outside.
pub(crate) fn tapstake() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tapstake"));
    command.env_clear().current_dir(repository()).stdin(Stdio::null());
    command
}

/// Runs a line of arguments, split at white space.
pub(crate) fn run(line: &str) -> Output {
    tapstake().args(line.split_whitespace()).output().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The JSON that a line gives, which must be done.
pub(crate) fn json(line: &str) -> Value {
    let output = run(&format!("{line} --json"));
    assert_eq!(output.status.code(), Some(0), "{line}: {}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Runs a line that must end in `code`, and gives its JSON error, which must say the same as stderr.
pub(crate) fn error(line: &str, code: i32) -> Value {
    let output = run(&format!("{line} --json"));
    assert_eq!(output.status.code(), Some(code), "{line}: {}", stderr(&output));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let error = json["error"].clone();
    let kind = ["", "failed", "usage", "verification"][usize::try_from(code).unwrap()];
    assert_eq!(error["kind"], kind, "{line}");
    let message = error["message"].as_str().unwrap();
    let start: String = message.chars().take(24).collect();
    assert!(stderr(&output).contains(&start), "{line}: {}", stderr(&output));
    error
}

/// Runs a line that must end in `code` by `rule`.
pub(crate) fn refused(line: &str, code: i32, rule: &str) -> String {
    let error = error(line, code);
    assert_eq!(error["rule"], rule, "{line}: {error}");
    error["message"].as_str().unwrap().to_owned()
}

/// `--staker … --provider … --covenant … --quorum M` of keys from the list.
pub(crate) fn parties(providers: &[usize], covenant: &[usize], quorum: usize) -> String {
    let mut line = format!("--staker {STAKER}");
    for key in providers {
        line += &format!(" --provider {}", KEYS[*key]);
    }
    for key in covenant {
        line += &format!(" --covenant {}", KEYS[*key]);
    }
    line + &format!(" --quorum {quorum}")
}

/// The names of an object's fields, in no order.
pub(crate) fn fields(value: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

pub(crate) fn assert_fields(value: &Value, expected: &[&str]) {
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(fields(value), expected, "{value}");
}

/// A file of the test's own.
pub(crate) struct TempFile(tempfile::NamedTempFile);

impl TempFile {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        TempFile(file)
    }

    pub(crate) fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }
}
