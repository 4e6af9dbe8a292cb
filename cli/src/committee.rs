//! The committee of the local parameters, whose keys everybody knows.

use bitcoin::Network;
use bitcoin::key::Keypair;
use bitcoin::secp256k1::{All, Secp256k1};
use tapstake_params::{Height, Schedule, StakingParams, local};
use tapstake_signer::covenant::{Checked, CovenantKey, LocalKey, Policy};
use tapstake_tx::delegation::{Delegation, DelegationPackage, Verified};

use crate::delegation;
use crate::error::Result;
use crate::session::Session;

/// As many members of the local committee as must sign. They check what they sign as any member does.
pub(crate) struct LocalCommittee(Vec<Keypair>);

impl LocalCommittee {
    /// The local committee, where it is that of the parameters; never on mainnet.
    pub(crate) fn of(session: &Session<'_>, params: &StakingParams) -> Option<Self> {
        Self::on(&session.secp, session.network(), params)
    }

    /// The same without a session.
    pub(crate) fn on(secp: &Secp256k1<All>, network: Network, params: &StakingParams) -> Option<Self> {
        if network == Network::Bitcoin {
            return None;
        }
        let sits = |member: &Keypair| params.covenant.contains(&member.x_only_public_key().0);
        let members: Vec<Keypair> = local::covenant_keypairs(secp).into_iter().filter(sits).collect();
        let needed = params.covenant.threshold();
        (members.len() >= needed).then(|| LocalCommittee(members.into_iter().take(needed).collect()))
    }

    /// The keys of those who sign.
    pub(crate) fn members(&self) -> &[Keypair] {
        &self.0
    }

    /// Has each member check the delegation by its policy and sign it.
    ///
    /// # Errors
    ///
    /// The rule by which a member refuses.
    pub(crate) fn sign(
        &self,
        session: &Session<'_>,
        package: DelegationPackage,
        tip: Height,
    ) -> Result<Delegation<Verified>> {
        let schedule = session.schedule()?;
        let sign = |package: DelegationPackage, member| {
            member_signs(&session.secp, &schedule, &package, member, tip)
        };
        // Where an expansion changes the quorum, members let the old stake go once the new one has it: a second round.
        let rounds = if package.expansion.is_some() { 2 } else { 1 };
        let mut members = std::iter::repeat_n(&self.0, rounds).flatten();
        let package = members.try_fold(package, sign)?;
        delegation::verified(session, &package)
    }
}

/// One member's part: it checks the delegation by the policy that members have by default, and adds its signatures.
///
/// # Errors
///
/// The rule by which it refuses.
pub(crate) fn member_signs(
    secp: &Secp256k1<All>,
    schedule: &Schedule,
    package: &DelegationPackage,
    member: &Keypair,
    tip: Height,
) -> Result<DelegationPackage> {
    let (policy, key) = (Policy::new(schedule.clone()), LocalKey::new(*member));
    let approved = Checked::new(secp, &policy, package)?.approve(secp, Some(tip))?;
    let signatures = approved.sign(&key)?;
    Ok(approved.add(secp, key.public_key(), &signatures)?)
}
