//! Every single departure from the parameters and from the policy, and the rule by which a member refuses it.
//!
//! Each row changes one thing in a delegation that is signed otherwise. Whatever hangs on the change follows it: the slashing
//! of the unbonding output spends the changed unbonding transaction, and the staker signs what changed.

mod policy;
mod signatures;
mod transactions;

use tapstake_params::Height;
use tapstake_signer::covenant::{Checked, Policy, Refusal};
use tapstake_tx::delegation::DelegationPackage;

use crate::world::{MEMBERS, Make, key, member, params, secp};

/// A delegation, the policy of the member that is asked to sign it, and the tip it knows.
struct Case {
    package: DelegationPackage,
    policy: Policy,
    tip: Option<Height>,
}

impl Case {
    fn new() -> Self {
        Case {
            package: Make::default().package(),
            policy: crate::world::policy(vec![params()]),
            tip: Some(Height::new(50)),
        }
    }

    /// Signs as a member without a folder does.
    fn ask(&self) -> Result<DelegationPackage, Refusal> {
        let secp = secp();
        let approved = Checked::new(&secp, &self.policy, &self.package)?.approve(&secp, self.tip)?;
        let signatures = approved.sign(&member(0)).unwrap();
        Ok(approved.add(&secp, key(MEMBERS), &signatures).unwrap())
    }
}

/// What a row of the table does, the rule it breaks, and what the refusal says of the values.
type Row = (&'static str, fn(&mut Case), &'static str, &'static str);

fn check(row: &str, case: &Case, rule: &str, text: &str) {
    let refusal = case.ask().expect_err(row);
    assert_eq!(refusal.rule(), rule, "{row}: {refusal}");
    assert!(refusal.to_string().contains(text), "{row}: {refusal:?} does not say {text:?}: {refusal}");
}

fn rows(rows: &[Row]) {
    for (row, change, rule, text) in rows {
        let mut case = Case::new();
        change(&mut case);
        check(row, &case, rule, text);
    }
}

#[test]
fn a_member_signs_what_keeps_every_rule() {
    let signed = Case::new().ask().unwrap();
    assert_eq!(signed.parts.covenant.keys().collect::<Vec<_>>(), [&key(MEMBERS)]);
}
