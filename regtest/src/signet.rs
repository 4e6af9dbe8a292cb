use bitcoin::Block;
use bitcoin::consensus::Decodable;
use bitcoin::constants::COINBASE_MATURITY;

use crate::{Bitcoind, Error, anyone_can_spend};

/// The first blocks of every signet of our own, serialised one after the other.
///
/// Signet's proof of work takes seconds a block, and nothing can be spent before 100 of them. Rewards go to
/// [`anyone_can_spend`]; times are of 2020, so that they are past on every clock. Made by bitcoind with
/// `-signet -signetchallenge=51 -mocktime=1600000000` and `generatetoaddress`.
const BLOCKS: &[u8] = include_bytes!("../signet-blocks.bin");

fn recorded_blocks() -> Vec<Block> {
    let mut rest = BLOCKS;
    let mut blocks = Vec::new();
    while !rest.is_empty() {
        blocks.push(Block::consensus_decode(&mut rest).expect("a test reads these very bytes"));
    }
    blocks
}

impl Bitcoind {
    /// Adds blocks whose oldest reward [`Self::fund`] can spend: 101 of them, or where a signet is still empty, the
    /// recorded ones and a fresh one, which ends the node's initial download and takes seconds in place of minutes.
    ///
    /// # Errors
    ///
    /// [`Error::Rpc`] if the node does not answer.
    pub fn stock_faucet(&self) -> Result<(), Error> {
        let home = anyone_can_spend(self.network());
        if self.network() == bitcoin::Network::Signet && self.height()? == 0 {
            for block in recorded_blocks() {
                self.submit_block(&block)?;
            }
            return self.mine(1, &home).map(drop);
        }
        self.mine(COINBASE_MATURITY + 1, &home).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::Network;

    use super::*;

    #[test]
    fn the_recorded_signet_blocks_are_a_chain_with_work_and_a_mature_reward() {
        let home = anyone_can_spend(Network::Signet).script_pubkey();
        let genesis = bitcoin::constants::genesis_block(Network::Signet);
        let mut parent = genesis.header;
        let blocks = recorded_blocks();
        assert!(blocks.len() >= COINBASE_MATURITY as usize);
        for block in blocks {
            assert_eq!(block.header.prev_blockhash, parent.block_hash());
            assert_eq!(block.header.bits, genesis.header.bits);
            assert!(block.header.validate_pow(block.header.target()).is_ok());
            assert!(block.check_merkle_root() && block.check_witness_commitment());
            assert_eq!(block.txdata[0].output[0].script_pubkey, home);
            parent = block.header;
        }
    }
}
