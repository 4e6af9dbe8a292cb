//! What to do about each rule, where the error itself says nothing better.

/// What to do when `rule` refuses.
pub(crate) fn step(rule: &str) -> Option<&'static str> {
    STEPS.iter().find(|(rules, _)| rules.contains(&rule)).map(|(_, step)| *step)
}

/// Every rule by its name, those with the same way out together. `docs/cli.md` lists the same names.
const STEPS: &[(&[&str], &str)] = &[
    // What is typed.
    (&["timelock"], "give a number of blocks from 1 to 65535"),
    (&["amount"], "give an amount of at most 21 million bitcoin, with its unit: 50000sat or 0.5btc"),
    (
        &["fee-rate"],
        "give another --fee-rate, in sat per virtual byte; without it the chain source estimates one",
    ),
    (
        &["key"],
        "give the right key, 32 bytes (x-only) or 33 bytes (compressed) of hex, or the wallet or folder that has it",
    ),
    (&["duplicate-key"], "give each key once: staker, providers and covenant members are all different"),
    (&["key-count"], "give fewer keys"),
    (
        &["quorum"],
        "give a --quorum of more than half of the --covenant keys; for a delegation, get more members' signatures",
    ),
    (&["address"], "give a whole address, copied without a mistake"),
    (&["address-network", "network"], "give the --network that it belongs to, or one of this network"),
    (&["height"], "give a height within the range that the message names"),
    // Files.
    (
        &["file"],
        "check the name of the file, and that it is whole; docs/roles.md says which file is for whom",
    ),
    (&["file-format"], "get the file again from whoever made it: it was changed, or made by another program"),
    (&["file-version"], "use the newer tapstake that wrote it, or have it written by this one"),
    (&["proof-format"], "get the proof again from whoever made it: tapstake prove writes it"),
    (
        &["parameters"],
        "give the --params that apply; tapstake params show --json prints a set that can be edited",
    ),
    (
        &["params-version"],
        "give --params with the version that is asked for; tapstake params show lists the versions",
    ),
    (
        &["public-covenant"],
        "on mainnet everybody could sign for this committee: give --params bbn-1 or a file",
    ),
    (&["service-policy"], "mend the file: docs/cli.md lists its fields, of which providers must be there"),
    // Scripts and transactions.
    (&["dust", "too-small"], "take a greater value, or smaller fees"),
    (
        &["bounds", "policy-bounds"],
        "take an amount and a time within the bounds: tapstake params show, and the members' policies",
    ),
    (&["slashing-rate"], "give the rate of the parameters, a decimal between 0 and 1 such as 0.001"),
    (
        &["slashing-fee", "slashing-fee-rate"],
        "draft with a slashing fee within these bounds: the parameters name the least",
    ),
    (&["weight"], "use fewer inputs: a transaction of this size is not passed on by nodes"),
    (&["staking-output"], "give the --params that the stake was made under, and its own terms"),
    (
        &["phase-1-data", "registration"],
        "give the stake's terms: --staker, --provider, --staking-time; its OP_RETURN does not say them",
    ),
    (&["several-providers"], "name one provider: phase-1 data has no room for more"),
    (&["shape", "staking", "prevouts", "unexpected-witness"], "build the transaction again by tapstake"),
    (
        &["txid-not-final"],
        "fund the stake from segwit coins without a script in the input: their txid does not change",
    ),
    (
        &[
            "unbonding-time",
            "unbonding-fee",
            "unbonding-output",
            "unbonding-tx",
            "unbonding-version",
            "unbonding-locktime",
            "unbonding-sequence",
            "unbonding-outpoint",
            "unbonding-shape",
        ],
        "have it drafted anew under the parameters in force: its unbonding transaction is not the one they ask for",
    ),
    (
        &[
            "slashing-script",
            "slashed-value",
            "refund-output",
            "slashing-tx",
            "slashing-version",
            "slashing-locktime",
            "slashing-sequence",
            "slashing-outpoint",
            "slashing-shape",
        ],
        "have it drafted anew under the parameters in force, or take the transaction of this very stake",
    ),
    (&["signatures", "signature", "withdrawal"], "have it signed again by the keys that the message names"),
    // Delegations.
    (
        &["delegation"],
        "give the delegation file: tapstake stake --draft FILE writes it, members and services keep copies",
    ),
    (&["delegation-copies"], "combine copies of one draft only"),
    (
        &["committee", "covenant"],
        "give the --params whose committee has signed, or ask its members: tapstake covenant sign FILE",
    ),
    (&["funding", "funding-is-stake"], "draft again with ordinary coins of the wallet"),
    (&["spent-input"], "this stake cannot come any more: tapstake stakes forget OUTPOINT, and draft again"),
    (
        &["staker-signature"],
        "give the file that the staker has signed: tapstake stake --draft FILE writes it",
    ),
    (&["covenant-signature"], "ask the member to sign its own copy again: tapstake covenant sign FILE"),
    (
        &["covenant-quorum"],
        "ask for a proof with the signatures of a quorum: tapstake delegation check FILE counts them",
    ),
    (
        &["staking-signature"],
        "send it from the wallet and data folder that drafted it: they have the coins' signatures",
    ),
    (&["provider"], "name a provider of this very stake"),
    (&["presigned-fee"], "draft with greater fees: what is signed in advance cannot be bumped"),
    (&["replaced"], "never replace a staking transaction: tapstake bump helps it by a child"),
    (&["spent"], "tapstake stakes says what became of it"),
    (
        &[
            "expansion",
            "expansion-inputs",
            "expansion-previous",
            "expansion-parties",
            "expansion-fee",
            "expansion-committee",
        ],
        "draft the expansion again: tapstake expand OUTPOINT --draft FILE",
    ),
    (
        &["expansion-value", "expansion-time"],
        "an expansion is larger or longer, and never less: give another --amount or --time",
    ),
    (&["not-in-mempool"], "send it: tapstake stakes resume"),
    (&["other-transaction"], "put back the files as they were exported, signed and otherwise unchanged"),
    (&["confirmed"], "tapstake stakes says where the transaction is"),
    // Possession.
    (&["possession"], "make the proof with the staker's own key: tapstake pop create --account ACCOUNT"),
    (&["possession-form"], "make the proof in a form that is taken: --form bip340, bip322 or bip137"),
    (&["possession-context"], "prove and verify with the same --service and --network"),
    (&["possession-account"], "prove and verify with the same account"),
    // Wallets.
    (&["wallet"], "tapstake wallet create makes a wallet; --wallet NAME and --data-dir DIR say which"),
    (&["wallet-exists"], "use the wallet that is there, or give another --wallet NAME"),
    (&["wallet-busy", "in-use"], "wait for the other process, or end it"),
    (
        &["unprotected-seed"],
        "give --passphrase-file FILE; or --accept-unprotected-seed, and guard the folder yourself",
    ),
    (&["file-mode"], "make it its owner's alone: chmod 600 FILE"),
    (&["watch-only"], "sign elsewhere: --export DIR for a stake, --export-psbt FILE for a withdrawal"),
    (
        &["insufficient-funds"],
        "send coins to tapstake wallet address, or give a smaller amount; then tapstake wallet sync. \
        tapstake wallet utxos shows which coins are locked",
    ),
    (
        &["locked-coin"],
        "tapstake wallet utxos lists the coins; tapstake wallet unlock OUTPOINT frees one of a stake that will not come",
    ),
    (
        &["unknown-coin"],
        "tapstake wallet utxos lists the coins; after a restore, tapstake wallet sync --full",
    ),
    (&["immature"], "wait for more blocks"),
    (&["mnemonic"], "give the 12 or 24 English words of BIP-0039, in order and without a typing mistake"),
    (
        &["descriptor"],
        "give two descriptors of segwit or taproot outputs of this network, ending in /0/* and /1/*",
    ),
    (
        &["exit-rehearsal"],
        "do not lock the coins: a key that cannot sign the way out now cannot later either",
    ),
    (&["no-change"], "wait for a block, or let somebody else's child pay: there is no change to bump with"),
    (&["psbt"], "give the PSBT that was exported here, signed and otherwise unchanged"),
    (&["passphrase"], "give the passphrase that it was made with: --passphrase-file FILE, - to be asked"),
    (&["stake"], "tapstake stakes lists them; tapstake stakes restore adds one from its recovery sheet"),
    // Chain sources.
    (&["unreachable"], "check --source, its port, and that the server runs; another source does as well"),
    (
        &["source"],
        "give --source tcp://HOST:PORT or ssl://HOST:PORT (Electrum), or http://HOST:PORT (bitcoind) \
        with --cookie-file FILE or --rpc-user and --rpc-password-file",
    ),
    (&["unauthorized"], "give the node's --cookie-file, or --rpc-user with --rpc-password-file"),
    (&["misbehaving-source"], "use another source"),
    (&["source-busy"], "try again in a moment"),
    (&["pruned"], "use a node that keeps all blocks"),
    (&["txindex"], "use an Electrum server, or a bitcoind with -txindex=1"),
    (
        &["unsupported"],
        "use a source of the other kind: --source http://HOST:PORT is a bitcoind, tcp:// or ssl:// an Electrum server",
    ),
    (&["unknown-output"], "check the outpoint, the --network and the source"),
    (&["rejected"], "read the reason: the transaction was not taken, and nothing is spent by it"),
    (&["burn-needs-node"], "send it through a bitcoind: --source http://HOST:PORT"),
    // Covenant members.
    (&["tip-unknown"], "give --tip HEIGHT, or --source URL to ask for it"),
    (
        &["unknown-provider", "unknown-service", "service-provider", "no-expansions", "too-long"],
        "choose what the member's policy allows, or ask the member to change it",
    ),
    (&["not-kept"], "give this member the delegation of the old stake as well: it keeps what it signed"),
    (&["release-waits"], "wait until the new delegation has its quorum, then ask for this signature"),
    (
        &["not-a-member"],
        "ask the members that tapstake params show names, or give the --params that name this one",
    ),
    (&["unknown-own-signature"], "stop, and find out where this key has signed"),
    (
        &["second-unbonding", "second-slashing", "second-expansion"],
        "ask with the delegation that was signed, or draft another staking transaction",
    ),
    (&["policy"], "mend the policy file: docs/covenant-member.md lists its fields"),
    (&["record"], "do not sign with this key until its record is back: it says what was signed"),
    (&["key-file"], "put the key file back from its copy, or name another folder"),
    (&["work-factor"], "give a --work-factor from 1 to 20"),
    // Providers.
    (&["double-vote"], "go on with later heights: this one keeps its recorded block"),
    (&["height-not-above"], "go on with heights above the last vote"),
    (&["not-committed"], "tapstake provider commit for this height, and give the file to the service first"),
    (
        &["commitment-overlap", "commitment-range"],
        "commit to heights that follow the last commitment, from 1 to 2^20 of them",
    ),
    (
        &["old-backup", "marker"],
        "do not vote: docs/slashing-protection.md says how to go on with tapstake provider recover",
    ),
    (
        &["last-known-height"],
        "give --last-known-height, the greatest height that this key has voted on anywhere",
    ),
    (&["other-service"], "a key serves one service: make another provider for this one"),
    (&["provider-locked"], "one process at a time votes with a provider's key: stop the other one"),
    (&["provider-exists"], "give another --provider-dir"),
    (&["no-provider"], "tapstake provider init makes one; --provider-dir says where it is"),
    // Equivocations.
    (
        &["vote-service", "vote-signature", "vote-commitment"],
        "get the votes again: one of them is not the provider's",
    ),
    (
        &["same-provider", "same-service", "same-height", "same-randomness", "two-blocks"],
        "give two votes of one provider, for one service and height, and for two blocks: others give no key away",
    ),
    (
        &["extraction", "slashing-witness"],
        "give the slashing transaction as it was sent, and the delegation of the stake that it slashes",
    ),
    // Proofs and headers.
    (
        &["anchor"],
        "give headers from the genesis block or a retarget boundary on, or the --anchor HEIGHT:HASH of a block that you trust",
    ),
    (
        &[
            "header-link",
            "proof-of-work",
            "bits",
            "retarget",
            "min-difficulty",
            "time-warp",
            "median-time",
            "future-time",
        ],
        "get the headers from another source: these are of no valid chain",
    ),
    (
        &["best-chain", "reorganisation-depth"],
        "get newer headers, and the proof again: its block is not on the chain that they give",
    ),
    (
        &["own-headers-work"],
        "give headers up to today's tip, or the --anchor HEIGHT:HASH of a block that you trust",
    ),
    (
        &[
            "transaction-size",
            "merkle-root",
            "coinbase",
            "equal-depth",
            "coinbase-height",
            "merkle-index",
            "duplicate-node",
            "single-transaction",
            "stake-not-coinbase",
        ],
        "refuse this proof: it does not show that the stake is in the block. Ask for another",
    ),
    (&["confirmations"], "wait for more blocks, and give newer headers"),
    (&["known-provider"], "choose a stake with a provider of yours, or add its --provider KEY"),
    (&["slashed-provider"], "choose a stake without that provider: it has shown its key"),
    (&["active"], "the stake is past its time: leave out --require-active to see it anyway"),
    // The book of a pool's operator.
    (
        &[
            "unknown-stake",
            "unknown-pool",
            "pool-kind",
            "unknown-exit",
            "no-holders",
            "inactive",
            "stake-lives",
            "not-minted",
            "not-allocated",
            "nothing",
            "nothing-owed",
            "balance-of-holder",
            "admitted-before",
            "exists",
            "minted-before",
            "spends-stake",
            "spent-stake",
            "not-an-expansion",
            "not-first",
        ],
        "tapstake book show says what stands in the book",
    ),
    (
        &["late-entry", "expiry-due", "not-expired", "reward-after-change", "still-locked"],
        "give another --height: entries follow one another",
    ),
    (&["height-ahead"], "give another --height, or --yes if it is right"),
    (&["entry-number"], "tapstake book log shows what was made: do not make it again"),
    (&["no-receiver"], "name the holder who gets the shares for what the new stake is worth more"),
    (
        &[
            "repeated-provider",
            "parts",
            "leverage",
            "denomination",
            "risk",
            "shares",
            "own-account",
            "reserved-holder",
            "unbonding",
            "pool",
            "book",
            "above-stake",
            "leaves-nothing",
            "not-missing",
            "not-earned",
            "not-surplus",
            "surplus",
        ],
        "nothing was recorded: give what the book's rules allow, docs/restaking.md has them",
    ),
    (&["backing", "cash"], "record what came back, or make good what is missing: docs/restaking.md says how"),
    (&["frozen"], "open another pool: the shares of this one are worth nothing, for ever"),
    (
        &[
            "journal-hash",
            "journal-line",
            "journal-shortened",
            "journal-rewritten",
            "journal-head",
            "journal-torn",
            "balance",
            "index",
        ],
        "go on with a good copy of the journal only",
    ),
    (
        &["journal-unproven"],
        "get what is missing from the operator, who had it at the entry: without it, that entry is only its word",
    ),
    (
        &["journal-disproven"],
        "do not go by the book: it has something else than what was proven; ask its operator which is right",
    ),
    (
        &["index-access"],
        "see to the permissions of the book's folder and to its disk; do not remove the index",
    ),
    (&["read-only"], "have it entered by who may write the book's file and its folder"),
    (&["busy"], "wait for the other process"),
    // Answers.
    (&["confirmation"], "say yes, or give --yes"),
    (&["terminal"], "run it in a terminal, without --json"),
    (&["no-words"], "look where the wallet's keys came from: they were given as descriptors, without words"),
    (&["marker-moved"], "give the folder that the message names"),
    // Yields.
    (&["price"], "give one --price for each coin that a rate names"),
    (&["commission"], "give a commission from 0% to 100%"),
    (&["slashable"], "give a --slashable of at most the stake"),
    (&["time"], "give at most 1200 months, and at most 55000 periods a year"),
    (&["service"], "give each service once, by a name of 1 to 64 printable characters without blanks"),
    (&["overflow"], "give smaller numbers"),
];

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
