import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { createPublicClient, defineChain, http } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { CHAIN_ID, devAccount, startAnvil } from '../../contracts/test/anvil.ts'
import { openOutbox } from './outbox.ts'
import { openWatchState } from './watch-state.ts'

/** What a validator signed before it died takes effect once, whatever it had come to. */

const [sender, receiver] = [devAccount(1), devAccount(2)]
const VALUE = 10n ** 18n

let chain: Awaited<ReturnType<typeof startAnvil>>
before(async () => {
  chain = await startAnvil()
})
after(() => chain?.stop())

function open(rpcUrl = chain.rpcUrl) {
  const state = openWatchState(':memory:')
  const viemChain = defineChain({
    id: CHAIN_ID,
    name: 'test',
    nativeCurrency: { name: 'OPEN', symbol: 'OPEN', decimals: 18 },
    rpcUrls: { default: { http: [chain.rpcUrl] } },
  })
  const reader = createPublicClient({
    chain: viemChain,
    transport: http(chain.rpcUrl),
    pollingInterval: 20,
    cacheTime: 0,
  })
  const wallet = { account: privateKeyToAccount(sender.key), chain: viemChain, rpcUrl, reader }
  return { state, wallet, outbox: openOutbox(wallet, state) }
}
const balance = () => chain.client.getBalance({ address: receiver.address })
const payment = { to: receiver.address, data: '0x', value: VALUE } as const

test('one intent is one transaction, however often it is asked for', async () => {
  const { outbox } = open()
  const before = await balance()
  const first = await outbox('pay', payment)
  const again = await outbox('pay', payment)
  assert.equal(again.transactionHash, first.transactionHash)
  assert.equal((await balance()) - before, VALUE)
  await outbox('pay again', payment)
  assert.equal((await balance()) - before, 2n * VALUE)
})

test('what was written down and not sent is sent after a restart, to the byte', async () => {
  const dead = open('http://127.0.0.1:9') // nobody listens: it dies between writing and sending
  const before = await balance()
  await assert.rejects(dead.outbox('pay', payment))
  const written = dead.state.sent('pay')
  assert.ok(written)
  const { transactionHash } = await openOutbox(
    { ...dead.wallet, rpcUrl: chain.rpcUrl },
    dead.state,
  )('pay', payment)
  assert.equal(transactionHash, written.hash)
  assert.equal((await balance()) - before, VALUE)
})

test('what can never be mined, because its nonce was taken, is signed anew', async () => {
  const dead = open('http://127.0.0.1:9')
  await assert.rejects(dead.outbox('pay', payment))
  const written = dead.state.sent('pay')
  await open().outbox('something else', { ...payment, value: 1n })
  const before = await balance()
  const { transactionHash } = await openOutbox(
    { ...dead.wallet, rpcUrl: chain.rpcUrl },
    dead.state,
  )('pay', payment)
  assert.notEqual(transactionHash, written?.hash)
  assert.equal(dead.state.sent('pay')?.hash, transactionHash)
  assert.equal((await balance()) - before, VALUE)
})
