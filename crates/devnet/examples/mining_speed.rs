//! Measures how fast blocks come: `cargo run --release -p tapstake-devnet --example mining_speed`.

use std::time::Instant;

use tapstake_devnet::{Config, Devnet};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let devnet = Devnet::start(&Config::default())?;
    for blocks in [2_000, 20_000] {
        let start = Instant::now();
        devnet.mine(blocks)?;
        let seconds = start.elapsed().as_secs_f64();
        println!("{blocks} blocks in {seconds:.3} s, {:.0} blocks/s", f64::from(blocks) / seconds);
    }
    Ok(())
}
