//! One lock, several uses: the books over the stakes of the story, entered as it is told.

use bitcoin::{Amount, OutPoint, XOnlyPublicKey};
use tapstake_params::Height;
use tapstake_restake::{
    Allocation, Denomination, End, Event, HolderId, PartsPerMillion, PoolId, ServiceId, ServiceTerms,
};
use tapstake_verifier::equivocation::VerifiedEquivocation;

use super::report::Step;
use super::story::{Story, Told, step};
use crate::error::{Error, Result};

/// The services, each with the coin that it pays in, its reward, and its provider's commission in percent.
pub(super) const SERVICES: [(&str, &str, u128, u32); 2] =
    [("first-service", "ufirst", 1_000_003, 5), ("second-service", "usecond", 3_000_001, 10)];
const POOL: &str = "pool";
/// Who brings the stakes, and who takes receipts over.
const HOLDERS: [&str; 2] = ["staker", "buyer"];

pub(super) fn pool() -> Result<PoolId> {
    Ok(PoolId::new(POOL)?)
}

pub(super) fn service(number: usize) -> Result<ServiceId> {
    Ok(ServiceId::new(SERVICES[number].0)?)
}

fn holder(number: usize) -> Result<HolderId> {
    Ok(HolderId::new(HOLDERS[number])?)
}

fn outpoint(told: &Told) -> OutPoint {
    told.stake().outpoint()
}

pub(super) fn ensure(holds: bool, otherwise: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::failed(otherwise)) }
}

