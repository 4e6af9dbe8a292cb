//! Checks a CSV file of adaptor-signature vectors, row by row:
//!
//! ```text
//! cargo run -p tapstake-crypto --example adaptor_vectors FILE.csv
//! ```
//!
//! The file is one of the three formats of the BlockstreamResearch schnorr-adaptor module, told apart by the heading:
//! pre-signatures, decryption ("adapt") and extraction ("secadaptor"). It prints a line a row, and fails if a row does.

use std::env;
use std::error::Error;
use std::process::ExitCode;

use bitcoin::hex::FromHex;
use bitcoin::secp256k1::{
    self, All, Keypair, Message, PublicKey, Secp256k1, SecretKey, XOnlyPublicKey, schnorr,
};
use csv::StringRecord;
use tapstake_crypto::HexError;
use tapstake_crypto::adaptor::{AdaptorError, AdaptorSignature, point};

/// Why the operation of a row has no result.
enum Failure {
    /// A value was refused, which is the result FALSE.
    Refused(String),
    /// The row cannot be read, or a value beside the result differs: the row fails whatever it expects.
    Wrong(String),
}

type Outcome = Result<bool, Failure>;

const PRE_SIGNATURES: &[&str] = &[
    "index",
    "secret key",
    "public key",
    "aux_rand",
    "message",
    "adaptor",
    "pre-signature",
    "result",
    "comment",
];
const DECRYPTIONS: &[&str] =
    &["index", "pubkey", "message", "secadaptor", "pre-signature", "BIP340 signature", "result", "comment"];
const EXTRACTIONS: &[&str] =
    &["index", "pre-signature", "BIP340 signature", "secadaptor", "result", "comment"];

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let [_, path] =
        env::args().collect::<Vec<_>>().try_into().map_err(|_| "usage: adaptor_vectors FILE.csv")?;
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_path(&path)?;
    let heading = reader.headers()?.clone();
    let heading: Vec<_> = heading.iter().map(str::trim).collect();
    let check: fn(&Secp256k1<All>, &Row<'_>) -> Outcome = match heading.as_slice() {
        PRE_SIGNATURES => pre_signature,
        DECRYPTIONS => decryption,
        EXTRACTIONS => extraction,
        _ => {
            return Err(
                format!("{path}: a heading of none of the three formats: {}", heading.join(",")).into()
            );
        }
    };

    let secp = Secp256k1::new();
    let (mut rows, mut failed) = (0, 0);
    for record in reader.records() {
        let row = Row { record: record?, heading: &heading };
        let index = row.text("index")?;
        // The second heading is a remark.
        if index.is_empty() {
            continue;
        }
        rows += 1;
        let outcome = check(&secp, &row);
        let holds = match &outcome {
            Ok(true) => "TRUE",
            Ok(false) | Err(Failure::Refused(_)) => "FALSE",
            Err(Failure::Wrong(_)) => "a fault",
        };
        let expected = row.text("result")?;
        let passes = holds == expected;
        failed += usize::from(!passes);
        print!("{} row {index}: {expected} expected, {holds} found", if passes { "pass" } else { "FAIL" });
        if let Err(Failure::Refused(reason) | Failure::Wrong(reason)) = &outcome {
            print!(" ({reason})");
        }
        println!("; {}", row.text("comment")?);
    }
    println!("{path}: {rows} rows, {} pass, {failed} fail", rows - failed);
    Ok(if rows > 0 && failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Verifies; and where there is a secret key, signs too.
fn pre_signature(secp: &Secp256k1<All>, row: &Row<'_>) -> Outcome {
    let key = XOnlyPublicKey::from_slice(&row.bytes::<32>("public key")?)?;
    let encryption_point = PublicKey::from_slice(&row.bytes::<33>("adaptor")?)?;
    let message = row.bytes("message")?;
    let signature: AdaptorSignature = row.text("pre-signature")?.parse()?;
    point::verify(secp, &signature, &key, &encryption_point, &message)?;

    let secret = row.text("secret key")?;
    if secret.is_empty() {
        return Ok(true);
    }
    let signer = Keypair::from_seckey_str(secp, secret)?;
    let signed = point::sign(secp, &signer, &encryption_point, &message, &row.bytes("aux_rand")?);
    if signer.x_only_public_key().0 != key || signed != signature {
        return Err(Failure::Wrong(format!("signs as {signed}")));
    }
    Ok(true)
}

/// Decrypts to the signature of the row, and says whether that verifies.
fn decryption(secp: &Secp256k1<All>, row: &Row<'_>) -> Outcome {
    let signature: AdaptorSignature = row.text("pre-signature")?.parse()?;
    let decryption_key = SecretKey::from_slice(&row.bytes::<32>("secadaptor")?)?;
    let decrypted = point::decrypt(&signature, &decryption_key)?;
    // Also where the signature is expected not to verify, decrypting is expected to give it.
    if decrypted.serialize() != row.bytes("BIP340 signature")? {
        return Err(Failure::Wrong(format!("decrypts to {decrypted}")));
    }
    let key = XOnlyPublicKey::from_slice(&row.bytes::<32>("pubkey")?)?;
    let message = Message::from_digest(row.bytes("message")?);
    Ok(secp.verify_schnorr(&decrypted, &message, &key).is_ok())
}

/// Extracts the secret, for the point of the secret of the row.
fn extraction(secp: &Secp256k1<All>, row: &Row<'_>) -> Outcome {
    let signature: AdaptorSignature = row.text("pre-signature")?.parse()?;
    let decrypted = schnorr::Signature::from_slice(&row.bytes::<64>("BIP340 signature")?)?;
    let secret = SecretKey::from_slice(&row.bytes::<32>("secadaptor")?)?;
    Ok(point::extract(secp, &signature, &decrypted, &secret.public_key(secp))? == secret)
}

/// A row with its columns by name.
struct Row<'a> {
    record: StringRecord,
    heading: &'a [&'a str],
}

impl Row<'_> {
    fn text(&self, column: &str) -> Result<&str, String> {
        let place = self.heading.iter().position(|name| *name == column);
        let text = place.and_then(|place| self.record.get(place));
        text.map(str::trim).ok_or_else(|| format!("no column {column:?}"))
    }

    fn bytes<const N: usize>(&self, column: &str) -> Result<[u8; N], String> {
        <[u8; N]>::from_hex(self.text(column)?).map_err(|error| format!("{column}: {error}"))
    }
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Failure::Wrong(reason)
    }
}

impl From<secp256k1::Error> for Failure {
    fn from(error: secp256k1::Error) -> Self {
        Failure::Refused(error.to_string())
    }
}

impl From<AdaptorError> for Failure {
    fn from(error: AdaptorError) -> Self {
        Failure::Refused(error.to_string())
    }
}

impl From<HexError<AdaptorError>> for Failure {
    fn from(error: HexError<AdaptorError>) -> Self {
        match error {
            HexError::Hex(error) => Failure::Wrong(error.to_string()),
            HexError::Value(error) => error.into(),
        }
    }
}
