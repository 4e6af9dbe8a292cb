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
  return { getHash: () => Buffer.from(txid).reverse(), outs };
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

/// A transaction, or the reason the package gives for not making it.
function attempt(make) {
  try {
    return shown(make());
  } catch (error) {
    return { error: String(error.message ?? error) };
  }
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

  const unbond = () => staking.unbondingTransaction(scripts, stake, unbondingFee, network, vout).transaction;
  return {
    unbonding_tx: attempt(unbond),
    slashing_tx: attempt(() => unsigned(
      staking.slashTimelockUnbondedTransaction(scripts, stake, script, rate, fee, network, vout).psbt)),
    unbonding_slashing_tx: attempt(() => unsigned(
      staking.slashEarlyUnbondedTransaction(scripts, unbond(), script, rate, fee, network).psbt)),
  };
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
