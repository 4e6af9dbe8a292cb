//! A node, everybody's keys, and the files that go between them.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash;
use bitcoin::key::{Keypair, Secp256k1};
use bitcoin::opcodes::all::OP_PUSHNUM_2;
use bitcoin::script::Builder;
use bitcoin::secp256k1::{All, SecretKey};
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, FeeRate, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, WPubkeyHash, Witness,
    XOnlyPublicKey,
};
use tapstake_crypto::eots::{self, CommitmentTree, Seed, Vote};
use tapstake_crypto::pop::{Account, ProofOfPossession};
use tapstake_params::{Height, Quorum, Schedule, Slashing, SlashingRate, StakingParams, Timelock};
use tapstake_regtest::{Bitcoind, anyone_can_spend};
use tapstake_script::{Leaf, Providers, StakeTerms};
use tapstake_tx::delegation::{
    CheckedDelegation, CovenantProgress, Delegation, DelegationPackage, PreSigned, Verified,
};
use tapstake_tx::{Signatures, Withdrawable, Withdrawal, WithdrawalError};
use tapstake_verifier::equivocation::{CommittedRandomness, Evidence, SignedVote, VerifiedEquivocation};
use tempfile::TempDir;

pub(crate) const VALUE: Amount = Amount::from_sat(100_000);
pub(crate) const SLASHING_FEE: Amount = Amount::from_sat(2_500);
pub(crate) const MIN_SLASHING_FEE: Amount = Amount::from_sat(2_000);
const UNBONDING_FEE: Amount = Amount::from_sat(1_500);
const STAKING_FEE: Amount = Amount::from_sat(1_000);
const RATE: FeeRate = FeeRate::from_sat_per_vb_u32(2);
const STAKING_TIME: u32 = 144;
const UNBONDING_TIME: u32 = 5;
const SERVICE: &str = "a-service";

/// Who is on a stage: the providers, and quorum and size of the committee.
pub(crate) type Cast = (u32, (usize, u32));

/// Each size of a committee and each number of providers, without every pair of them.
pub(crate) const CASTS: [Cast; 5] = [(1, (1, 1)), (2, (3, 5)), (5, (6, 9)), (1, (15, 20)), (5, (15, 20))];

/// Where the slashed part goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slashed {
    Burned,
    Paid,
}

/// Everybody, under parameters of two versions. Version 1 has another committee, in which most of the first one sit, and
/// whose quorum is one more.
pub(crate) struct Stage<'n> {
    pub(crate) node: &'n Bitcoind,
    pub(crate) secp: Secp256k1<All>,
    pub(crate) schedule: Schedule,
    pub(crate) staker: Keypair,
    /// In the order of the script.
    pub(crate) providers: Vec<Keypair>,
    /// The committee of each version, in the order of the script.
    committees: [Vec<Keypair>; 2],
    folder: TempDir,
    files: Cell<u32>,
}

pub(crate) fn key(keypair: &Keypair) -> XOnlyPublicKey {
    keypair.x_only_public_key().0
}

pub(crate) fn home() -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&WPubkeyHash::all_zeros())
}

/// What a wallet's coins are locked with here: a number, for which the witness is the script alone.
fn wallet_script() -> ScriptBuf {
    Builder::new().push_opcode(OP_PUSHNUM_2).into_script()
}

pub(crate) fn wallet_witness() -> Witness {
    Witness::from_slice(&[wallet_script()])
}

/// Exactly these signatures in their slots, be they too few or too many.
pub(crate) fn by_hand(leaf: &Leaf, signatures: &Signatures) -> Witness {
    let slots: Vec<_> = leaf.signers().iter().flat_map(Quorum::keys).map(|key| signatures.get(key)).collect();
    let mut witness = Witness::new();
    for slot in slots.into_iter().rev() {
        witness.push(slot.map_or(&[][..], |signature| &signature[..]));
    }
    witness.push(&leaf.script);
    witness.push(leaf.control_block.serialize());
    witness
}

/// The same transaction with this witness in its first input.
pub(crate) fn with_witness(tx: &Transaction, witness: Witness) -> Transaction {
    let mut tx = tx.clone();
    tx.input[0].witness = witness;
    tx
}

pub(crate) fn verified(checked: CheckedDelegation) -> Delegation<Verified> {
    match checked {
        CheckedDelegation::Verified(delegation) => delegation,
        other => panic!("not verified: {other:?}"),
    }
}

