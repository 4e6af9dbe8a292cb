//! What a provider's folder holds.

use std::path::PathBuf;

use bitcoin::XOnlyPublicKey;
use bitcoin::hex::DisplayHex;
use serde::Serialize;
use tapstake_signer::provider::Status;

use super::Which;
use super::refusal::refused;
use crate::error::Result;
use crate::output::{Show, facts, table};
use crate::session::Session;

#[derive(Serialize)]
pub(super) struct Shown {
    provider: XOnlyPublicKey,
    service: String,
    folder: PathBuf,
    marker: PathBuf,
    marker_state: String,
    entries: u64,
    votes: u64,
    last_vote: Option<LastVote>,
    last_known_height: Option<u64>,
    next_height: u64,
    commitments: Vec<Range>,
}

#[derive(Serialize)]
struct LastVote {
    height: u64,
    block_hash: String,
}

#[derive(Serialize)]
struct Range {
    start: u64,
    count: u64,
    root: String,
}

impl Shown {
    pub(super) fn of(status: Status) -> Self {
        let last_vote = status
            .last_vote
            .map(|vote| LastVote { height: vote.height, block_hash: vote.block_hash.to_lower_hex_string() });
        let range = |signed: &tapstake_crypto::eots::SignedCommitment| Range {
            start: signed.commitment.start,
            count: signed.commitment.count,
            root: signed.commitment.root.to_lower_hex_string(),
        };
        Shown {
            provider: status.provider,
            service: status.service,
            folder: status.folder,
            marker: status.marker,
            marker_state: status.marker_state.to_string(),
            entries: status.counter,
            votes: status.votes,
            last_vote,
            last_known_height: status.floor,
            next_height: status.next_height,
            commitments: status.commitments.iter().map(range).collect(),
        }
    }
}

impl Show for Shown {
    fn text(&self) -> String {
        let mut rows = vec![
            ("provider", self.provider.to_string()),
            ("service", self.service.clone()),
            ("folder", self.folder.display().to_string()),
            ("marker", format!("{}: {}", self.marker.display(), self.marker_state)),
            ("votes", self.votes.to_string()),
        ];
        if let Some(LastVote { height, block_hash }) = &self.last_vote {
            rows.push(("last vote", format!("height {height}, block {block_hash}")));
        }
        if let Some(height) = self.last_known_height {
            rows.push(("stated last known height", height.to_string()));
        }
        rows.push(("votes from height", self.next_height.to_string()));
        let mut text = facts(rows);
        if !self.commitments.is_empty() {
            let rows = self.commitments.iter().map(|Range { start, count, root }| {
                vec![start.to_string(), (start + count - 1).to_string(), root.clone()]
            });
            text.push_str("\n\n");
            text.push_str(&table(
                &["first height", "last height", "root"],
                &["first height", "last height"],
                rows,
            ));
        }
        text
    }
}

pub(super) fn show(which: &Which, session: &Session<'_>) -> Result<()> {
    let status = Status::read(&which.folder(session)?).map_err(refused)?;
    session.out.show(&Shown::of(status));
    Ok(())
}
