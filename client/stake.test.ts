import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { parseEther } from 'viem'
import { epochChallengesAbi } from '#contracts/epoch-challenges.ts'
import { payoutGap } from '#protocol/proof.ts'
import { CHAIN_ID } from '../contracts/test/anvil.ts'
import {
  challenger,
  contributor,
  fairReceipt,
  makeWorld,
  payer,
  startDispute,
  validator,
  values,
  type Dispute,
} from '../contracts/test/dispute.ts'

/** The stake commands as a validator types them, over the real contracts on a chain of their own; without an API. */

const MAIN = new URL('main.ts', import.meta.url).pathname
const NOWHERE = 'http://127.0.0.1:9'
const WINDOW = Number(values['settlement.window'])
const ELSEWHERE = contributor(96)

type Shown = {
  staked: string
  leaving: string
  withdrawableAt: number | null
  owed: { contract: string; wei: string }[]
  rewards: { epoch: number; wei: string }[]
  pending: number[]
}

let it: Dispute
let dir: string
before(async () => {
  it = await startDispute()
  dir = mkdtempSync(join(tmpdir(), 'openledger-stake-'))
  writeFileSync(
    join(dir, 'contracts.json'),
    JSON.stringify({ chainId: CHAIN_ID, contracts: it.contracts }),
  )
})
after(() => {
  it.stop()
  rmSync(dir, { recursive: true })
})

function openledger(args: string[], key: string = validator.key) {
  return spawnSync(process.execPath, [MAIN, ...args], {
    encoding: 'utf8',
    env: {
      PATH: process.env['PATH'],
      OPENLEDGER_EDGE: NOWHERE,
      OPENLEDGER_RPC: it.rpcUrl,
      OPENLEDGER_CONTRACTS: join(dir, 'contracts.json'),
      OPENLEDGER_WALLET_KEY: key,
    },
  })
}

/** What a command printed with --json; it must have succeeded. */
function run<T>(...args: string[]): T {
  const { status, stdout, stderr } = openledger([...args, '--json'])
  assert.equal(status, 0, stderr)
  return JSON.parse(stdout) as T
}

/** What a command said on stderr; it must have failed with the exit code. */
function refused(args: string[], exitCode: number, said: RegExp): void {
  const { status, stdout, stderr } = openledger(args)
  assert.equal(status, exitCode, `${args.join(' ')}: ${stderr}`)
  assert.match(stderr, said)
  assert.doesNotMatch(stderr, /^\s+at /m)
  assert.equal(stdout, '')
}

async function pass(seconds: number): Promise<void> {
  await it.client.increaseTime({ seconds })
  await it.client.mine({ blocks: 1 })
}

test('amounts that are none are refused before anything is asked', () => {
  for (const amount of [[], ['0'], ['-1'], ['1e3'], ['1,5'], ['0.0000000000000000001'], ['1', '2']])
    refused(['stake', 'add', ...amount], 2, /needs one AMOUNT in OPEN|Unknown option '-1'/)
  refused(['stake', 'leave', 'some'], 2, /stake leave needs one AMOUNT/)
  refused(['stake', 'withdraw', '--to', '0x12'], 2, /--to needs an address/)
  refused(['stake', '--account', '0x12'], 2, /--account needs an address/)
})

test('stake is added, leaves after the delay, and is withdrawn', () =>
  it.aside(async () => {
    refused(['stake', 'add', '20000'], 1, /the wallet holds [\d.]+ OPEN: too little for 20000 OPEN/)
    const { stake } = run<{ stake: Shown }>('stake', 'add', '5')
    assert.equal(stake.staked, parseEther('5').toString())
    assert.equal(await it.read('votingOpen', 'getVotes', [validator.address]), parseEther('5'))
    refused(['stake', 'leave', '5.5'], 1, /only 5 OPEN is staked/)
    refused(['stake', 'withdraw'], 1, /nothing is leaving/)

    run('stake', 'leave', '1.5')
    const shown = run<Shown>('stake')
    assert.equal(shown.staked, parseEther('3.5').toString())
    assert.equal(shown.leaving, parseEther('1.5').toString())
    const { timestamp } = await it.client.getBlock()
    const until = Number(timestamp + values['staking.unbondDelay'])
    assert.equal(shown.withdrawableAt, until)
    refused(
      ['stake', 'withdraw'],
      1,
      new RegExp(`1.5 OPEN can be withdrawn from ${new Date(until * 1000).toISOString()} on`),
    )
    await pass(Number(values['staking.unbondDelay']))
    run('stake', 'leave', 'all') // the delay begins anew, for all of it
    refused(['stake', 'withdraw'], 1, /5 OPEN can be withdrawn from/)
    await pass(Number(values['staking.unbondDelay']))
    run('stake', 'withdraw', '--to', ELSEWHERE)
    assert.equal(await it.client.getBalance({ address: ELSEWHERE }), parseEther('5'))
    assert.match(openledger(['stake']).stdout, /^0 OPEN staked\n0 OPEN leaving\n/)
  }))

