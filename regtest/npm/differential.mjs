// What the established TypeScript implementation makes of given terms, to compare our bytes with.
//
// Run by `differential.sh` (or with TAPSTAKE_NPM naming a folder with the node_modules). One JSON object a
// line on stdin, a case; one JSON object a line on stdout, its result, in the same order.
//
// A case. Keys are x-only, 64 hex digits; lists in any order (the package sorts). Values in sat, times in blocks.
//
//   network            "bitcoin", "testnet", "testnet4", "signet" or "regtest"
//   staker             key
//   providers          [key, ...]
//   covenant           [key, ...]
//   quorum             number
//   staking_time       number
//   unbonding_time     number
//   tag                hex of 4 bytes, optional: asks for `op_return` (one provider only)
// and, all of these or none (none: no transactions in the result):
//   staking_tx, staking_vout                 the whole transaction as hex and the output's index, or
//   staking_txid, staking_vout, staking_value   what the other transactions need to know of it
//   unbonding_fee      number
//   slashing_pk_script hex
//   slashing_rate      number or decimal string, rounded to 4 decimals by the package
//   min_slashing_fee   number
// and, where witnesses are wanted, for any of `unbonding`, `slashing`, `unbonding_slashing` and `expansion`:
//   signatures         {unbonding: {staker: hex, provider: {key, signature}, covenant: [{key, signature}, ...]}, ...}
//                      `provider` for slashings only; signatures are taken as they are
// and, to move an older stake of the same staker and providers into this one, of the same value:
//   expansion          {covenant, quorum, staking_time, unbonding_time, txid, vout, change_address, fee_rate,
//                       funding: [{txid, vout, value, script_pubkey}, ...]}
//
// A result:
//
//   timelock_script, unbonding_script, slashing_script, unbonding_timelock_script     leaves, hex
//   staking            {address, script_pubkey, timelock_control_block, slashing_control_block}
//   unbonding          {address, script_pubkey, timelock_control_block, slashing_control_block}
//   refund             {address, script_pubkey, timelock_control_block}     where a slashing's rest goes
//   op_return          hex of the script_pubkey, if `tag` was given
//   unbonding_tx           {hex, txid}      unsigned, without witness
//   slashing_tx            {hex, txid}      spends the staking output
//   unbonding_slashing_tx  {hex, txid}      spends the unbonding output
//   expansion_tx           {hex, txid, fee} spends the older stake and one of `funding`
//
// Where a transaction's signatures were given: also `sighash` (of input 0) and `witness`, a list of hex, for it.
//
// A transaction the package refuses (it does so at outputs of 546 sat and less) is {error: text} in its place;
// a case it refuses as a whole, or that is no case, is {error: text} alone. The exit code is 0 either way.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import path from "node:path";

if (!process.env.TAPSTAKE_NPM) {
  console.error("differential.mjs: TAPSTAKE_NPM is not set, run differential.sh");
  process.exit(2);
}
const require = createRequire(path.join(process.env.TAPSTAKE_NPM, "package.json"));
const bitcoin = require("bitcoinjs-lib");
const staking = require("@babylonlabs-io/btc-staking-ts");
const { tapleafHash } = require("bitcoinjs-lib/src/payments/bip341");
// In place of the package's own `initBTCCurve`, whose curve in plain JavaScript takes a quarter of a second a case.
bitcoin.initEccLib(require("tiny-secp256k1"));

const NETWORKS = {
  bitcoin: bitcoin.networks.bitcoin,
  testnet: bitcoin.networks.testnet,
  testnet4: bitcoin.networks.testnet,
  signet: bitcoin.networks.testnet,
  regtest: bitcoin.networks.regtest,
};

// Outputs do not depend on what is staked, but the package only shows them in transactions: these values
// make some that it never refuses.
const PLENTY = 100_000_000;
const OUTPUT_FEE = 1_000;
const OUTPUT_RATE = 0.5;
const OP_RETURN = "6a00";
const FEE_RATE = 1;

const hex = (buffer) => Buffer.from(buffer).toString("hex");

function bytes(text, name, length) {
  if (typeof text !== "string" || !/^([0-9a-f]{2})*$/i.test(text)) throw new Error(`${name}: not hex`);
  if (length !== undefined && text.length !== 2 * length) throw new Error(`${name}: not ${length} bytes`);
  return Buffer.from(text, "hex");
}

function integer(value, name) {
  if (!Number.isSafeInteger(value)) throw new Error(`${name}: not an integer`);
  return value;
}

function keys(list, name) {
  if (!Array.isArray(list)) throw new Error(`${name}: not a list`);
  return list.map((key) => bytes(key, name, 32));
}

