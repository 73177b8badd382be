import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { encodeFunctionData, parseEther } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { epochChallengesAbi } from '#contracts/epoch-challenges.ts'
import { toJson } from '#protocol/bytes.ts'
import { payoutGap } from '#protocol/proof.ts'
import { CHAIN_ID } from '../contracts/test/anvil.ts'
import {
  challenger,
  contributor,
  fairReceipt,
  makeWorld,
  startDispute,
  validator,
  values,
  type Dispute,
} from '../contracts/test/dispute.ts'
import { openledger as command, valueOf } from '../test/support/command.ts'
import { scratchFolder } from '../test/support/scratch.ts'

/** The stake commands as a validator types them, over the real contracts on a chain of their own. */

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

const dir = scratchFolder()
let it: Dispute
before(async () => {
  it = await startDispute()
  writeFileSync(
    join(dir, 'contracts.json'),
    JSON.stringify({ chainId: CHAIN_ID, contracts: it.contracts }),
  )
})
after(() => it.stop())

/** The command with a validator's wallet; without an API, unless one is named. */
const openledger = (args: string[], env: Record<string, string> = {}) =>
  command(args, {
    OPENLEDGER_EDGE: NOWHERE,
    OPENLEDGER_RPC: it.rpcUrl,
    OPENLEDGER_CONTRACTS: join(dir, 'contracts.json'),
    OPENLEDGER_WALLET_KEY: validator.key,
    ...env,
  })

/** What a command printed with --json; it must have succeeded. */
const run = async <T>(...args: string[]): Promise<T> =>
  valueOf<T>(await openledger([...args, '--json']))

/** What a command prints for people; it must have succeeded. */
async function shown(...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await openledger(args)
  assert.equal(status, 0, stderr)
  return stdout
}

/** What a command said on stderr; it must have failed with the exit code. */
async function refused(args: string[], exitCode: number, said: RegExp): Promise<void> {
  const { status, stdout, stderr } = await openledger(args)
  assert.equal(status, exitCode, `${args.join(' ')}: ${stderr}`)
  assert.match(stderr, said)
  assert.doesNotMatch(stderr, /^\s+at /m)
  assert.equal(stdout, '')
}

async function pass(seconds: number): Promise<void> {
  await it.client.increaseTime({ seconds })
  await it.client.mine({ blocks: 1 })
}

/** An API that knows one thing, which it says to every request. */
async function answering(value: object) {
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(request.url ?? '')
    response.setHeader('content-type', 'application/json')
    response.end(toJson(value))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, asked, stop: () => void server.close() }
}

test('amounts that are none are refused before anything is asked', async () => {
  for (const amount of [[], ['0'], ['-1'], ['1e3'], ['1,5'], ['0.0000000000000000001'], ['1', '2']])
    await refused(['stake', 'add', ...amount], 2, /needs one AMOUNT in OPEN|Unknown option '-1'/)
  await refused(['stake', 'leave', 'some'], 2, /stake leave needs one AMOUNT/)
  await refused(['stake', 'withdraw', '--to', '0x12'], 2, /--to needs an address/)
  await refused(['stake', '--account', '0x12'], 2, /--account needs an address/)
})

test('a wallet that cannot pay the gas is told so in one line', () =>
  it.aside(async () => {
    const key = generatePrivateKey()
    const { address } = privateKeyToAccount(key)
    await it.client.setBalance({ address, value: parseEther('1') })
    const { status, stderr } = await openledger(['stake', 'add', '0.99999999999999'], {
      OPENLEDGER_WALLET_KEY: key,
    })
    assert.equal(status, 1)
    assert.match(stderr, /^openledger: The total cost .* exceeds the balance of the account\.\n$/)
  }))

test('stake is added, leaves after the delay, and is withdrawn', () =>
  it.aside(async () => {
    await refused(
      ['stake', 'add', '20000'],
      1,
      /the wallet holds [\d.]+ OPEN: too little for 20000 OPEN/,
    )
    const { stake } = await run<{ stake: Shown }>('stake', 'add', '5')
    assert.equal(stake.staked, parseEther('5').toString())
    assert.equal(await it.read('votingOpen', 'getVotes', [validator.address]), parseEther('5'))
    await refused(['stake', 'leave', '5.5'], 1, /only 5 OPEN is staked/)
    await refused(['stake', 'withdraw'], 1, /nothing is leaving/)

    await run('stake', 'leave', '1.5')
    const left = await run<Shown>('stake')
    assert.equal(left.staked, parseEther('3.5').toString())
    assert.equal(left.leaving, parseEther('1.5').toString())
    const { timestamp } = await it.client.getBlock()
    const until = Number(timestamp + values['staking.unbondDelay'])
    assert.equal(left.withdrawableAt, until)
    await refused(
      ['stake', 'withdraw'],
      1,
      new RegExp(`1.5 OPEN can be withdrawn from ${new Date(until * 1000).toISOString()} on`),
    )
    await pass(Number(values['staking.unbondDelay']))
    await run('stake', 'leave', 'all') // the delay begins anew, for all of it
    await refused(['stake', 'withdraw'], 1, /5 OPEN can be withdrawn from/)
    await pass(Number(values['staking.unbondDelay']))
    await run('stake', 'withdraw', '--to', ELSEWHERE)
    assert.equal(await it.client.getBalance({ address: ELSEWHERE }), parseEther('5'))
    assert.match(await shown('stake'), /^0 OPEN staked\n0 OPEN leaving\n/)
  }))

