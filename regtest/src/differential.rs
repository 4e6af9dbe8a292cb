use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::Value;

use crate::Error;

/// What the npm package `@babylonlabs-io/btc-staking-ts` makes of these cases: one result a case, in their order.
///
/// Cases and results are described at the head of `regtest/npm/differential.mjs`. The package is installed into the
/// cache folder if it is not there. A few hundred cases take a few seconds.
///
/// # Errors
///
/// [`Error::Spawn`] or [`Error::UnexpectedAnswer`] if the script does not run to its end. A case that the package
/// refuses is no error here but a result with the field `error`.
pub fn differential(cases: &[Value]) -> Result<Vec<Value>, Error> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("npm").join("differential.sh");
    let mut child = Command::new(&script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|source| Error::Spawn { program: script.clone(), source })?;
    let mut input = child.stdin.take().expect("the pipe was asked for");
    let output = child.stdout.take().expect("the pipe was asked for");

    // Both at once: with all cases written first, two full pipes would wait for each other.
    let results = thread::scope(|scope| {
        scope.spawn(move || cases.iter().try_for_each(|case| writeln!(input, "{case}")));
        BufReader::new(output).lines().collect::<Result<Vec<_>, _>>()
    });
    let status = child.wait().map_err(Error::io("waiting for the npm package"))?;
    let results = results.map_err(Error::io("reading the npm package's results"))?;

    let unexpected =
        |answer: String| Error::UnexpectedAnswer { method: "differential.sh".to_owned(), answer };
    if !status.success() || results.len() != cases.len() {
        return Err(unexpected(format!("{} results for {} cases, {status}", results.len(), cases.len())));
    }
    results.into_iter().map(|line| serde_json::from_str(&line).map_err(|_| unexpected(line))).collect()
}