/// All that the package's builders ask of the transaction they spend from.
function spendable(txid, vout, value, script) {
  const outs = [];
  outs[vout] = { value, script };
  return { getHash: () => Buffer.from(txid).reverse(), getId: () => hex(txid), outs };
}

function stakingTransaction(c) {
  const vout = integer(c.staking_vout, "staking_vout");
  if (c.staking_tx !== undefined) {
    return { tx: bitcoin.Transaction.fromBuffer(bytes(c.staking_tx, "staking_tx")), vout };
  }
  const txid = bytes(c.staking_txid, "staking_txid", 32);
  return { txid, vout, value: integer(c.staking_value, "staking_value") };
}

const unsigned = (psbt) => bitcoin.Transaction.fromBuffer(psbt.data.getTransaction());
const controlBlock = (psbt) => hex(psbt.data.inputs[0].tapLeafScript[0].controlBlock);
const shown = (tx) => ({ hex: tx.toHex(), txid: tx.getId() });

/// What `make` gives, or the reason the package gives for not making it.
function attempt(make) {
  try {
    return make();
  } catch (error) {
    return { error: String(error.message ?? error) };
  }
}

/// The digest of input 0 and its witness, put together by the package's own function: it knows covenants only, but
/// providers stand in a witness as a covenant of which one signs.
function signed(psbt, given, c) {
  if (given === undefined) return {};
  const prevouts = psbt.data.inputs.map((input) => input.witnessUtxo);
  const { script, controlBlock } = psbt.data.inputs[0].tapLeafScript[0];
  const sighash = unsigned(psbt).hashForWitnessV1(
    0, prevouts.map(({ script }) => script), prevouts.map(({ value }) => value), 0x00, tapleafHash({ output: script }));
  const entry = ({ key, signature }) => ({ btcPkHex: key, sigHex: signature });
  let witness = [bytes(given.staker, "staker"), script, controlBlock];
  if (given.provider) {
    witness = staking.createCovenantWitness(witness, keys(c.providers, "providers"), [entry(given.provider)], 1);
  }
  witness = staking.createCovenantWitness(
    witness, keys(given.committee, "committee"), given.covenant.map(entry), given.quorum);
  return { sighash: hex(sighash), witness: witness.map(hex) };
}

/// The package's own class, which refuses nothing by the bounds of these parameters.
function stakingOf(c, network, { covenant, quorum, staking_time, unbonding_time }) {
  const params = {
    covenantNoCoordPks: covenant,
    covenantQuorum: quorum,
    unbondingTime: unbonding_time,
    unbondingFeeSat: c.unbonding_fee ?? OUTPUT_FEE,
    minStakingAmountSat: PLENTY,
    maxStakingAmountSat: PLENTY,
    minStakingTimeBlocks: 1,
    maxStakingTimeBlocks: 65_535,
  };
  const { address } = bitcoin.payments.p2wpkh({ hash: Buffer.alloc(20, 1), network });
  const staker = { address, publicKeyNoCoordHex: c.staker };
  return new staking.Staking(network, staker, params, c.providers, staking_time);
}

function outputs(scripts, network) {
  const described = (script) => ({
    address: bitcoin.address.fromOutputScript(script, network),
    script_pubkey: hex(script),
  });
  const anywhere = Buffer.alloc(32, 1);
  const p2wpkh = bitcoin.payments.p2wpkh({ hash: Buffer.alloc(20, 1), network });
  const coin = { txid: hex(anywhere), vout: 0, value: 2 * PLENTY, scriptPubKey: hex(p2wpkh.output) };

  // The output's script first, then with it something to spend.
  const stakingScript = staking.stakingTransaction(scripts, PLENTY, p2wpkh.address, [coin], network, FEE_RATE)
    .transaction.outs[0].script;
  const stake = spendable(anywhere, 0, PLENTY, stakingScript);
  const unbonding = staking.unbondingTransaction(scripts, stake, OUTPUT_FEE, network).transaction;
  const slashing = staking.slashTimelockUnbondedTransaction(
    scripts, stake, OP_RETURN, OUTPUT_RATE, OUTPUT_FEE, network).psbt;
  const unbondingSlashing = staking.slashEarlyUnbondedTransaction(
    scripts, unbonding, OP_RETURN, OUTPUT_RATE, OUTPUT_FEE, network).psbt;
  const slashed = unsigned(slashing);
  const to = p2wpkh.address;
  return {
    staking: {
      ...described(stakingScript),
      timelock_control_block: controlBlock(
        staking.withdrawTimelockUnbondedTransaction(scripts, stake, to, network, FEE_RATE).psbt),
      slashing_control_block: controlBlock(slashing),
    },
    unbonding: {
      ...described(unbonding.outs[0].script),
      timelock_control_block: controlBlock(
        staking.withdrawEarlyUnbondedTransaction(scripts, unbonding, to, network, FEE_RATE).psbt),
      slashing_control_block: controlBlock(unbondingSlashing),
    },
    refund: {
      ...described(slashed.outs[1].script),
      timelock_control_block: controlBlock(
        staking.withdrawSlashingTransaction(scripts, slashed, to, network, FEE_RATE, 1).psbt),
    },
  };
}

