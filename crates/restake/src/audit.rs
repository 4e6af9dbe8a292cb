//! Whether the books balance: everything that is kept as a sum, added up anew.

use alloc::collections::BTreeMap;

use bitcoin::XOnlyPublicKey;
use tapstake_params::Height;

use crate::BookError;
use crate::exposure::Exposure;
use crate::ledger::Ledger;
use crate::pool::{Pool, PooledStatus};
use crate::receipts::Receipts;
use crate::rewards::REWARD_SCALE;
use crate::stake::StakeStatus;
use crate::units::{PoolId, ServiceId};

/// Where the books do not balance. It takes a defect of this crate, or of the memory it runs in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Imbalance {
    /// What counts behind a provider is not the sum over the stakes.
    #[error("{service}: {counted} sat count for provider {provider}, the stakes make {stakes} sat")]
    Staked {
        /// The service.
        service: ServiceId,
        /// The provider.
        provider: XOnlyPublicKey,
        /// What the accumulator counts.
        counted: u64,
        /// What the stakes add up to.
        stakes: u128,
    },
    /// Paid, claimable, carried, held and given back are not what was put in.
    #[error("{service}: of {put_in} put in for provider {provider}, not exactly as much is accounted for")]
    Rewards {
        /// The service.
        service: ServiceId,
        /// The provider.
        provider: XOnlyPublicKey,
        /// What was put in.
        put_in: u128,
    },
    /// What a service has put in or paid is not the sum over its providers or over the owners.
    #[error("{service}: what was put in and paid is not what its providers and the owners of stakes make")]
    Paid {
        /// The service.
        service: ServiceId,
    },
    /// A service's exposure is not the sum over the stakes.
    #[error("{service}: exposure {counted:?} is not {stakes:?}")]
    Exposure {
        /// The service.
        service: ServiceId,
        /// What the service counts.
        counted: Exposure,
        /// What the stakes add up to.
        stakes: Exposure,
    },
    /// A stake that has ended still counts, or one of a slashed provider lives.
    #[error("stake {outpoint} is {status} and counts or lives nevertheless")]
    Ended {
        /// The stake.
        outpoint: bitcoin::OutPoint,
        /// Its status.
        status: StakeStatus,
    },
    /// What stakes have left and stand for is not what ends at later heights.
    #[error("what stakes have left at services does not end at later heights, each once")]
    Leaving,
    /// A pool's flows, shares, stakes or exits are not the sums of their parts.
    #[error("pool {pool}: {what}")]
    Pool {
        /// The pool.
        pool: PoolId,
        /// What is not.
        what: &'static str,
    },
    /// Stakes with receipts are not the stakes of the pools.
    #[error("receipts were minted for {minted} stakes, the pools have {pooled}")]
    Minted {
        /// The stakes that were minted for.
        minted: usize,
        /// The stakes of all pools.
        pooled: usize,
    },
    /// A sum does not fit.
    #[error(transparent)]
    Sum(#[from] BookError),
}

/// What the stakes add up to behind one provider.
#[derive(Default, Clone, Copy)]
struct Sums {
    nominal: u128,
    owed: u128,
    fractions: u128,
}

