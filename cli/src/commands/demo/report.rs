//! What the demo tells: a line a step, or one document of all of them.

use std::time::{Duration, Instant};

use bitcoin::{Amount, Txid};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tapstake_params::Height;

use crate::output::to_stdout;

/// One step of the story.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Step {
    /// Which of the stakes, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stake: Option<&'static str>,
    /// What happened.
    pub(crate) what: &'static str,
    /// The transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) txid: Option<Txid>,
    /// What it moved.
    #[serde(rename = "value_sat", skip_serializing_if = "Option::is_none", with = "sat")]
    pub(crate) value: Option<Amount>,
    /// What it paid to miners.
    #[serde(rename = "fee_sat", skip_serializing_if = "Option::is_none", with = "sat")]
    pub(crate) fee: Option<Amount>,
    /// The height it was at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) height: Option<Height>,
    /// What else is worth a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
    /// Why something was refused, in full: for the document only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

mod sat {
    use bitcoin::Amount;
    use serde::{Serialize, Serializer};

    #[allow(clippy::ref_option, reason = "the form that serde calls")]
    pub(super) fn serialize<S: Serializer>(value: &Option<Amount>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(Amount::to_sat).serialize(serializer)
    }
}

/// The steps so far, printed as they come unless they are to be one document.
pub(crate) struct Report {
    started: Instant,
    json: bool,
    steps: Vec<Step>,
}

impl Report {
    pub(crate) fn new(json: bool) -> Self {
        Report { started: Instant::now(), json, steps: Vec::new() }
    }

    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// A title above the lines that follow.
    pub(crate) fn chapter(&self, title: &str) {
        self.line(&format!("\n{title}"));
    }

    pub(crate) fn step(&mut self, step: Step) {
        let column = |text: Option<String>| text.unwrap_or_default();
        let line = format!(
            "{:>3}  {:<1} {:<31} {:<14} {:>15}  {:>8}  {:>6}  {}",
            self.steps.len() + 1,
            step.stake.unwrap_or_default(),
            step.what,
            column(step.txid.map(short)),
            column(step.value.map(btc)),
            column(step.fee.map(|fee| fee.to_sat().to_string())),
            column(step.height.map(|height| height.to_string())),
            column(step.note.clone()),
        );
        self.steps.push(step);
        self.line(line.trim_end());
    }

    pub(crate) fn header(&self) {
        self.line(&format!(
            "{:>3}  {:<1} {:<31} {:<14} {:>15}  {:>8}  {:>6}",
            "", "", "what", "txid", "value", "fee sat", "height"
        ));
    }

    pub(crate) fn line(&self, text: &str) {
        if !self.json {
            to_stdout(text);
        }
    }
}

/// The first eight and last four digits: enough to tell transactions of one story apart.
fn short(txid: Txid) -> String {
    let hex = txid.to_string();
    format!("{}…{}", &hex[..8], &hex[60..])
}

fn btc(value: Amount) -> String {
    format!("{:.8} BTC", value.display_in(bitcoin::Denomination::Bitcoin))
}

/// A bar on standard error while blocks are mined; invisible where that is no terminal.
pub(crate) fn mining_bar(blocks: u32) -> ProgressBar {
    let style =
        ProgressStyle::with_template("     mining {bar:30} {pos}/{len} blocks").expect("a valid template");
    ProgressBar::new(blocks.into()).with_style(style)
}