function transactions(c, scripts, network, stakingScript) {
  const { tx, txid, vout, value } = stakingTransaction(c);
  const stake = tx ?? spendable(txid, vout, value, stakingScript);
  const script = hex(bytes(c.slashing_pk_script, "slashing_pk_script"));
  const rate = Number(c.slashing_rate);
  const fee = integer(c.min_slashing_fee, "min_slashing_fee");
  const unbondingFee = integer(c.unbonding_fee, "unbonding_fee");

  const given = c.signatures ?? {};
  const withWitness = (psbt, given) => ({
    ...shown(unsigned(psbt)),
    ...signed(psbt, given && { ...given, committee: c.covenant, quorum: c.quorum }, c),
  });
  const unbond = () => staking.unbondingTransaction(scripts, stake, unbondingFee, network, vout).transaction;
  return {
    unbonding_tx: attempt(() => given.unbonding
      ? withWitness(stakingOf(c, network, c).toUnbondingPsbt(unbond(), stake), given.unbonding)
      : shown(unbond())),
    slashing_tx: attempt(() => withWitness(
      staking.slashTimelockUnbondedTransaction(scripts, stake, script, rate, fee, network, vout).psbt,
      given.slashing)),
    unbonding_slashing_tx: attempt(() => withWitness(
      staking.slashEarlyUnbondedTransaction(scripts, unbond(), script, rate, fee, network).psbt,
      given.unbonding_slashing)),
  };
}

function expansion(c, scripts, network) {
  const old = c.expansion;
  const previous = stakingOf(c, network, old).buildScripts();
  const txid = bytes(old.txid, "txid", 32);
  const script = Buffer.from(outputs(previous, network).staking.script_pubkey, "hex");
  const stakingTx = spendable(txid, old.vout, integer(c.staking_value, "staking_value"), script);
  const funding = old.funding.map(
    ({ txid, vout, value, script_pubkey }) => ({ txid, vout, value, scriptPubKey: script_pubkey }));
  return attempt(() => {
    const { transaction, fee } = staking.stakingExpansionTransaction(
      network, scripts, c.staking_value, old.change_address, old.fee_rate, funding, { stakingTx, scripts: previous });
    const { params } = stakingOf(c, network, old);
    const stakingInput = { finalityProviderPksNoCoordHex: c.providers, stakingTimelock: old.staking_time };
    const psbt = stakingOf(c, network, c).toStakingExpansionPsbt(
      transaction, funding, params, { stakingTx, stakingInput });
    const given = c.signatures?.expansion;
    return {
      ...shown(transaction),
      fee,
      ...signed(psbt, given && { ...given, committee: old.covenant, quorum: old.quorum }, c),
    };
  });
}

function result(c) {
  const network = NETWORKS[c.network];
  if (!network) throw new Error(`network: unknown name ${c.network}`);
  const terms = [
    bytes(c.staker, "staker", 32),
    keys(c.providers, "providers"),
    keys(c.covenant, "covenant"),
    integer(c.quorum, "quorum"),
    integer(c.staking_time, "staking_time"),
    integer(c.unbonding_time, "unbonding_time"),
  ];
  const scripts = new staking.StakingScriptData(...terms).buildScripts();
  const made = outputs(scripts, network);
  const answer = {
    timelock_script: hex(scripts.timelockScript),
    unbonding_script: hex(scripts.unbondingScript),
    slashing_script: hex(scripts.slashingScript),
    unbonding_timelock_script: hex(scripts.unbondingTimelockScript),
    ...made,
  };
  if (c.tag !== undefined) {
    const data = new staking.ObservableStakingScriptData(...terms, bytes(c.tag, "tag", 4));
    answer.op_return = hex(data.buildDataEmbedScript());
  }
  if (c.staking_vout !== undefined) {
    Object.assign(answer, transactions(c, scripts, network, Buffer.from(made.staking.script_pubkey, "hex")));
  }
  if (c.expansion !== undefined) answer.expansion_tx = expansion(c, scripts, network);
  return answer;
}

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  if (line.trim() === "") continue;
  let answer;
  try {
    answer = result(JSON.parse(line));
  } catch (error) {
    answer = { error: String(error.message ?? error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
