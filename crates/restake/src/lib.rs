//! One lock on Bitcoin, several uses: the books of who counts a stake, what it earns, who holds receipts for it, and what
//! a slashing takes from whom.
//!
//! A stake comes in as a [`VerifiedStake`](tapstake_verifier::VerifiedStake), and everything else that happens is an
//! [`Event`] at a Bitcoin height. A [`Book`] takes one [`Entry`] after another: each is made as a whole, or refused with a
//! [`BookError`] that names the rule, and then nothing has changed. The same entries make the same book everywhere: there is
//! no clock, no float, no randomness and no input or output in here, and amounts are whole satoshi and whole base units.
//!
//! ```
//! use bitcoin::Amount;
//! use tapstake_params::{Height, Timelock};
//! use tapstake_restake::{
//!     Allocation, Book, Denomination, Entry, Event, HolderId, PartsPerMillion, PoolId, ServiceId, ServiceTerms,
//!     StakeStatus,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (verified, equivocation) = example::story();
//! // `verified` is a VerifiedStake of 50,000 sat, `equivocation` the VerifiedEquivocation of its provider.
//! let provider = verified.known_providers()[0];
//! let stake = verified.included().outpoint();
//!
//! let mut book = Book::new();
//! let enter = |book: &mut Book, height, event| book.apply(&Entry { height: Height::new(height), event });
//!
//! // Two services, each with its own coin, take the same stake: it counts twice, and can be lost once.
//! let coins = [("oracle", "uora"), ("bridge", "ubri")];
//! enter(&mut book, 7, Event::admit(&verified))?;
//! for (name, coin) in coins {
//!     let service = ServiceId::new(name)?;
//!     let terms = ServiceTerms {
//!         denomination: Denomination::new(coin)?,
//!         slashing_rate: "0.1".parse()?,
//!         unbonding_time: Timelock::new(10)?,
//!         leverage_limit: "200%".parse()?,
//!     };
//!     let commission = "5%".parse()?;
//!     enter(&mut book, 7, Event::RegisterService { service: service.clone(), terms })?;
//!     enter(&mut book, 7, Event::RegisterProvider { service: service.clone(), provider, commission })?;
//!     enter(&mut book, 7, Event::Allocate { stake, service, allocation: Allocation::Shared })?;
//! }
//! let exposure = book.exposure(&stake)?;
//! assert_eq!(exposure.nominal_total(), 100_000);
//! assert_eq!(exposure.leverage_floor(), PartsPerMillion::percent(200));
//! assert_eq!(exposure.slashable, Amount::from_sat(6_900)); // 10 % after unbonding, and both fees;
//!
//! // Both pay, each in its coin; the provider's commission comes first.
//! for (name, coin) in coins {
//!     let (service, denomination) = (ServiceId::new(name)?, Denomination::new(coin)?);
//!     enter(&mut book, 8, Event::Reward { service, provider, denomination, amount: 1_000_000 })?;
//! }
//! let (oracle, uora) = (ServiceId::new("oracle")?, Denomination::new("uora")?);
//! assert_eq!(book.claimable(&stake, &oracle)?, 950_000);
//! enter(&mut book, 9, Event::Claim { stake, service: oracle.clone() })?;
//! assert_eq!(book.paid(verified.account(), &uora), 950_000);
//!
//! // A liquid receipt over the stake; some of it is passed on, and some waits to leave.
//! let (pool, alice, bob) = (PoolId::new("pool")?, HolderId::new("alice")?, HolderId::new("bob")?);
//! enter(&mut book, 10, Event::OpenPool { pool: pool.clone(), unbonding_time: Timelock::new(10)? })?;
//! enter(&mut book, 10, Event::Mint { pool: pool.clone(), holder: alice.clone(), stake })?;
//! let fifth = book.pool(&pool)?.balance(&alice) / 5;
//! let transfer = Event::Transfer { pool: pool.clone(), from: alice, to: bob.clone(), shares: fifth };
//! enter(&mut book, 11, transfer)?;
//! enter(&mut book, 11, Event::RequestExit { pool: pool.clone(), holder: bob, shares: fifth })?;
//! assert_eq!(book.pool(&pool)?.queue().total(), Amount::from_sat(10_000));
//!
//! // The provider votes for two blocks at one height. The stake is slashed once, for everybody at once.
//! enter(&mut book, 12, Event::slash(&equivocation))?;
//! let lost = Amount::from_sat(6_000); // 10 % and the fee: it was not unbonding
//! assert_eq!(book.stake(&stake)?.status, StakeStatus::Slashed);
//! assert_eq!(book.service(&oracle)?.exposure.lost, lost);
//! let after = book.pool(&pool)?;
//! assert_eq!(after.assets() + after.queue().total() + lost, Amount::from_sat(50_000));
//! assert_eq!(after.queue().total(), Amount::from_sat(8_800));
//!
//! // Slashed is slashed: it is paid no more. And everything adds up.
//! let reward = Event::Reward { service: oracle, provider, denomination: uora, amount: 1 };
//! let refusal = enter(&mut book, 13, reward).unwrap_err();
//! assert_eq!(refusal.to_string(), format!("provider {provider} was slashed at height 12"));
//! book.check()?;
//! # Ok(())
//! # }
//! # mod example {
//! #     use bitcoin::block::{Header, Version};
//! #     use bitcoin::hashes::Hash;
//! #     use bitcoin::key::{Keypair, Secp256k1};
//! #     use bitcoin::script::Builder;
//! #     use bitcoin::*;
//! #     use tapstake_crypto::eots::{self, Seed, Vote};
//! #     use tapstake_crypto::pop::{Account, ProofOfPossession};
//! #     use tapstake_params::{Height, Timelock, local};
//! #     use tapstake_script::{Providers, StakeTerms};
//! #     use tapstake_tx::delegation::{Delegation, Draft};
//! #     use tapstake_verifier::equivocation::{Evidence, SignedVote, VerifiedEquivocation};
//! #     use tapstake_verifier::headers::{Anchor, HeaderChain};
//! #     use tapstake_verifier::*;
//! #     fn provider() -> Keypair { local::provider_keypair(&Secp256k1::new(), 0) }
//! #     fn votes() -> [SignedVote; 2] {
//! #         let randomness = eots::randomness(&Secp256k1::new(), &Seed::new([6; 32]), b"a-service", 7);
//! #         [[1; 32], [2; 32]].map(|block_hash| {
//! #             let vote = Vote { height: 7, block_hash };
//! #             SignedVote {
//! #                 service: "a-service".into(),
//! #                 provider: provider().x_only_public_key().0,
//! #                 vote,
//! #                 public_randomness: randomness.public(),
//! #                 committed: None,
//! #                 signature: eots::sign(&provider(), &randomness, &vote.message()),
//! #             }
//! #         })
//! #     }
//! #     pub fn story() -> (VerifiedStake, VerifiedEquivocation) {
//! #         let secp = Secp256k1::new();
//! #         let schedule = local::schedule(&secp, Network::Regtest, local::Slashed::Burned).unwrap();
//! #         let staker = Keypair::from_seckey_slice(&secp, &[3; 32]).unwrap();
//! #         let provider = provider().x_only_public_key().0;
//! #         let claim = Claim {
//! #             staker: staker.x_only_public_key().0,
//! #             providers: Providers::one(provider),
//! #             staking_time: Timelock::new(1000).unwrap(),
//! #             registration: Registration::None,
//! #         };
//! #         let params = schedule.latest();
//! #         let terms = StakeTerms::under(params, claim.staker, claim.providers.clone(), claim.staking_time).unwrap();
//! #         let script_pubkey = terms.staking_output(&secp).script_pubkey().clone();
//! #         let value = Amount::from_sat(50_000);
//! #         let tx = |previous_output, script_sig| Transaction {
//! #             version: transaction::Version::TWO,
//! #             lock_time: absolute::LockTime::ZERO,
//! #             input: vec![TxIn { previous_output, script_sig, ..TxIn::default() }],
//! #             output: vec![TxOut { value, script_pubkey: script_pubkey.clone() }],
//! #         };
//! #         let coinbase = tx(OutPoint::null(), Builder::new().push_int(2).push_slice([0; 8]).into_script());
//! #         let stake = tx(OutPoint::new(Txid::hash(b"a coin"), 0), ScriptBuf::new());
//! #         let coin = ScriptBuf::new_p2wpkh(&WPubkeyHash::hash(b"a key"));
//! #         let prevouts = [TxOut { value: Amount::from_sat(51_000), script_pubkey: coin }];
//! #         let fee = params.slashing.as_ref().unwrap().min_fee;
//! #         let network = Network::Regtest;
//! #         let draft =
//! #             Delegation::<Draft>::build(&secp, network, params, terms, stake.clone(), &prevouts, value, fee);
//! #         let account = Account::from_raw(&[0xab; 20]).unwrap();
//! #         let possession = ProofOfPossession::bip340(&secp, &staker, account, None, &[0; 32]);
//! #         let signed = draft.unwrap().sign(&secp, &staker, &[0; 32], possession).unwrap();
//! #         let mut parts = signed.package().parts;
//! #         for member in &local::covenant_keypairs(&secp)[..3] {
//! #             let given = signed.covenant_signatures(&secp, member, &[0; 32]);
//! #             parts.covenant.insert(member.x_only_public_key().0, given);
//! #         }
//! #         let txids = [coinbase.compute_txid(), stake.compute_txid()];
//! #         let branch = |index| MerkleBranch::from_txids(&txids, index).unwrap();
//! #         let mut headers: Vec<Header> = Vec::new();
//! #         let mut last = constants::genesis_block(Network::Regtest).header;
//! #         for height in 1..=7 {
//! #             last = Header {
//! #                 version: Version::from_consensus(0x2000_0000),
//! #                 prev_blockhash: last.block_hash(),
//! #                 merkle_root: branch(0).root(txids[0]).unwrap(),
//! #                 time: last.time + 600,
//! #                 bits: last.bits,
//! #                 nonce: 0,
//! #             };
//! #             while !last.target().is_met_by(last.block_hash()) { last.nonce += 1; }
//! #             headers.push(last);
//! #         }
//! #         let proof = StakeProof {
//! #             network,
//! #             vout: 0,
//! #             claim,
//! #             inclusion_height: Height::new(2),
//! #             header: headers[1],
//! #             inclusion: InclusionProof::new(stake, branch(1), coinbase, branch(0)),
//! #             own_headers: None,
//! #             delegation: Some(parts),
//! #         };
//! #         let mut chain = HeaderChain::new(Anchor::genesis(network), 6);
//! #         chain.extend(&headers).unwrap();
//! #         let policy = ServicePolicy::new(Policy::new(Depth::Confirmations(6)), [provider]);
//! #         let stake = verify_slashable(&secp, &proof, &chain, &schedule, &policy).unwrap();
//! #         (stake, Evidence::TwoVotes(Box::new(votes())).verify(&secp).unwrap())
//! #     }
//! # }
//! ```
//!
//! # The order of things
//!
//! One rule: an entry below the height of the last one is refused. So a reward meets the stakes that were there at its height,
//! and nothing is re-sorted afterwards. Within a height the order of the entries counts, but that of slashings does not, and no
//! reward comes after a stake that begins to count for it: what counts from a height on earns from the next. A stake
//! that expires is ended by an entry of its own before anything else happens at or above that height ([`Book::due`]).
//!
//! # What is exact
//!
//! - **Rewards** raise one number for each provider at a service, whatever the number of stakes ([`Rewards`]). What does not
//!   divide is carried to the next reward, what arrives at zero stake is held for it, and put in = paid + claimable + carry, to the
//!   last 1e-18 of a base unit, whatever the sizes of stakes and rewards.
//! - **Exposure**: what services count ([`StakeExposure::nominal_total`]) stands beside what can be lost, once
//!   ([`StakeExposure::slashable`]). Whoever leaves a service stands for it until its unbonding time is over ([`Leaving`]).
//! - **One UTXO, one stake**: a stake whose transaction spends another one of the book is refused, unless it comes as what that one
//!   has become ([`Event::ExpandStake`]).
//! - **A loss** is the stake's value less its refund, as pre-signed, fees included. Pools divide it between their shares and
//!   the exits that wait, to the satoshi.
//! - [`Book::check`] adds everything up anew.
//!
//! # What is not proven
//!
//! That a stake is still unspent (one that nobody has reported as spent can be slashed in these books), what a coin is worth,
//! and how a service conducts itself: an operator enters spends and prices, and is believed. A slashing is entered on proven
//! evidence ([`Event::slash`]), and the loss is what the pre-signed transaction takes when somebody broadcasts it.
//!
//! # The rooms
//!
//! | | |
//! |---|---|
//! | [`Book`], [`Entry`], [`Event`] | all books together, and the one door |
//! | [`AdmittedStake`], [`StakeStatus`], [`End`], [`Leaving`] | a stake and its life |
//! | [`ServiceTerms`], [`Allocation`], [`Exposure`], [`StakeExposure`] | who counts what |
//! | [`Rewards`], [`PerSat`] | what was earned |
//! | [`Pool`], [`Nav`], [`ExitQueue`] | receipts over stakes, what they are worth, and the way out |
//! | [`LrtPool`] | receipts over receipts, for chosen services |
//! | [`RiskReport`] | price, backing, queue and possible losses |
//! | [`YieldTerms`], [`YieldReport`] | what a stake brings in a year |
//! | [`Imbalance`] | what [`Book::check`] would find |
//! | [`PartsPerMillion`], [`mul_div_floor`], [`mul_div_ceil`] | exact integers; names say how they round |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod allocation;
mod audit;
mod book;
mod error;
mod event;
mod exposure;
mod ledger;
mod lrt;
mod pool;
mod queue;
mod receipts;
mod registry;
mod rewards;
mod risk;
mod shares;
mod stake;
mod table;
mod units;
mod yields;

