//! Rules 16 and 17: what a service asks for.

use alloc::string::ToString;

use bitcoin::Network;
use bitcoin::key::Secp256k1;
use tapstake_crypto::pop::{Account, AccountKind, Context, PossessionForm, ProofOfPossession};
use tapstake_tx::delegation::DelegationError;

use crate::tests::fixture::*;
use crate::{AccountRule, Rule, VerifyError};

use super::service::*;

#[test]
fn possession_of_the_stakers_key_is_proven() {
    let missing = Service::broken(|service| service.parts().possession = None);
    assert_eq!(missing, VerifyError::from(DelegationError::PossessionMissing));
    assert_eq!(missing.rule().to_string(), "rule 16 (possession)");
    let another = Service::broken(|service| service.parts().possession = Some(possession(9, None)));
    assert!(matches!(delegation_error(&another), DelegationError::Possession(_)));
    assert_eq!(another.rule(), Rule::Possession);
    let moved = Service::broken(|service| {
        service.parts().possession.as_mut().unwrap().account = Account::from_raw(&[0xac; 20]).unwrap();
    });
    assert_eq!(moved.rule(), Rule::Possession);
}

#[test]
fn the_policy_says_which_forms_of_possession_it_takes() {
    let secp = Secp256k1::new();
    let staker = pair(3);
    let proofs = [
        possession(3, None),
        ProofOfPossession::bip322_p2tr(&secp, &staker, account(), None, &[0; 32]),
        ProofOfPossession::bip322_p2wpkh(&secp, &staker, account(), None),
        ProofOfPossession::bip137(&secp, &staker, account(), None),
    ];
    for proof in proofs {
        let mut service = Service::honest();
        let form = proof.form();
        service.parts().possession = Some(proof);
        assert!(service.verify().is_ok(), "{form}");
        service.policy.possession_forms = alloc::vec![form];
        assert!(service.verify().is_ok(), "{form}");
        service.policy.possession_forms =
            PossessionForm::ALL.into_iter().filter(|other| *other != form).collect();
        let error = service.verify().unwrap_err();
        let accepted = service.policy.possession_forms.clone();
        assert_eq!(error, VerifyError::PossessionForm { form, accepted });
        assert_eq!(error.rule(), Rule::PossessionForm);
    }
}

#[test]
fn possession_is_proven_for_this_service_on_this_network() {
    let required = |found: Option<Context>, expected: Option<Context>| {
        let mut service = Service::honest();
        service.parts().possession = Some(possession(3, found));
        service.policy.possession_context = expected;
        service.verify()
    };
    assert!(required(None, None).is_ok());
    assert!(required(Some(context()), Some(context())).is_ok());
    let other_service = Context::new("another-service", Network::Regtest).unwrap();
    let other_network = Context::new("a-service", Network::Signet).unwrap();
    for (found, expected) in [
        (None, Some(context())),
        (Some(context()), None),
        (Some(other_service), Some(context())),
        (Some(other_network), Some(context())),
    ] {
        let error = required(found.clone(), expected.clone()).unwrap_err();
        assert_eq!(error, VerifyError::PossessionContext { found, expected });
        assert_eq!(error.rule(), Rule::PossessionContext);
    }
    // A policy that asks for proofs of another network than the stake's is none for it.
    let signet = Context::new("a-service", Network::Signet).unwrap();
    let error = required(Some(signet.clone()), Some(signet)).unwrap_err();
    assert_eq!(error.to_string(), "proof is of regtest, the service's proofs of possession of signet");
    assert_eq!(error.rule(), Rule::Network);
    // The account's signature does not become one for a service by saying so.
    let mut service = Service::honest();
    service.parts().possession.as_mut().unwrap().context = Some(context());
    service.policy.possession_context = Some(context());
    assert_eq!(service.verify().unwrap_err().rule(), Rule::Possession);
}

