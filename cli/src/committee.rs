//! The committee of the local parameters, whose keys everybody knows.

use bitcoin::Network;
use bitcoin::key::Keypair;
use tapstake_params::{Height, StakingParams, local};
use tapstake_tx::delegation::{Delegation, DelegationPackage, Verified};

use crate::delegation;
use crate::error::Result;
use crate::session::Session;

/// As many members of the local committee as must sign. They check what they sign as any member does.
pub(crate) struct LocalCommittee(Vec<Keypair>);

impl LocalCommittee {
    /// The local committee, where it is that of the parameters; never on mainnet.
    pub(crate) fn of(session: &Session<'_>, params: &StakingParams) -> Option<Self> {
        if session.network() == Network::Bitcoin {
            return None;
        }
        let members = local::covenant_keypairs(&session.secp);
        let sits = |member: &Keypair| params.covenant.contains(&member.x_only_public_key().0);
        let members: Vec<Keypair> = members.into_iter().filter(sits).collect();
        let needed = params.covenant.threshold();
        (members.len() >= needed).then(|| LocalCommittee(members.into_iter().take(needed).collect()))
    }

    /// Has each member check the delegation by its policy and sign it.
    ///
    /// # Errors
    ///
    /// The rule by which a member refuses.
    pub(crate) fn sign(
        &self,
        session: &Session<'_>,
        mut package: DelegationPackage,
        tip: Height,
    ) -> Result<Delegation<Verified>> {
        let _ = tip;
        if let tapstake_tx::delegation::CheckedDelegation::PreSigned(signed) =
            delegation::check(session, &package)?
        {
            for member in &self.0 {
                let signatures = signed.covenant_signatures(&session.secp, member, &crate::spending::aux());
                package.parts.covenant.insert(member.x_only_public_key().0, signatures);
            }
        }
        delegation::verified(session, &package)
    }
}