pub(crate) fn check(ledger: &Ledger, height: Height) -> Result<(), Imbalance> {
    let registry = &ledger.registry;
    if !ledger.leaving_agrees(height) {
        return Err(Imbalance::Leaving);
    }
    let mut sums: BTreeMap<usize, Sums> = BTreeMap::new();
    let mut exposures: BTreeMap<u32, Exposure> = BTreeMap::new();
    for stake in ledger.stakes.iter() {
        let mut nominal: BTreeMap<u32, u128> = BTreeMap::new();
        for position in &stake.positions {
            let accumulator = &registry.accumulators[position.accumulator];
            let settled = position.settled(&accumulator.rewards)?;
            let sum = sums.entry(position.accumulator as usize).or_default();
            sum.nominal += u128::from(position.nominal);
            sum.owed = sum.owed.checked_add(settled.owed).ok_or(BookError::Overflow("all claims"))?;
            sum.fractions += u128::from(settled.fraction);
            *nominal.entry(accumulator.service).or_default() += u128::from(position.nominal);
        }
        let mut keys = stake.providers.iter().map(|provider| &registry.providers[*provider].key);
        let slashed = keys.any(|key| registry.slashed.contains_key(key));
        let active = stake.status == StakeStatus::Active;
        if (!active && nominal.values().any(|nominal| *nominal > 0)) || (active && slashed) {
            return Err(Imbalance::Ended { outpoint: stake.outpoint, status: stake.status });
        }
        for (service, nominal) in nominal {
            let exposure = exposures.entry(service).or_insert(Exposure::NONE);
            *exposure = exposure.with_nominal(stake.slashable(), 0, nominal)?;
        }
    }
    for (index, accumulator) in registry.accumulators.iter().enumerate() {
        let (sum, rewards) = (sums.get(&index).copied().unwrap_or_default(), &accumulator.rewards);
        let service = || registry.services[accumulator.service].name.clone();
        let provider = registry.providers[accumulator.provider].key;
        if u128::from(rewards.staked) != sum.nominal {
            let (counted, stakes) = (rewards.staked, sum.nominal);
            return Err(Imbalance::Staked { service: service(), provider, counted, stakes });
        }
        let fractions = sum.fractions + rewards.carry;
        let parts = [
            rewards.paid,
            sum.owed,
            rewards.held,
            rewards.commission,
            rewards.commission_paid,
            rewards.given_back,
            fractions / REWARD_SCALE,
        ];
        let accounted = parts.iter().try_fold(0u128, |sum, part| sum.checked_add(*part));
        let accounted = accounted.filter(|_| fractions % REWARD_SCALE == 0);
        if accounted != Some(rewards.put_in) {
            let put_in = rewards.put_in;
            return Err(Imbalance::Rewards { service: service(), provider, put_in });
        }
    }
    let mut owners = BTreeMap::<u32, Option<u128>>::new();
    for (service, paid) in ledger.owners.iter().flat_map(|owner| &owner.paid) {
        let sum = owners.entry(*service).or_insert(Some(0));
        *sum = sum.and_then(|sum| sum.checked_add(*paid));
    }
    for (index, service) in (0u32..).zip(registry.services.iter()) {
        let accumulators = || service.providers.values().map(|at| &registry.accumulators[*at].rewards);
        let put_in = accumulators().try_fold(0u128, |sum, rewards| sum.checked_add(rewards.put_in));
        let paid = accumulators().try_fold(0u128, |sum, rewards| sum.checked_add(rewards.paid));
        let owners = owners.get(&index).copied().unwrap_or(Some(0));
        if put_in != Some(service.put_in) || paid.is_none() || paid != owners {
            return Err(Imbalance::Paid { service: service.name.clone() });
        }
        let stakes = exposures.get(&index).copied().unwrap_or(Exposure::NONE);
        let stakes = Exposure { lost: service.exposure.lost, ..stakes };
        if service.exposure != stakes {
            let (service, counted) = (service.name.clone(), service.exposure);
            return Err(Imbalance::Exposure { service, counted, stakes });
        }
    }
    Ok(())
}

pub(crate) fn check_receipts(ledger: &Ledger, receipts: &Receipts) -> Result<(), Imbalance> {
    for (name, pool) in receipts.pools() {
        let wrong = |what| Imbalance::Pool { pool: name.clone(), what };
        check_pool(pool).map_err(wrong)?;
        for (outpoint, pooled) in pool.stakes() {
            let stake = &ledger.stakes[ledger.stake_id(outpoint)?];
            let minted = stake.pool.map(|pool| receipts.name(pool)) == Some(name);
            let slashed = stake.status == StakeStatus::Slashed;
            let agrees = match pooled.status {
                PooledStatus::Live => stake.loss_now().is_some() && pooled.value == stake.value,
                PooledStatus::Slashed => slashed,
                PooledStatus::Ended => stake.status != StakeStatus::Active,
            };
            if !minted || !agrees {
                return Err(wrong("a stake is not what the books say it is"));
            }
        }
    }
    let minted = ledger.stakes.iter().filter(|stake| stake.pool.is_some()).count();
    let pooled = receipts.pools().map(|(_, pool)| pool.stakes().len()).sum::<usize>();
    if minted != pooled {
        return Err(Imbalance::Minted { minted, pooled });
    }
    for (name, _, _) in receipts.lrt_pools() {
        let (lrt, pool) = receipts.lrt_pool(name)?;
        let wrong = |what| Imbalance::Pool { pool: name.clone(), what };
        if pool.balance(lrt.account()) < lrt.assets() {
            return Err(wrong("the account beneath has less than is counted"));
        }
        if lrt.holders().map(|(_, shares)| shares).sum::<u128>() != lrt.supply() {
            return Err(wrong("the holders' shares are not the supply"));
        }
    }
    Ok(())
}