#[test]
fn an_account_of_another_kind_or_prefix_than_the_service_has_is_refused_though_it_is_signed() {
    let secp = Secp256k1::new();
    let bech32 = |prefix: &str| {
        let prefix = bitcoin::bech32::Hrp::parse(prefix).unwrap();
        let address = bitcoin::bech32::encode::<bitcoin::bech32::Bech32>(prefix, &[0xab; 20]).unwrap();
        Account::bech32(&address).unwrap()
    };
    let text = Account::text(bech32("bbn").as_text()).unwrap();
    // Three accounts under one plain signature, and a text that is signed as the address of its letters.
    let accounts = [bech32("bbn"), bech32("osmo"), account(), text];
    let rules = ["bech32:bbn", "bech32:osmo", "hex", "text"];
    let proofs = accounts.clone().map(|account| match account.kind() {
        AccountKind::Text => ProofOfPossession::bip137(&secp, &pair(3), account, None),
        _ => ProofOfPossession::bip340(&secp, &pair(3), account, None, &[0; 32]),
    });
    assert_eq!(proofs[0].signature, proofs[1].signature);
    assert_eq!(proofs[0].signature, proofs[2].signature);

    let mut service = Service::honest();
    for (proof, account) in proofs.into_iter().zip(accounts) {
        service.parts().possession = Some(proof);
        service.policy.accounts = AccountRule::Any;
        assert_eq!(*service.verify().unwrap().account(), account);
        let taken = rules.map(|rule| {
            service.policy.accounts = rule.parse().unwrap();
            match service.verify() {
                Ok(_) => true,
                Err(error) => {
                    let expected = (account.clone(), service.policy.accounts.clone());
                    assert_eq!(error, VerifyError::PossessionAccount(expected.into()));
                    assert_eq!(error.rule().to_string(), "rule 16 (possession-account)");
                    false
                }
            }
        });
        assert_eq!(taken.iter().filter(|taken| **taken).count(), 1, "{account}");
    }
    // Nor is a part of the prefix the prefix.
    service.parts().possession =
        Some(ProofOfPossession::bip340(&secp, &pair(3), bech32("bbn"), None, &[0; 32]));
    for rule in ["bech32:bb", "bech32:bbn1", "bech32:b"] {
        service.policy.accounts = rule.parse().unwrap();
        assert_eq!(service.verify().unwrap_err().rule(), Rule::PossessionAccount, "{rule}");
    }
}

#[test]
fn a_provider_that_the_service_does_not_know_secures_it_not() {
    let mut service = Service::honest();
    service.policy.providers = [key(7)].into();
    let error = service.verify().unwrap_err();
    assert_eq!(error, VerifyError::UnknownProviders { providers: alloc::vec![key(5)] });
    assert_eq!(error.rule().to_string(), "rule 17 (known-provider)");
}

#[test]
fn a_slashed_provider_is_refused_whichever_service_it_voted_for() {
    let mut service = Service::with_two_providers();
    assert!(service.verify().is_ok());
    for slashed in [key(5), key(7)] {
        service.policy.slashed_providers = [slashed].into();
        let error = service.verify().unwrap_err();
        assert_eq!(error, VerifyError::SlashedProvider { provider: slashed });
        assert_eq!(error.rule(), Rule::SlashedProvider);
    }
}

#[test]
fn a_provider_slashed_before_activation_does_not_come_back_with_a_pending_stake() {
    let mut service = Service::with_two_providers();
    let pending = service.verify().unwrap();
    service.policy.providers.insert(key(7));
    let active = pending.clone().recheck_providers(&service.policy).unwrap();
    assert_eq!(active.known_providers().len(), 2, "as the service knows them now");
    service.policy.slashed_providers = [key(5)].into();
    let error = pending.clone().recheck_providers(&service.policy).unwrap_err();
    assert_eq!(error, VerifyError::SlashedProvider { provider: key(5) });
    service.policy.slashed_providers.clear();
    service.policy.providers.clear();
    assert_eq!(pending.recheck_providers(&service.policy).unwrap_err().rule(), Rule::KnownProvider);
}
