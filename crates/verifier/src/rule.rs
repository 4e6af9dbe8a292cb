use core::fmt;

/// A rule of verification, by the number it has in `docs/proof-format.md` and a stable name.
///
/// Every rejection belongs to exactly one rule. Rules 15 to 17 make a [`VerifiedStake`](crate::VerifiedStake) of an
/// [`IncludedStake`](crate::IncludedStake).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// 1: headers hang on an anchor from which every later rule can be computed.
    Anchor,
    /// 1: proof, headers and parameters are of one network.
    Network,
    /// 2: a header names its parent.
    Link,
    /// 2: a header's hash is at or below its target.
    ProofOfWork,
    /// 2: a header's `bits` are exactly those of its period.
    Bits,
    /// 3: the first `bits` of a period follow from the timestamps of the one before.
    Retarget,
    /// 3: on test networks a block 20 minutes late, and no other, has the least difficulty.
    MinDifficulty,
    /// 3: the first block of a period is at most 600 s older than its parent (BIP-0094).
    TimeWarp,
    /// 4: a header's time is above the median of the 11 before.
    MedianTime,
    /// 4: a header's time is at most two hours ahead of the clock.
    FutureTime,
    /// 5: the block stands in the chain with the most work.
    BestChain,
    /// 5: reorganisations deeper than the policy allows wait for a person.
    ReorganisationDepth,
    /// 6: headers carry the least work the policy asks for; those that come with the proof, not less than some.
    OwnHeaders,
    /// 7: the transaction, serialised without witness, does not have 64 bytes.
    TransactionSize,
    /// 7: the branch leads from the transaction's own txid to the header's Merkle root.
    MerkleRoot,
    /// 8: the proof carries the coinbase transaction, at index 0 and with a null prevout.
    Coinbase,
    /// 8: the branches of coinbase and transaction have equal length.
    EqualDepth,
    /// 8: the coinbase names the height (BIP-0034).
    CoinbaseHeight,
    /// 9: the index exists at the branch's depth, which is at most 15.
    MerkleIndex,
    /// 10: no branch ends on the copy of a duplicated node (CVE-2012-2459).
    DuplicateNode,
    /// 11: a branch without siblings proves a block's only transaction, which is its coinbase.
    SingleTransaction,
    /// 12: the block has the confirmations the policy asks for.
    Confirmations,
    /// 13: the transaction is not a coinbase.
    StakeNotCoinbase,
    /// 13: exactly one output has the script rebuilt from the claimed terms, and it is the one named.
    StakingOutput,
    /// 13: a phase-1 stake carries exactly one OP_RETURN of the right shape, and it says the same.
    Phase1Data,
    /// 14: value and time lie within the parameters of the right height.
    Bounds,
    /// 14: a claimed registration height is at most the policy's gap below the inclusion, and the registration is
    /// of the kind the policy takes.
    Registration,
    /// 15: the proof carries what is signed in advance.
    Delegation,
    /// 15: the unbonding transaction is the one that the parameters ask for.
    UnbondingTx,
    /// 15: both slashing transactions take, pay and refund what the parameters ask for.
    SlashingTx,
    /// 15: the staker has signed both slashing transactions.
    StakerSignature,
    /// 15: every covenant signature is by a member and verifies; those on slashings are adaptor signatures for every
    /// provider.
    CovenantSignature,
    /// 15: a quorum of the covenant has signed all three transactions.
    CovenantQuorum,
    /// 16: the staker has proven possession of the staker's key.
    Possession,
    /// 16: the proof of possession has a form that the policy takes.
    PossessionForm,
    /// 16: the proof of possession names the service and network that the policy asks for, or none if it asks for none.
    PossessionContext,
    /// 16: the account is one that the policy takes.
    PossessionAccount,
    /// 17: one provider at least is known to the service.
    KnownProvider,
    /// 17: no provider is slashed.
    SlashedProvider,
    /// 18: the stake is active at the tip.
    Active,
}

impl Rule {
    /// The rule's number.
    pub const fn number(self) -> u8 {
        match self {
            Rule::Anchor | Rule::Network => 1,
            Rule::Link | Rule::ProofOfWork | Rule::Bits => 2,
            Rule::Retarget | Rule::MinDifficulty | Rule::TimeWarp => 3,
            Rule::MedianTime | Rule::FutureTime => 4,
            Rule::BestChain | Rule::ReorganisationDepth => 5,
            Rule::OwnHeaders => 6,
            Rule::TransactionSize | Rule::MerkleRoot => 7,
            Rule::Coinbase | Rule::EqualDepth | Rule::CoinbaseHeight => 8,
            Rule::MerkleIndex => 9,
            Rule::DuplicateNode => 10,
            Rule::SingleTransaction => 11,
            Rule::Confirmations => 12,
            Rule::StakeNotCoinbase | Rule::StakingOutput | Rule::Phase1Data => 13,
            Rule::Bounds | Rule::Registration => 14,
            Rule::Delegation
            | Rule::UnbondingTx
            | Rule::SlashingTx
            | Rule::StakerSignature
            | Rule::CovenantSignature
            | Rule::CovenantQuorum => 15,
            Rule::Possession | Rule::PossessionForm | Rule::PossessionContext | Rule::PossessionAccount => 16,
            Rule::KnownProvider | Rule::SlashedProvider => 17,
            Rule::Active => 18,
        }
    }

    /// The rule's name, stable across versions: what scripts may match on.
    pub const fn name(self) -> &'static str {
        match self {
            Rule::Anchor => "anchor",
            Rule::Network => "network",
            Rule::Link => "header-link",
            Rule::ProofOfWork => "proof-of-work",
            Rule::Bits => "bits",
            Rule::Retarget => "retarget",
            Rule::MinDifficulty => "min-difficulty",
            Rule::TimeWarp => "time-warp",
            Rule::MedianTime => "median-time",
            Rule::FutureTime => "future-time",
            Rule::BestChain => "best-chain",
            Rule::ReorganisationDepth => "reorganisation-depth",
            Rule::OwnHeaders => "own-headers-work",
            Rule::TransactionSize => "transaction-size",
            Rule::MerkleRoot => "merkle-root",
            Rule::Coinbase => "coinbase",
            Rule::EqualDepth => "equal-depth",
            Rule::CoinbaseHeight => "coinbase-height",
            Rule::MerkleIndex => "merkle-index",
            Rule::DuplicateNode => "duplicate-node",
            Rule::SingleTransaction => "single-transaction",
            Rule::Confirmations => "confirmations",
            Rule::StakeNotCoinbase => "stake-not-coinbase",
            Rule::StakingOutput => "staking-output",
            Rule::Phase1Data => "phase-1-data",
            Rule::Bounds => "bounds",
            Rule::Registration => "registration",
            Rule::Delegation => "delegation",
            Rule::UnbondingTx => "unbonding-tx",
            Rule::SlashingTx => "slashing-tx",
            Rule::StakerSignature => "staker-signature",
            Rule::CovenantSignature => "covenant-signature",
            Rule::CovenantQuorum => "covenant-quorum",
            Rule::Possession => "possession",
            Rule::PossessionForm => "possession-form",
            Rule::PossessionContext => "possession-context",
            Rule::PossessionAccount => "possession-account",
            Rule::KnownProvider => "known-provider",
            Rule::SlashedProvider => "slashed-provider",
            Rule::Active => "active",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {} ({})", self.number(), self.name())
    }
}
