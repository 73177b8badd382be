import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { decodeFunctionData, encodeAbiParameters, keccak256, parseEther, type Abi } from 'viem'
import { openBridgeL1Abi } from '#contracts/open-bridge-l1.ts'
import { openBridgeL2Abi } from '#contracts/open-bridge-l2.ts'
import type { Hex } from '#protocol/bytes.ts'
import {
  deployBridge,
  L2_MESSENGER,
  LIQUIDITY_CONTROLLER,
  type Bridge,
} from '../../script/deploy-bridge.ts'
import { foundryBinary, root } from '../../script/foundry.ts'
import { devAccount, startAnvil } from '../anvil.ts'
import { Values } from '../vectors.ts'

type Chain = Awaited<ReturnType<typeof startAnvil>>
type Contract = { address: Hex; abi: Abi }
/** One chain's end: its messenger, its bridge, and what was relayed to it. */
type End = { chain: Chain; messenger: Contract; bridge: Contract }
type Message = {
  nonce: bigint
  sender: Hex
  target: Hex
  message: Hex
  amount: bigint
  hash: Hex
}

const LIQUIDITY = parseEther('1000000000')
const CAPACITY = parseEther('1000')
const PER_SECOND = parseEther('1')
const [portal, ...users] = [0, 1, 2, 3].map(devAccount)
const relayer = portal!

describe('the bridge over two chains', () => {
  let l1: End
  let l2: End
  let token: Contract
  let bridge: Bridge

  before(async () => {
    const built = spawnSync(foundryBinary('forge'), ['build'], { cwd: root, encoding: 'utf8' })
    assert.equal(built.status, 0, built.stdout + built.stderr)
    const [first, second] = await Promise.all([startAnvil(), startAnvil()])
    token = await deploy(first, 'TestToken')
    const onL1 = await deploy(first, 'TestMessenger')
    // Predeploys: the code of a deployed one at the address of the chain's own.
    const onL2 = await predeploy(second, 'TestMessenger', L2_MESSENGER)
    const controller = await predeploy(second, 'TestLiquidityController', LIQUIDITY_CONTROLLER)
    await second.client.setBalance({ address: LIQUIDITY_CONTROLLER, value: LIQUIDITY })
    bridge = await deployBridge({
      l1RpcUrl: first.rpcUrl,
      l2RpcUrl: second.rpcUrl,
      deployerKey: relayer.key,
      token: token.address,
      l1Messenger: onL1.address,
      capacity: CAPACITY,
      perSecond: PER_SECOND,
    })
    await write(second, controller, 'authorizeMinter', [bridge.openBridgeL2])
    l1 = {
      chain: first,
      messenger: onL1,
      bridge: { address: bridge.openBridgeL1, abi: openBridgeL1Abi },
    }
    l2 = {
      chain: second,
      messenger: onL2,
      bridge: { address: bridge.openBridgeL2, abi: openBridgeL2Abi },
    }
    for (const { address } of users) {
      await write(first, token, 'transfer', [address, parseEther('100000')])
      const account = users.find((user) => user.address === address)!
      await write(first, token, 'approve', [bridge.openBridgeL1, 2n ** 256n - 1n], { account })
    }
  })
  after(() => {
    l1?.chain.stop()
    l2?.chain.stop()
  })

  test('keeps every wei through deposits, withdrawals, failures, retries and repetitions', async () => {
    const values = new Values('bridge')
    const pick = (count: number) => Number(values.uint(64) % BigInt(count))
    const counts = { deposited: 0, withdrawn: 0, relayed: 0, failed: 0, repeated: 0 }
    for (let step = 0; step < 60; step++) {
      const account = users[pick(users.length)]!
      const to = users[pick(users.length)]!.address
      const amount = 1n + (values.uint(128) % CAPACITY)
      const action = pick(6)
      if (action < 2) {
        await write(l1.chain, token, 'approve', [bridge.openBridgeL1, amount], { account })
        await write(l1.chain, l1.bridge, 'deposit', [to, amount], { account })
        counts.deposited++
      } else if (action === 2) {
        await write(l2.chain, l2.bridge, 'withdraw', [to], { account, value: amount })
        counts.withdrawn++
      } else {
        const [from, into] = pick(2) === 0 ? [l1, l2] : [l2, l1]
        const sent = await sentBy(from)
        const message = sent[pick(sent.length || 1)]
        if (!message) continue
        if (await isRelayed(into, message)) {
          await assert.rejects(relay(into, message), /relayed already/)
          counts.repeated++
        } else {
          await relay(into, message)
          counts[(await isRelayed(into, message)) ? 'relayed' : 'failed']++
        }
        if (pick(3) === 0) await pass(into.chain, pick(600))
      }
      await conserved(`step ${step}`)
    }
    for (const [what, count] of Object.entries(counts)) assert.ok(count >= 3, `${what} ${count}`)

    // In the end everything arrives.
    for (const [from, into] of [
      [l1, l2],
      [l2, l1],
    ] as const)
      for (const message of await sentBy(from)) {
        if (await isRelayed(into, message)) continue
        await pass(into.chain, Number(CAPACITY / PER_SECOND))
        await relay(into, message)
        assert.ok(await isRelayed(into, message))
      }
    assert.equal(await underWay(), 0n)
    await conserved('the end')
  })

  test('lets nobody in who is not the other end', async () => {
    const forger = users[0]!
    await assert.rejects(
      write(l2.chain, l2.bridge, 'receiveFromOther', [forger.address, 1n], { account: forger }),
      /NotMessenger/,
    )
    const [message] = await sentBy(l1)
    const forged = hashed({ ...message!, nonce: 10_000n, sender: forger.address })
    await relay(l2, forged)
    assert.equal(await isRelayed(l2, forged), false)
    await assert.rejects(relay(l2, { ...message!, nonce: 9n ** 9n }, forger), /only the portal/)
    await conserved('forgeries')
  })

  /** Locked on L1 = minted - burned on L2 + under way. */
  async function conserved(when: string): Promise<void> {
    const locked = await read(l1.chain, token, 'balanceOf', [bridge.openBridgeL1])
    const left = await l2.chain.client.getBalance({ address: LIQUIDITY_CONTROLLER })
    assert.equal(locked, LIQUIDITY - left + (await underWay()), when)
  }

  async function underWay(): Promise<bigint> {
    const [there, back] = await Promise.all([pending(l1, l2), pending(l2, l1)])
    return there + back
  }
})

