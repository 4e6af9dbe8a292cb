//! The committee of the local parameters, whose keys everybody knows.

use bitcoin::Network;
use bitcoin::key::Keypair;
use bitcoin::secp256k1::{All, Secp256k1};
use tapstake_params::{Height, Schedule, StakingParams, local};
use tapstake_tx::delegation::{CheckedDelegation, Delegation, DelegationPackage, Verified};

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
        let sign = |package, member| member_signs(&session.secp, &session.schedule()?, package, member, tip);
        let package = self.0.iter().try_fold(package, sign)?;
        delegation::verified(session, &package)
    }
}

/// One member's part: it checks the delegation by its policy, and adds its signatures.
///
/// # Errors
///
/// The rule by which it refuses.
pub(crate) fn member_signs(
    secp: &Secp256k1<All>,
    schedule: &Schedule,
    mut package: DelegationPackage,
    member: &Keypair,
    tip: Height,
) -> Result<DelegationPackage> {
    let _ = tip;
    let key = member.x_only_public_key().0;
    let (signatures, expansion) = match package.check(secp, schedule)? {
        CheckedDelegation::PreSigned(signed) => (
            signed.covenant_signatures(secp, member, &crate::spending::aux()),
            signed.expansion_signature(secp, member, &crate::spending::aux()),
        ),
        CheckedDelegation::PartlySigned(signed) => (
            signed.covenant_signatures(secp, member, &crate::spending::aux()),
            signed.expansion_signature(secp, member, &crate::spending::aux()),
        ),
        _ => return Ok(package),
    };
    package.parts.covenant.insert(key, signatures);
    if let (Some(signature), Some(part)) = (expansion, &mut package.expansion) {
        part.covenant.insert(key, signature);
    }
    Ok(package)
}