pub(crate) fn package_of(progress: &CovenantProgress) -> DelegationPackage {
    match progress {
        CovenantProgress::Partly(delegation) => delegation.package(),
        CovenantProgress::Verified(delegation) => delegation.package(),
    }
}

impl<'n> Stage<'n> {
    pub(crate) fn new(node: &'n Bitcoind, (providers, (quorum, members)): Cast, slashed: Slashed) -> Self {
        let secp = Secp256k1::new();
        let sorted = |numbers: std::ops::Range<u32>| {
            let mut keypairs: Vec<_> = numbers.map(|n| keypair(&secp, n)).collect();
            keypairs.sort_by_key(|keypair| key(keypair).serialize());
            keypairs
        };
        // The only member of a committee stays; of others the first one leaves.
        let committees = [sorted(200..200 + members), sorted(200 + u32::from(members > 1)..201 + members)];
        let slashing = Slashing {
            rate: SlashingRate::from_ten_thousandths(1_000).unwrap(),
            pk_script: match slashed {
                Slashed::Burned => ScriptBuf::new_op_return(b"tapstake"),
                Slashed::Paid => home(),
            },
            min_fee: MIN_SLASHING_FEE,
        };
        let version = |version: usize| StakingParams {
            version: version.try_into().unwrap(),
            activation_height: Height::new(u32::try_from(version).unwrap() * 100_000),
            covenant: Quorum::new(quorum + version, committees[version].iter().map(key).collect()).unwrap(),
            min_staking_value: Amount::from_sat(10_000),
            max_staking_value: Amount::from_sat(100_000_000),
            min_staking_time: Timelock::new(10).unwrap(),
            max_staking_time: Timelock::MAX,
            unbonding_time: Timelock::new(UNBONDING_TIME).unwrap(),
            unbonding_fee: UNBONDING_FEE,
            slashing: Some(slashing.clone()),
            phase_1: None,
        };
        let schedule = Schedule::new(Network::Regtest, vec![version(0), version(1)]).unwrap();
        Stage {
            node,
            schedule,
            staker: keypair(&secp, 0),
            providers: sorted(100..100 + providers),
            committees,
            folder: tempfile::tempdir().unwrap(),
            files: Cell::default(),
            secp,
        }
    }

    /// The parameters of a version.
    pub(crate) fn params(&self, version: u32) -> &StakingParams {
        self.schedule.version(version).unwrap()
    }

    /// The first members of a version's committee, as many as its quorum and `more`.
    pub(crate) fn members(&self, version: u32, more: isize) -> &[Keypair] {
        let quorum = self.params(version).covenant.threshold();
        &self.committees[version as usize][..quorum.checked_add_signed(more).unwrap()]
    }

    /// Whether the first committee has more members than its quorum.
    pub(crate) fn has_spare_members(&self) -> bool {
        self.committees[0].len() > self.members(0, 0).len()
    }

    /// Somebody else who stakes.
    pub(crate) fn other_staker(&self) -> Keypair {
        keypair(&self.secp, 1)
    }

    pub(crate) fn terms(&self, version: u32, staker: &Keypair, providers: &[Keypair]) -> StakeTerms {
        let providers = Providers::new(providers.iter().map(key).collect()).unwrap();
        let time = Timelock::new(STAKING_TIME).unwrap();
        StakeTerms::under(self.params(version), key(staker), providers, time).unwrap()
    }

    /// A confirmed coin of a wallet.
    pub(crate) fn coin(&self, value: Amount) -> (OutPoint, TxOut) {
        let script_pubkey = ScriptBuf::new_p2wsh(&wallet_script().wscript_hash());
        let outpoint = self.node.fund(&script_pubkey, value).unwrap();
        (outpoint, TxOut { value, script_pubkey })
    }

    pub(crate) fn possession(&self, staker: &Keypair) -> ProofOfPossession {
        let account = Account::text("an account").unwrap();
        ProofOfPossession::bip340(&self.secp, staker, account, None, &[0; 32])
    }