test('stake can be added for somebody else, who alone gets it back', () =>
  it.aside(async () => {
    run('stake', 'add', '2', '--account', challenger.address)
    const { staked } = run<Shown>('stake', '--account', challenger.address)
    assert.equal(staked, parseEther('2').toString())
    refused(['stake', 'leave', 'all'], 1, /only 0 OPEN is staked/)
    assert.equal(openledger(['stake', 'leave', 'all'], challenger.key).status, 0)
  }))

test('what an approval earned and what is owed is collected once, whatever else is leaving', () =>
  it.aside(async () => {
    const idle = openledger(['stake', 'collect'])
    assert.deepEqual([idle.status, idle.stdout], [0, 'nothing is due\n'])
    run('stake', 'add', '5')
    await pass(WINDOW) // younger stake does not attest
    const world = makeWorld(4, 32)
    const file = it.build([fairReceipt(world, 'answer')])
    await it.submit(file)
    await it.send(validator, 'validatorStaking', 'approve', [1n])
    await it.govern('challenge.answerTime', 100n)
    const bond = values['challenge.bond']
    const demand = [1n, 2, 0, 0] // the first payout; nobody answers, nobody resolves
    await it.send(validator, 'epochChallenges', 'demand', demand, bond)
    const locked = run<Shown>('stake')
    assert.deepEqual([locked.pending, locked.rewards], [[1], []])
    assert.match(openledger(['stake', 'collect']).stdout, /nothing is due; epoch 1 pending/)
    assert.match(openledger(['stake']).stdout, /locked until epoch 1 active/)

    await pass(WINDOW)
    const [demanded] = await it.client.getContractEvents({
      address: it.contracts.epochChallenges,
      abi: epochChallengesAbi,
      eventName: 'Demanded',
      fromBlock: 0n,
    })
    await it.send(validator, 'epochChallenges', 'reclaim', [demanded!.args.id])
    const due = run<Shown>('stake')
    const stakers = BigInt(due.rewards[0]!.wei)
    assert.deepEqual(due.pending, [])
    assert.deepEqual(due.owed, [{ contract: 'epochChallenges', wei: bond.toString() }])
    // The staking contract has not been paid its part, and there is no API that could say how it is claimed.
    refused(['stake', 'collect'], 1, /fetch failed/)

    const place = file.payouts.findIndex(
      ({ account }) => account === it.contracts.validatorStaking.toLowerCase(),
    )
    const { amount } = file.payouts[place]!
    assert.equal(stakers, amount - 1n) // less a wei for rounding, of one receipt
    await it.send(payer, 'attributionSettlement', 'claim', [
      it.contracts.validatorStaking,
      amount,
      1n,
      BigInt(place),
      payoutGap(file, place).rightProof,
    ])
    const collected = run<{ transactions: string[] }>('stake', 'collect', '--to', ELSEWHERE)
    assert.equal(collected.transactions.length, 2)
    assert.equal(await it.client.getBalance({ address: ELSEWHERE }), stakers + bond)
    assert.match(openledger(['stake', 'collect']).stdout, /nothing is due/)
    assert.equal(run<Shown>('stake').staked, parseEther('5').toString())
  }))

test('what the chain refuses is said with its reason', () =>
  it.aside(async () => {
    run('stake', 'add', '1')
    run('stake', 'leave', 'all')
    await pass(Number(values['staking.unbondDelay']))
    // The staking contract takes wei from the settlement alone.
    refused(
      ['stake', 'withdraw', '--to', it.contracts.validatorStaking],
      1,
      /the chain refuses it: ETHTransferFailed\(\)/,
    )
  }))