pub use allocation::{Allocation, Leaving, Part, StakeExposure};
pub use audit::Imbalance;
pub use book::{Book, ProviderView, ServiceView, StakeView};
pub use error::BookError;
pub use event::{Entry, Event};
pub use exposure::{Exposure, Loss};
pub use lrt::{LrtError, LrtExposure, LrtPool};
pub use pool::{Backing, Flows, PaidExit, Pool, PoolError, PoolLoss, PooledStake, PooledStatus};
pub use queue::{Exit, ExitId, ExitQueue};
pub use registry::ServiceTerms;
pub use rewards::{PerSat, REWARD_SCALE, Rewards};
pub use risk::{
    Depeg, LrtRiskReport, LrtScenario, QueueDepth, RiskError, RiskReport, Scenario, SlashedProviders,
    StakeAtRisk,
};
pub use shares::{Nav, NavTextError, ShareError, VIRTUAL_SHARES};
pub use stake::{AdmittedStake, End, JournalledStake, StakeDataError, StakeStatus};
pub use units::{
    Denomination, HolderId, NameError, PartsPerMillion, PoolId, RateTextError, ServiceId, mul_div_ceil,
    mul_div_floor,
};
pub use yields::{
    Compounding, Price, RewardRate, ServiceLine, ServiceYield, Valued, YieldError, YieldReport, YieldTerms,
};
