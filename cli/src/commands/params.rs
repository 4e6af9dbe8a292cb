//! `tapstake params`

use clap::Subcommand;
use serde::Serialize;
use tapstake_params::{Height, Schedule, StakingCap, StakingParams};

use crate::error::Result;
use crate::input::{self, KeyArg, key_arg};
use crate::network::NetworkName;
use crate::output::{Show, facts, table};
use crate::session::Session;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the parameters in force: every version, or the one at a height
    Show {
        /// The version at this height only
        #[arg(long, value_name = "HEIGHT")]
        at: Option<Height>,
        /// The last version with this committee in place of its own: a key of 32 or 33 bytes of hex, repeated
        #[arg(long, value_name = "KEY", value_parser = key_arg, requires = "quorum", conflicts_with = "at")]
        covenant: Vec<KeyArg>,
        /// How many of the committee must sign
        #[arg(long, value_name = "NUMBER", requires = "covenant")]
        quorum: Option<usize>,
    },
}

pub(crate) fn run(command: &Command, session: &Session<'_>) -> Result<()> {
    let Command::Show { at, covenant, quorum } = command;
    let schedule = session.schedule()?;
    match (at, quorum) {
        (None, None) => session.out.show(&Versions(schedule)),
        (None, Some(quorum)) => {
            let covenant = input::covenant(*quorum, covenant)?;
            let version = StakingParams { covenant, ..schedule.latest().clone() };
            session.out.show(&Versions(Schedule::new(schedule.network(), vec![version])?));
        }
        (Some(height), _) => session.out.show(&Version(schedule.at(*height)?)),
    }
    Ok(())
}

/// Every version; its JSON is a parameters file again.
#[derive(Serialize)]
#[serde(transparent)]
struct Versions(Schedule);

impl Show for Versions {
    fn text(&self) -> String {
        let header = [
            "version",
            "from",
            "covenant",
            "min sat",
            "max sat",
            "min time",
            "max time",
            "unbonding",
            "fee",
            "slashing",
            "min fee",
            "phase 1 until",
        ];
        let right = &header[..header.len() - 1];
        let rows = self.0.versions().iter().map(|version| {
            let slashing = version.slashing.as_ref();
            vec![
                version.version.to_string(),
                version.activation_height.to_string(),
                committee(version),
                version.min_staking_value.to_sat().to_string(),
                version.max_staking_value.to_sat().to_string(),
                version.min_staking_time.to_string(),
                version.max_staking_time.to_string(),
                version.unbonding_time.to_string(),
                version.unbonding_fee.to_sat().to_string(),
                slashing.map_or("-".into(), |slashing| slashing.rate.to_string()),
                slashing.map_or("-".into(), |slashing| slashing.min_fee.to_sat().to_string()),
                intake(version),
            ]
        });
        let network = NetworkName::from(self.0.network());
        format!("{network}; values in sat, times in blocks\n\n{}", table(&header, right, rows))
    }
}

/// One version; its JSON is a parameters file of one version.
#[derive(Serialize)]
#[serde(transparent)]
struct Version<'a>(&'a StakingParams);

impl Show for Version<'_> {
    fn text(&self) -> String {
        let version = self.0;
        let mut lines = vec![
            ("version", version.version.to_string()),
            ("from height", version.activation_height.to_string()),
            (
                "stake",
                format!(
                    "{} to {} sat",
                    version.min_staking_value.to_sat(),
                    version.max_staking_value.to_sat()
                ),
            ),
            ("staking time", format!("{} to {} blocks", version.min_staking_time, version.max_staking_time)),
            (
                "unbonding",
                format!("{} blocks, fee {} sat", version.unbonding_time, version.unbonding_fee.to_sat()),
            ),
        ];
        if let Some(slashing) = &version.slashing {
            let (rate, fee, script) = (slashing.rate, slashing.min_fee.to_sat(), &slashing.pk_script);
            lines.push(("slashing", format!("{rate} of the stake to {script:x}, fee from {fee} sat")));
        }
        lines.push(("phase 1 until", intake(version)));
        lines.push(("covenant", committee(version)));
        lines.extend(version.covenant.keys().iter().map(|key| ("", key.to_string())));
        facts(lines)
    }
}

fn committee(version: &StakingParams) -> String {
    format!("{} of {}", version.covenant.threshold(), version.covenant.keys().len())
}

fn intake(version: &StakingParams) -> String {
    match version.phase_1.as_ref().map(|phase_1| phase_1.cap) {
        None => "-".into(),
        Some(StakingCap::Height(last)) => format!("height {last}"),
        Some(StakingCap::Value(total)) => format!("{} sat in all", total.to_sat()),
    }
}