impl Story<'_> {
    /// Two services, each with a provider, and two stakes: the first secures both services, the second one.
    pub(super) fn secure(&mut self, both: &Told, one: &Told, providers: [XOnlyPublicKey; 2]) -> Result<()> {
        let (height, params) = (self.tip()?, self.params());
        let rules = params.slashing.ok_or_else(|| Error::failed("the parameters do not say how to slash"))?;
        for (number, (_, coin, _, percent)) in SERVICES.into_iter().enumerate() {
            let terms = ServiceTerms {
                denomination: Denomination::new(coin)?,
                slashing_rate: rules.rate,
                unbonding_time: params.unbonding_time,
                leverage_limit: PartsPerMillion::new(2_000_000),
            };
            let commission = PartsPerMillion::percent(percent).unwrap_or_default();
            self.books.enter(height, Event::RegisterService { service: service(number)?, terms })?;
            let (service, provider) = (service(number)?, providers[number]);
            self.books.enter(height, Event::RegisterProvider { service, provider, commission })?;
        }
        for (told, services) in [(both, &[0, 1][..]), (one, &[1])] {
            self.books.enter(height, Event::admit(&told.verified))?;
            for number in services {
                let (stake, service) = (outpoint(told), service(*number)?);
                self.books
                    .enter(height, Event::Allocate { stake, service, allocation: Allocation::Shared })?;
            }
            let exposure = self.books.book.exposure(&outpoint(told))?;
            let (nominal, slashable) = (exposure.nominal_total(), exposure.slashable.to_sat());
            self.step(Step {
                stake: Some(told.name),
                what: "secure services",
                value: Some(exposure.value),
                height: Some(height),
                note: Some(format!(
                    "{} of them: counts {nominal} sat, slashable {slashable} once",
                    services.len()
                )),
                ..step()
            });
        }
        Ok(())
    }

    /// Both services pay, and the stake that secures both claims from both.
    pub(super) fn reward(&mut self, both: &Told, providers: [XOnlyPublicKey; 2]) -> Result<()> {
        let height = self.mine(1)?;
        let mut claimed = Vec::new();
        for (number, (name, coin, amount, percent)) in SERVICES.into_iter().enumerate() {
            let (service, denomination) = (service(number)?, Denomination::new(coin)?);
            let event = Event::Reward { service, provider: providers[number], denomination, amount };
            self.books.enter(height, event)?;
            self.step(Step {
                what: "service pays",
                height: Some(height),
                note: Some(format!("{name}: {amount} {coin}, {percent}% to its provider")),
                ..step()
            });
        }
        for (number, (_, coin, ..)) in SERVICES.into_iter().enumerate() {
            let (stake, service) = (outpoint(both), service(number)?);
            claimed.push(format!("{} {coin}", self.books.book.claimable(&stake, &service)?));
            self.books.enter(height, Event::Claim { stake, service })?;
        }
        self.step(Step {
            stake: Some(both.name),
            what: "claim rewards",
            height: Some(height),
            note: Some(claimed.join(", ")),
            ..step()
        });
        Ok(())
    }

    /// Receipts over both stakes; half of the first stake's are passed on, and wait to leave.
    pub(super) fn issue(&mut self, stakes: [&Told; 2]) -> Result<()> {
        let height = self.mine(1)?;
        let unbonding_time = self.params().unbonding_time;
        self.books.enter(height, Event::OpenPool { pool: pool()?, unbonding_time })?;
        for told in stakes {
            let before = self.books.pool()?.supply();
            let event = Event::Mint { pool: pool()?, holder: holder(0)?, stake: outpoint(told) };
            self.books.enter(height, event)?;
            self.step(Step {
                stake: Some(told.name),
                what: "mint receipts",
                value: Some(told.stake().value()),
                height: Some(height),
                note: Some(format!("{} shares to the staker", self.books.pool()?.supply() - before)),
                ..step()
            });
        }
        let half = stakes[0].stake().value() / 2;
        let shares = self.books.pool()?.shares_floor(half).unwrap_or_default();
        let event = Event::Transfer { pool: pool()?, from: holder(0)?, to: holder(1)?, shares };
        self.books.enter(height, event)?;
        self.step(Step {
            what: "transfer receipts",
            value: self.books.pool()?.value_floor(shares),
            height: Some(height),
            note: Some(format!("{shares} shares from staker to buyer")),
            ..step()
        });
        let height = self.mine(1)?;
        let event = Event::RequestExit { pool: pool()?, holder: holder(1)?, shares };
        self.books.enter(height, event)?;
        let queue = self.books.pool()?.queue();
        let matures = queue.all_mature_at().unwrap_or_default();
        self.step(Step {
            what: "queue for exit",
            value: Some(queue.total()),
            height: Some(height),
            note: Some(format!("payable from height {matures}, slashable until paid")),
            ..step()
        });
        Ok(())
    }

    /// One slashing reaches services, pool and queue, each once; nothing comes of a second.
    pub(super) fn slash_books(&mut self, told: &Told, evidence: &VerifiedEquivocation) -> Result<()> {
        let height = self.tip()?;
        let before = self.books.pool()?.clone();
        self.books.enter(height, Event::slash(evidence))?;
        let after = self.books.pool()?;
        let losses = [before.assets() - after.assets(), before.queue().total() - after.queue().total()];
        let (shares, queue) = (losses[0].to_sat(), losses[1].to_sat());
        // What the chain has just taken of the output: the refund is all that is left of it.
        let loss = told.stake().value() - told.delegation.slashing().refund().value;
        ensure(losses[0] + losses[1] == loss, "the pool and its queue did not lose what the chain took")?;
        self.books.losses = losses;
        self.step(Step {
            stake: Some(told.name),
            what: "the slash reaches the pool",
            value: Some(loss),
            height: Some(height),
            note: Some(format!("{shares} sat from shares, {queue} sat from the queue")),
            ..step()
        });
        let mut left = Vec::new();
        for (number, (name, ..)) in SERVICES.into_iter().enumerate() {
            let exposure = self.books.book.service(&service(number)?)?.exposure;
            ensure(exposure.lost == loss, "a service did not count the loss exactly once")?;
            left.push(format!("{name} {} sat", exposure.nominal));
        }
        self.step(Step {
            stake: Some(told.name),
            what: "and each service, once",
            value: Some(loss),
            height: Some(height),
            note: Some(format!("what counts now: {}", left.join(", "))),
            ..step()
        });
        self.refused_after_slashing(told, evidence, height)
    }

    fn refused_after_slashing(
        &mut self,
        told: &Told,
        evidence: &VerifiedEquivocation,
        height: Height,
    ) -> Result<()> {
        let (provider, denomination) = (evidence.provider(), Denomination::new(SERVICES[0].1)?);
        let reward = Event::Reward { service: service(0)?, provider, denomination, amount: 1 };
        for (what, event) in
            [("slash it again", Event::slash(evidence)), ("reward the slashed provider", reward)]
        {
            let Err(refusal) = self.books.enter(height, event) else {
                return Err(Error::failed(format!("the books took what they must refuse: {what}")));
            };
            self.step(Step {
                stake: Some(told.name),
                what,
                height: Some(height),
                note: Some("refused: slashed is slashed".to_owned()),
                reason: Some(refusal.to_string()),
                ..step()
            });
        }
        Ok(())
    }

    /// A stake of the pool begins to unbond: its service counts it no more, and relies on it until it could be gone.
    pub(super) fn unbonding_begins(&mut self, told: &Told, height: Height) -> Result<()> {
        self.books.enter(height, Event::EndStake { stake: outpoint(told), end: End::Unbonding })?;
        let name = service(1)?;
        let (view, exposure) = (self.books.book.service(&name)?, self.books.book.exposure(&outpoint(told))?);
        let (counts, relies_on) = (view.exposure.nominal, view.leaving_slashable);
        let until = exposure.leaving.get(&name).map(|left| left.until).unwrap_or_default();
        ensure(counts == 0 && relies_on == exposure.slashable, "a service did not rely on what has left it")?;
        self.step(Step {
            stake: Some(told.name),
            what: "and leaves its service",
            value: Some(relies_on),
            height: Some(height),
            note: Some(format!("{name} counts {counts} sat, and still relies on it below height {until}")),
            ..step()
        });
        Ok(())
    }

    /// What a stake of the pool has left has come back as cash.
    pub(super) fn back_in_pool(&mut self, told: &Told, returned: Amount) -> Result<()> {
        let height = self.tip()?;
        self.books.enter(height, Event::ReturnStake { stake: outpoint(told), returned })?;
        self.books.returned += returned;
        self.step(Step {
            stake: Some(told.name),
            what: "back in the pool as cash",
            value: Some(returned),
            height: Some(height),
            ..step()
        });
        Ok(())
    }

    /// The operator makes good what fees took, and the exit is paid.
    pub(super) fn pay_exits(&mut self) -> Result<()> {
        let mature = self.books.pool()?.queue().all_mature_at().unwrap_or_default();
        let height = self.mine_to(mature)?;
        let missing = self.books.pool()?.backing().missing();
        self.books.enter(height, Event::MakeGood { pool: pool()?, amount: missing })?;
        self.books.made_good = missing;
        self.step(Step {
            what: "make good the fees",
            value: Some(missing),
            height: Some(height),
            note: Some("by the operator, so that nobody bears them".to_owned()),
            ..step()
        });
        let exits: Vec<_> = self.books.pool()?.queue().iter().map(|(exit, _)| exit).collect();
        for exit in exits {
            let before = self.books.pool()?.cash();
            self.books.enter(height, Event::FinaliseExit { pool: pool()?, exit })?;
            self.step(Step {
                what: "pay the exit",
                value: Some(before - self.books.pool()?.cash()),
                height: Some(height),
                note: Some("from what came back, less its part of the slash".to_owned()),
                ..step()
            });
        }
        Ok(())
    }
}
