//! `tapstake pop verify`

use bitcoin::Network;
use bitcoin::key::{Keypair, Secp256k1};
use tapstake_crypto::pop::{Account, Context, ProofOfPossession};

use crate::support::{STAKER, TempFile, json, refused};

/// A proof by the secret key 1, which is STAKER's.
fn proof(service: Option<&str>) -> TempFile {
    let (secp, mut secret) = (Secp256k1::new(), [0; 32]);
    secret[31] = 1;
    let pair = Keypair::from_seckey_slice(&secp, &secret).unwrap();
    let context = service.map(|service| Context::new(service, Network::Regtest).unwrap());
    let account = Account::from_raw(&[0xab; 20]).unwrap();
    let proof = ProofOfPossession::bip340(&secp, &pair, account, context, &[0; 32]);
    TempFile::new(serde_json::to_string(&proof).unwrap().as_bytes())
}

#[test]
fn a_service_that_is_asked_for_must_be_the_one_that_the_proof_names() {
    let line = |file: &TempFile| format!("pop verify {} --staker {STAKER}", file.path());
    let (named, none) = (proof(Some("a-service")), proof(None));
    assert_eq!(json(&line(&named))["valid"], true);
    assert_eq!(json(&format!("{} --service a-service", line(&named)))["valid"], true);
    let message = refused(&format!("{} --service another", line(&named)), 3, "possession-context");
    assert_eq!(message, "the proof names service a-service, not another");
    assert_eq!(json(&line(&none))["valid"], true);
    refused(&format!("{} --service a-service", line(&none)), 3, "possession-context");
}