test('stake can be added for somebody else, who alone gets it back', () =>
  it.aside(async () => {
    await run('stake', 'add', '2', '--account', challenger.address)
    const { staked } = await run<Shown>('stake', '--account', challenger.address)
    assert.equal(staked, parseEther('2').toString())
    await refused(['stake', 'leave', 'all'], 1, /only 0 OPEN is staked/)
    const theirs = await openledger(['stake', 'leave', 'all'], {
      OPENLEDGER_WALLET_KEY: challenger.key,
    })
    assert.equal(theirs.status, 0, theirs.stderr)
  }))

test('what an approval earned and what is owed is collected once, whatever else is leaving', () =>
  it.aside(async () => {
    assert.equal(await shown('stake', 'collect'), 'nothing is due\n')
    await run('stake', 'add', '5')
    await pass(WINDOW) // younger stake does not attest
    const world = makeWorld(4, 32)
    const file = it.build([fairReceipt(world, 'answer')])
    await it.submit(file)
    await it.send(validator, 'validatorStaking', 'approve', [1n])
    await it.govern('challenge.answerTime', 100n)
    const bond = values['challenge.bond']
    const demand = [1n, 2, 0, 0] // the first payout; nobody answers, nobody resolves
    await it.send(validator, 'epochChallenges', 'demand', demand, bond)
    const locked = await run<Shown>('stake')
    assert.deepEqual([locked.pending, locked.rewards], [[1], []])
    assert.match(await shown('stake', 'collect'), /nothing is due; epoch 1 pending/)
    assert.match(await shown('stake'), /locked until epoch 1 is active/)

    await pass(WINDOW)
    const [demanded] = await it.client.getContractEvents({
      address: it.contracts.epochChallenges,
      abi: epochChallengesAbi,
      eventName: 'Demanded',
      fromBlock: 0n,
    })
    await it.send(validator, 'epochChallenges', 'reclaim', [demanded!.args.id])
    const due = await run<Shown>('stake')
    const stakers = BigInt(due.rewards[0]!.wei)
    assert.deepEqual(due.pending, [])
    assert.deepEqual(due.owed, [{ contract: 'epochChallenges', wei: bond.toString() }])
    // The staking contract has not been paid its part, and there is no API that could say how it is claimed.
    await refused(['stake', 'collect'], 1, /fetch failed/)

    const place = file.payouts.findIndex(
      ({ account }) => account === it.contracts.validatorStaking.toLowerCase(),
    )
    const { amount } = file.payouts[place]!
    assert.equal(stakers, amount - 1n) // less a wei for rounding, of one receipt
    const api = await answering({
      cumulative: amount,
      claimed: 0n,
      claimable: amount,
      pending: 0n,
      epoch: 1,
      proof: [],
      claim: {
        to: it.contracts.attributionSettlement.toLowerCase(),
        data: encodeFunctionData({
          abi: attributionSettlementAbi,
          functionName: 'claim',
          args: [
            it.contracts.validatorStaking,
            amount,
            1n,
            BigInt(place),
            payoutGap(file, place).rightProof,
          ],
        }),
      },
    })
    const collected = valueOf<{ transactions: string[] }>(
      await openledger(['stake', 'collect', '--to', ELSEWHERE, '--json'], {
        OPENLEDGER_EDGE: api.url,
      }),
    )
    api.stop()
    assert.deepEqual(api.asked, [`/v1/rewards/${it.contracts.validatorStaking.toLowerCase()}`])
    assert.equal(collected.transactions.length, 2)
    assert.equal(await it.client.getBalance({ address: ELSEWHERE }), stakers + bond)
    assert.match(await shown('stake', 'collect'), /nothing is due/)
    assert.equal((await run<Shown>('stake')).staked, parseEther('5').toString())
  }))

test('what the chain refuses is said with its reason', () =>
  it.aside(async () => {
    await run('stake', 'add', '1')
    await run('stake', 'leave', 'all')
    await pass(Number(values['staking.unbondDelay']))
    // The staking contract takes wei from the settlement alone.
    await refused(
      ['stake', 'withdraw', '--to', it.contracts.validatorStaking],
      1,
      /the chain refuses it: ETHTransferFailed\(\)/,
    )
  }))