async function sentBy({ chain, messenger }: End): Promise<Message[]> {
  const logs = await chain.client.getContractEvents({
    ...messenger,
    eventName: 'SentMessage',
    fromBlock: 0n,
  })
  return logs.map((log) => {
    const { target, sender, message, messageNonce } = (
      log as unknown as {
        args: { target: Hex; sender: Hex; message: Hex; messageNonce: bigint }
      }
    ).args
    const { args } = decodeFunctionData({ abi: openBridgeL1Abi, data: message })
    const [, amount] = args as [Hex, bigint]
    return hashed({ nonce: messageNonce, sender, target, message, amount })
  })
}

/** A message with the hash by which the messenger knows it. */
function hashed({ nonce, sender, target, message, amount }: Omit<Message, 'hash'>): Message {
  const encoded = encodeAbiParameters(
    [{ type: 'uint256' }, { type: 'address' }, { type: 'address' }, { type: 'bytes' }],
    [nonce, sender, target, message],
  )
  return { nonce, sender, target, message, amount, hash: keccak256(encoded) }
}

/** Wei sent from one end that have not come out of the other. */
async function pending(from: End, into: End): Promise<bigint> {
  const [sent, relayed] = await Promise.all([sentBy(from), relayedTo(into)])
  return sent.filter(({ hash }) => !relayed.has(hash)).reduce((sum, { amount }) => sum + amount, 0n)
}

const isRelayed = async (into: End, { hash }: Message): Promise<boolean> =>
  (await relayedTo(into)).has(hash)

async function relayedTo({ chain, messenger }: End): Promise<Set<Hex>> {
  const logs = await chain.client.getContractEvents({
    ...messenger,
    eventName: 'RelayedMessage',
    fromBlock: 0n,
  })
  return new Set(logs.map((log) => (log as unknown as { args: { msgHash: Hex } }).args.msgHash))
}

const relay = (
  { chain, messenger }: End,
  { nonce, sender, target, message }: Message,
  account = relayer,
) => write(chain, messenger, 'relayMessage', [nonce, sender, target, message], { account })

async function pass({ client }: Chain, seconds: number): Promise<void> {
  await client.increaseTime({ seconds })
  await client.mine({ blocks: 1 })
}

const read = (chain: Chain, contract: Contract, functionName: string, args: unknown[] = []) =>
  chain.client.readContract({ ...contract, functionName, args }) as Promise<bigint>

async function write(
  { client }: Chain,
  contract: Contract,
  functionName: string,
  args: unknown[],
  { account = relayer, value = 0n } = {},
): Promise<void> {
  const call = { ...contract, functionName, args, value, account: account.account }
  const { request } = await client.simulateContract(call)
  // Far more than an estimate: what is tried inside may fail and is caught.
  const hash = await client.writeContract({ ...request, gas: 2_000_000n, chain: null })
  assert.equal((await client.waitForTransactionReceipt({ hash })).status, 'success')
}

async function deploy({ client }: Chain, name: string): Promise<Contract> {
  const file = join(root, `contracts/out/${name}.sol/${name}.json`)
  const { abi, bytecode } = JSON.parse(readFileSync(file, 'utf8'))
  const hash = await client.deployContract({
    abi,
    bytecode: bytecode.object,
    account: relayer.account,
    chain: null,
  })
  const { contractAddress } = await client.waitForTransactionReceipt({ hash })
  return { address: contractAddress!, abi }
}

async function predeploy(chain: Chain, name: string, address: Hex): Promise<Contract> {
  const { address: deployed, abi } = await deploy(chain, name)
  const bytecode = await chain.client.getCode({ address: deployed })
  await chain.client.setCode({ address, bytecode: bytecode! })
  return { address, abi }
}