fn check_pool(pool: &Pool) -> Result<(), &'static str> {
    let flows = pool.flows();
    let (assets, queued) = (pool.assets().to_sat().into(), pool.queue().total().to_sat().into());
    let came = flows.minted + flows.rewards + flows.recovered;
    if came != [assets, queued, flows.lost, flows.paid].iter().sum::<u128>() {
        return Err("minted, earned and recovered is not held, queued, lost and paid");
    }
    let cash = u128::from(pool.cash().to_sat());
    if flows.rewards + flows.returned + flows.made_good != cash + flows.taken + flows.paid {
        return Err("earned, returned and made good is not cash, taken and paid");
    }
    if pool.holders().map(|(_, shares)| shares).sum::<u128>() != pool.supply() {
        return Err("the holders' shares are not the supply");
    }
    let claims: u64 = pool.queue().iter().map(|(_, exit)| exit.claim.to_sat()).sum();
    if claims != pool.queue().total().to_sat() {
        return Err("the exits' claims are not the queue");
    }
    let staked: u64 = pool.stakes().map(|(_, stake)| stake.value.to_sat()).sum();
    if staked + pool.cash().to_sat() != pool.backing().reserves.to_sat() {
        return Err("stakes and cash are not the reserves");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use bitcoin::hashes::Hash;
    use bitcoin::key::{Keypair, Secp256k1};
    use bitcoin::{Amount, OutPoint};
    use tapstake_crypto::pop::Account;
    use tapstake_params::{SlashingRate, Timelock};

    use super::*;
    use crate::event::Event;
    use crate::rewards::Position;
    use crate::{
        AdmittedStake, Allocation, Denomination, HolderId, JournalledStake, PartsPerMillion, ServiceTerms,
    };

    /// A stake that secures one service, has earned and was minted for.
    fn books() -> (Ledger, Receipts) {
        let provider = Keypair::from_seckey_slice(&Secp256k1::new(), &[5; 32]).unwrap().x_only_public_key().0;
        let (service, pool) = (ServiceId::new("a").unwrap(), PoolId::new("p").unwrap());
        let (height, unbonding_time) = (Height::new(10), Timelock::new(100).unwrap());
        let outpoint = OutPoint { vout: 1, ..OutPoint::null() };
        let output = |byte| OutPoint::new(bitcoin::Txid::from_byte_array([byte; 32]), 0);
        let stake = AdmittedStake::try_from(JournalledStake {
            outpoint,
            spends: vec![output(7)],
            unbonding: output(8),
            value: Amount::from_sat(70_001),
            slashed: Amount::from_sat(7_000),
            refund: Amount::from_sat(62_000),
            unbonding_refund: Amount::from_sat(61_000),
            owner: Account::text("owner").unwrap(),
            providers: vec![provider],
            inclusion_height: Height::new(1),
            expires_at: Height::new(1_000),
            unbonding_time,
        });
        let terms = ServiceTerms {
            denomination: Denomination::new("ua").unwrap(),
            slashing_rate: SlashingRate::from_ten_thousandths(1_000).unwrap(),
            unbonding_time,
            leverage_limit: PartsPerMillion::ONE,
        };
        let (mut ledger, mut receipts) = (Ledger::default(), Receipts::default());
        ledger.registry.register_service(&service, &terms).unwrap();
        ledger.registry.register_provider(&service, &provider, PartsPerMillion::new(50_000)).unwrap();
        ledger.enter(&stake.unwrap(), None).unwrap();
        ledger.allocate(&outpoint, &service, &Allocation::Shared, height).unwrap();
        ledger.reward(&service, &provider, &terms.denomination, 1_000, Height::new(11)).unwrap();
        receipts.change(&Event::OpenPool { pool: pool.clone(), unbonding_time }, height).unwrap();
        receipts.mint(&mut ledger, &pool, &HolderId::new("alice").unwrap(), &outpoint, height).unwrap();
        (ledger, receipts)
    }

    /// What is found in books that balance but for this change.
    fn tampered(change: impl FnOnce(&mut Ledger)) -> Imbalance {
        let (mut ledger, receipts) = books();
        let check =
            |ledger: &Ledger| check(ledger, Height::new(11)).and_then(|()| check_receipts(ledger, &receipts));
        check(&ledger).unwrap();
        change(&mut ledger);
        check(&ledger).unwrap_err()
    }

    #[test]
    fn a_base_unit_too_many_or_too_few_is_found() {
        let rewards: [fn(&mut crate::Rewards); 9] = [
            |rewards| rewards.put_in += 1,
            |rewards| rewards.paid += 1,
            |rewards| rewards.held += 1,
            |rewards| rewards.commission -= 1,
            |rewards| rewards.commission_paid += 1,
            |rewards| rewards.carry += 1,
            |rewards| rewards.given_back += 1,
            |rewards| rewards.per_sat.fraction += 1,
            |rewards| rewards.per_sat.whole += 1,
        ];
        for change in rewards {
            let found = tampered(|ledger| change(&mut ledger.registry.accumulators[0].rewards));
            assert!(matches!(found, Imbalance::Rewards { .. }), "{found}");
        }
        let positions: [fn(&mut Position); 2] =
            [|position| position.owed += 1, |position| position.fraction += 1];
        for change in positions {
            let found = tampered(|ledger| change(&mut ledger.stakes[0].positions[0]));
            assert!(matches!(found, Imbalance::Rewards { .. }), "{found}");
        }
    }

    #[test]
    fn a_satoshi_that_counts_too_often_is_found() {
        let found = tampered(|ledger| ledger.registry.accumulators[0].rewards.staked += 1);
        assert!(matches!(found, Imbalance::Staked { counted: 70_002, stakes: 70_001, .. }), "{found}");
        let exposures: [fn(&mut Exposure); 3] = [
            |exposure| exposure.nominal -= 1,
            |exposure| exposure.stakes += 1,
            |exposure| exposure.slashable += Amount::ONE_SAT,
        ];
        for change in exposures {
            let found = tampered(|ledger| change(&mut ledger.registry.services[0].exposure));
            assert!(matches!(found, Imbalance::Exposure { .. }), "{found}");
        }
    }

    #[test]
    fn what_is_left_and_does_not_end_when_it_should_is_found() {
        let (mut ledger, _) = books();
        let (outpoint, service) = (ledger.stakes[0].outpoint, ServiceId::new("a").unwrap());
        ledger.allocate(&outpoint, &service, &Allocation::Withdrawn, Height::new(11)).unwrap();
        check(&ledger, Height::new(110)).unwrap();
        let end = |stake| (Height::new(111), stake, 0);
        let mut changed = [0; 4].map(|_| ledger.clone());
        changed[0].tamper_leaving().remove(&(0, 0)).unwrap();
        assert!(changed[1].tamper_leaving_ends().remove(&end(0)));
        assert!(changed[2].tamper_leaving_ends().insert(end(1)));
        changed[3].tamper_leaving().get_mut(&(0, 0)).unwrap().until = Height::new(112);
        for (n, changed) in changed.iter().enumerate() {
            assert_eq!(check(changed, Height::new(110)), Err(Imbalance::Leaving), "{n}");
        }
        // It is over at height 111, and should be forgotten there.
        assert_eq!(check(&ledger, Height::new(111)), Err(Imbalance::Leaving));
        ledger.forget(Height::new(111));
        check(&ledger, Height::new(111)).unwrap();
    }

    #[test]
    fn a_stake_that_lives_on_is_found() {
        let found = tampered(|ledger| ledger.stakes[0].status = StakeStatus::Spent);
        assert!(matches!(found, Imbalance::Ended { .. }), "{found}");
        let found = tampered(|ledger| {
            let key = ledger.registry.providers[0].key;
            ledger.registry.slashed.insert(key, Height::new(11));
        });
        assert!(matches!(found, Imbalance::Ended { .. }), "{found}");
    }

    #[test]
    fn a_receipt_without_its_stake_is_found() {
        let found = tampered(|ledger| ledger.stakes[0].value += Amount::ONE_SAT);
        assert!(matches!(found, Imbalance::Pool { .. }), "{found}");
        let found = tampered(|ledger| ledger.stakes[0].pool = None);
        assert!(matches!(found, Imbalance::Pool { .. }), "{found}");
    }

    /// What is found in books whose only pool was changed like this.
    fn tampered_pool(change: impl FnOnce(&mut Pool)) -> Imbalance {
        let (ledger, mut receipts) = books();
        let (pool, holder) = (PoolId::new("p").unwrap(), HolderId::new("alice").unwrap());
        let exit = Event::RequestExit { pool: pool.clone(), holder, shares: 7_000_000 };
        receipts.change(&exit, Height::new(10)).unwrap();
        check_receipts(&ledger, &receipts).unwrap();
        change(receipts.tamper_pool(&pool));
        check_receipts(&ledger, &receipts).unwrap_err()
    }

    #[test]
    fn a_satoshi_or_a_share_too_many_or_too_few_in_a_pool_is_found() {
        type Change = (fn(&mut Pool), &'static str);
        let pools: [Change; 5] = [
            (|pool| pool.tamper_shares().gain(1).unwrap(), "minted, earned"),
            (|pool| pool.tamper_shares().reduce_to(0), "minted, earned"),
            (|pool| pool.tamper_shares().conjure(), "shares are not the supply"),
            (|pool| pool.tamper_queue().forget(), "claims are not the queue"),
            (Pool::tamper_staked, "not the reserves"),
        ];
        for (change, part) in pools {
            let found = tampered_pool(change);
            assert!(matches!(&found, Imbalance::Pool { what, .. } if what.contains(part)), "{part}: {found}");
        }
    }

    #[test]
    fn a_stake_that_was_minted_for_and_is_in_no_pool_is_found() {
        let found = tampered(|ledger| {
            let mut stray = ledger.stakes[0].clone();
            (stray.outpoint.vout, stray.positions) = (2, vec![]);
            ledger.stakes.push(stray);
        });
        assert_eq!(found, Imbalance::Minted { minted: 2, pooled: 1 });
    }

    #[test]
    fn receipts_over_receipts_that_do_not_add_up_are_found() {
        let (ledger, mut receipts) = books();
        let [name, over] = ["l", "p"].map(|name| PoolId::new(name).unwrap());
        let (holder, height) = (HolderId::new("alice").unwrap(), Height::new(10));
        let leverage_limit = PartsPerMillion::ONE;
        receipts
            .change(&Event::OpenLrt { pool: name.clone(), over: over.clone(), leverage_limit }, height)
            .unwrap();
        let deposit = Event::LrtDeposit { pool: name.clone(), holder: holder.clone(), shares: 1_000 };
        receipts.change(&deposit, height).unwrap();
        check_receipts(&ledger, &receipts).unwrap();

        let mut robbed = receipts.clone();
        let account = robbed.tamper_lrt(&name).account().clone();
        robbed.tamper_pool(&over).transfer(&account, &holder, 1).unwrap();
        let found = check_receipts(&ledger, &robbed).unwrap_err();
        assert!(matches!(&found, Imbalance::Pool { what, .. } if what.contains("beneath")), "{found}");

        receipts.tamper_lrt(&name).tamper_shares().conjure();
        let found = check_receipts(&ledger, &receipts).unwrap_err();
        assert!(matches!(&found, Imbalance::Pool { what, .. } if what.contains("supply")), "{found}");
    }
}