    /// A stake with everything its staker signs; its staking transaction is signed and not sent.
    pub(crate) fn pre_signed(&self, staker: &Keypair, providers: &[Keypair]) -> Delegation<PreSigned> {
        let terms = self.terms(0, staker, providers);
        let (previous_output, prevout) = self.coin(VALUE + STAKING_FEE);
        let script_pubkey = terms.staking_output(&self.secp).script_pubkey().clone();
        let sequence = Sequence::ENABLE_RBF_NO_LOCKTIME;
        let staking_tx = Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn {
                previous_output,
                script_sig: ScriptBuf::new(),
                sequence,
                witness: wallet_witness(),
            }],
            output: vec![TxOut { value: VALUE, script_pubkey }],
        };
        let (network, params) = (Network::Regtest, self.params(0));
        Delegation::build(&self.secp, network, params, terms, staking_tx, &[prevout], VALUE, SLASHING_FEE)
            .unwrap()
            .sign(&self.secp, staker, &[0; 32], self.possession(staker))
            .unwrap()
    }

    /// Each member signs a copy of its own, which cannot be sent, and the staker puts them together. `previous` are members
    /// of the old committee, for an expansion.
    pub(crate) fn signed(
        &self,
        delegation: &Delegation<PreSigned>,
        members: &[Keypair],
        previous: &[Keypair],
    ) -> DelegationPackage {
        let copy = delegation.package().without_witnesses().to_bytes();
        let read = || match DelegationPackage::from_bytes(&copy).unwrap().check(&self.secp, &self.schedule) {
            Ok(CheckedDelegation::PreSigned(delegation)) => delegation,
            other => panic!("not pre-signed: {other:?}"),
        };
        let new = members.iter().map(|member| {
            let delegation = read();
            let signatures = delegation.covenant_signatures(&self.secp, member, &[0; 32]);
            delegation.add(&self.secp, key(member), signatures).unwrap()
        });
        let old = previous.iter().map(|member| {
            let delegation = read();
            let signature = delegation.expansion_signature(&self.secp, member, &[0; 32]).unwrap();
            delegation.add_previous(&self.secp, key(member), signature).unwrap()
        });
        let copies = new.chain(old).map(|progress| package_of(&progress));
        copies.fold(delegation.package(), |package, copy| package.combine(copy).unwrap())
    }

    /// A path that nothing lies at yet.
    fn new_file(&self, name: &str) -> PathBuf {
        let number = self.files.replace(self.files.get() + 1);
        self.folder.path().join(format!("{number}-{name}"))
    }

    /// Judges a delegation as somebody does who has nothing but its file, in both of the forms a file may have.
    pub(crate) fn check(&self, package: &DelegationPackage) -> CheckedDelegation {
        let [bytes, json] = ["delegation.bin", "delegation.json"].map(|name| self.new_file(name));
        fs::write(&bytes, package.to_bytes()).unwrap();
        fs::write(&json, serde_json::to_vec_pretty(package).unwrap()).unwrap();
        let read = DelegationPackage::from_bytes(&fs::read(bytes).unwrap()).unwrap();
        assert_eq!(read, serde_json::from_slice(&fs::read(json).unwrap()).unwrap());
        read.check(&self.secp, &self.schedule).unwrap()
    }

    /// Judges a delegation by its file and sends its staking transaction.
    pub(crate) fn lock(&self, package: &DelegationPackage) -> Delegation<Verified> {
        let delegation = verified(self.check(package));
        self.accepted(&delegation.staking_tx().unwrap());
        delegation
    }

    /// Stakes on the chain, each signed by exactly a quorum, and not always by the same members.
    pub(crate) fn locked_by(
        &self,
        staker: &Keypair,
        providers: &[Keypair],
        stakes: usize,
    ) -> Vec<Delegation<Verified>> {
        let lock = |_| {
            let committee = self.committees[0].iter().cycle().skip(self.files.get() as usize);
            let members: Vec<_> = committee.take(self.members(0, 0).len()).copied().collect();
            self.lock(&self.signed(&self.pre_signed(staker, providers), &members, &[]))
        };
        (0..stakes).map(lock).collect()
    }

    /// The staker's stakes with all providers.
    pub(crate) fn locked<const N: usize>(&self) -> [Delegation<Verified>; N] {
        self.locked_by(&self.staker, &self.providers, N).try_into().unwrap()
    }

    /// What becomes of a provider's votes for two blocks at one height, once anyone puts them into a file.
    pub(crate) fn equivocation(&self, provider: &Keypair) -> VerifiedEquivocation {
        const HEIGHT: u64 = 1_003;
        let seed = Seed::new(key(provider).serialize());
        let randomness = |height| eots::randomness(&self.secp, &seed, SERVICE.as_bytes(), height);
        let tree =
            CommitmentTree::new(1_000, (1_000..1_010).map(|height| randomness(height).public())).unwrap();
        let commitment = tree.commitment().sign(&self.secp, provider, &[0; 32]);
        let vote = |block_hash| {
            let (vote, randomness) = (Vote { height: HEIGHT, block_hash }, randomness(HEIGHT));
            SignedVote {
                service: SERVICE.to_owned(),
                provider: key(provider),
                vote,
                public_randomness: randomness.public(),
                committed: Some(CommittedRandomness { commitment, proof: tree.proof(HEIGHT).unwrap() }),
                signature: eots::sign(provider, &randomness, &vote.message()),
            }
        };
        self.verify_evidence(&Evidence::TwoVotes(Box::new([vote([1; 32]), vote([2; 32])])))
    }

    /// Verifies evidence as somebody does who has nothing but its file.
    pub(crate) fn verify_evidence(&self, evidence: &Evidence) -> VerifiedEquivocation {
        let path = self.new_file("evidence.json");
        fs::write(&path, serde_json::to_vec_pretty(evidence).unwrap()).unwrap();
        let read: Evidence = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        read.verify(&self.secp).unwrap()
    }

    /// The unbonding transaction with the staker's signature.
    pub(crate) fn unbonding_tx(&self, delegation: &Delegation<Verified>, staker: &Keypair) -> Transaction {
        let (_, signature) =
            delegation.unbonding().spend(delegation.stake()).sign(&self.secp, staker, &[0; 32]);
        delegation.verified_parts().finish_unbonding(&self.secp, signature).unwrap()
    }

    pub(crate) fn mine(&self, blocks: u32) {
        self.node.mine(blocks, &anyone_can_spend(Network::Regtest)).unwrap();
    }

    pub(crate) fn tip(&self) -> Height {
        Height::new(self.node.height().unwrap())
    }

    /// The node takes it, told of what it burns if it burns anything, and mines it.
    pub(crate) fn accepted(&self, tx: &Transaction) {
        assert_eq!(self.node.test_accept(tx).unwrap().refusal, None, "{tx:?}");
        let burned = tx.output.iter().filter(|output| output.script_pubkey.is_op_return());
        let burned: Amount = burned.map(|output| output.value).sum();
        if burned > Amount::ZERO {
            let refused = self.node.broadcast(tx).expect_err("burning must be asked for");
            assert!(refused.rpc_message().is_some_and(|text| text.contains("maxburnamount")), "{refused}");
        }
        let txid = self.node.broadcast_burning(tx, burned).unwrap();
        self.mine(1);
        let block = self.node.block(self.node.best_block_hash().unwrap()).unwrap();
        assert!(block.txdata.iter().any(|mined| mined.compute_txid() == txid));
    }

    /// The node's reason for refusing it.
    pub(crate) fn refusal(&self, tx: &Transaction) -> String {
        self.node.test_accept(tx).unwrap().refusal.expect("the node must refuse it")
    }

    /// Withdraws a coin of the block at `included` to its staker: refused one block too early by us and by the node, then
    /// accepted.
    pub(crate) fn withdrawn(&self, coin: impl Into<Withdrawable>, staker: &Keypair, included: Height) {
        let coin = coin.into();
        let withdrawal = Withdrawal::build(vec![coin.clone()], home(), RATE).unwrap();
        let signed = withdrawal.spends()[0].sign(&self.secp, staker, &[0; 32]);
        let tx = withdrawal.finish(&self.secp, &[Signatures::from([signed])]).unwrap();

        let mature = coin.mature_at(included);
        self.mine(mature.blocks_since(self.tip()).expect("not mature yet") - 2);
        let next = self.tip().saturating_add(1);
        let early = WithdrawalError::Immature { outpoint: coin.outpoint(), mature, next };
        assert_eq!(coin.check_mature(included, self.tip()), Err(early));
        assert_eq!(self.refusal(&tx), "non-BIP68-final");
        self.mine(1);
        assert_eq!(coin.check_mature(included, self.tip()), Ok(()));
        self.accepted(&tx);
    }
}

fn keypair(secp: &Secp256k1<All>, n: u32) -> Keypair {
    let mut bytes = [5; 32];
    bytes[28..].copy_from_slice(&n.to_be_bytes());
    Keypair::from_secret_key(secp, &SecretKey::from_slice(&bytes).unwrap())
}
