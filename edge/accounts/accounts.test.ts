import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { createTestClient, http } from 'viem'
import { deposit } from '../testing/adapter.ts'
import { startChain, type Chain } from '../testing/chain.ts'
import { eventually, startEdge, type Edge } from '../testing/harness.ts'
import { signIn } from '../testing/wallet.ts'

let chain: Chain
let edge: Edge
before(async () => {
  chain = await startChain()
  edge = await startEdge(chain.vars)
})
after(async () => {
  await edge.harness.close()
  await chain.stop()
})

type AccountStub = {
  hold: (id: string, wei: bigint, balance: bigint) => Promise<{ held: boolean; available: bigint }>
  owe: (id: string, wei: bigint) => Promise<void>
  release: (ids: string[]) => Promise<void>
  committed: () => Promise<{ held: bigint; owed: bigint; total: bigint }>
  admit: (request: { limitPerMinute: number; key: string; fingerprint: string }) => Promise<unknown>
}
/** Calls an account object from Node, and copies what it answers out of the RPC proxy. */
async function account(name: string) {
  const { ACCOUNT } = (await edge.worker.getEnv()) as {
    ACCOUNT: { getByName: (name: string) => AccountStub }
  }
  const stub = ACCOUNT.getByName(name)
  return {
    hold: async (id: string, wei: bigint, balance: bigint) => {
      const { held, available } = await stub.hold(id, wei, balance)
      return { held, available }
    },
    owe: (id: string, wei: bigint) => stub.owe(id, wei),
    release: (ids: string[]) => stub.release(ids),
    begin: async (key: string) =>
      void (await stub.admit({ limitPerMinute: 10, key, fingerprint: 'f' })),
    committed: async () => {
      const { held, owed, total } = await stub.committed()
      return { held, owed, total }
    },
  }
}

test('money is held only while there is some, and counts until it is released', async () => {
  const one = await account('acct_holds')
  assert.deepEqual(await one.hold('a', 60n, 100n), { held: true, available: 40n })
  assert.deepEqual(await one.hold('b', 60n, 100n), { held: false, available: 40n })
  assert.deepEqual(await one.hold('b', 40n, 100n), { held: true, available: 0n })
  await one.owe('a', 10n)
  assert.deepEqual(await one.committed(), { held: 40n, owed: 10n, total: 50n })
  await one.release(['a', 'b', 'unknown'])
  assert.deepEqual(await one.committed(), { held: 0n, owed: 0n, total: 0n })
})

test('holding, owing and releasing twice is the same as once', async () => {
  const one = await account('acct_twice')
  await one.hold('a', 60n, 100n)
  assert.equal((await one.hold('a', 60n, 100n)).held, true)
  await one.owe('a', 60n)
  await one.owe('a', 60n)
  assert.equal((await one.committed()).total, 60n)
  await one.release(['a'])
  await one.release(['a'])
  assert.equal((await one.committed()).total, 0n)
})

test('of many requests at once no more are held than the balance covers', async () => {
  const one = await account('acct_race')
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, i) => one.hold(`r${i}`, 10n, 75n)),
  )
  assert.equal(answers.filter((answer) => answer.held).length, 7)
})

test('holds are in storage, not in memory', async () => {
  const one = await account('acct_stored')
  await one.hold('a', 5n, 100n)
  await one.owe('b', 10n ** 24n)
  const storage = await edge.worker.getDurableObjectStorage('ACCOUNT', { name: 'acct_stored' })
  assert.deepEqual(
    await storage.exec('SELECT request_id, kind, wei FROM holds ORDER BY request_id'),
    [
      { request_id: 'a', kind: 'held', wei: '5' },
      { request_id: 'b', kind: 'owed', wei: '1000000000000000000000000' },
    ],
  )
})

for (const what of ['a hold', 'a key'])
  test(`what requests that died left behind is gone after ${what} of the next one`, async () => {
    const name = `acct_dead after ${what}`
    const one = await account(name)
    await one.owe('owed', 1n)
    const storage = await edge.worker.getDurableObjectStorage('ACCOUNT', { name })
    await storage.exec(`UPDATE holds SET created_at = 1`)
    await storage.exec(`INSERT INTO holds VALUES ('dead', 'held', '5', 1)`)
    await storage.exec(
      `INSERT INTO idempotency (key, fingerprint, state, created_at) VALUES ('dead', 'f', 'running', 1)`,
    )
    if (what === 'a hold') await one.hold('live', 5n, 100n)
    else await one.begin('live')
    await eventually(
      async () => (await storage.exec(`SELECT 1 FROM idempotency WHERE key = 'dead'`)).length === 0,
    )
    assert.deepEqual(
      await storage.exec('SELECT request_id FROM holds ORDER BY request_id'),
      (what === 'a hold' ? ['live', 'owed'] : ['owed']).map((id) => ({ request_id: id })),
    )
  })

test('the balance of an account is what the vault holds less what is committed', async () => {
  const { accountId, address, headers } = await signIn(edge)
  const read = async () => {
    const response = await edge.fetch('/v1/account', { headers })
    assert.equal(response.status, 200)
    return (await response.json()) as { address: string; balance: Record<string, string> }
  }
  assert.deepEqual((await read()).balance, {
    deposited: '0',
    pending: '0',
    withdrawing: '0',
    held: '0',
    available: '0',
  })
  await deposit(chain, address, 1_000_000n)
  const miner = createTestClient({ mode: 'anvil', transport: http(chain.rpcUrl) })
  await miner.setIntervalMining({ interval: 0 }) // the deposit's block stays the newest while it is looked at
  const one = await account(accountId)
  await one.hold('r', 300_000n, 1_000_000n)
  const pending = await eventually(async () => {
    const seen = await read()
    return seen.balance['pending'] !== '0' && seen
  })
  assert.deepEqual(
    [pending.balance['pending'], pending.balance['deposited'], pending.balance['available']],
    ['1000000', '0', '0'],
    'a deposit counts when its block is safe',
  )
  await miner.setIntervalMining({ interval: 1 })
  const view = await eventually(async () => {
    const seen = await read()
    return seen.balance['deposited'] !== '0' && seen
  })
  assert.equal(view.address, address)
  assert.deepEqual(view.balance, {
    deposited: '1000000',
    pending: '0',
    withdrawing: '0',
    held: '300000',
    available: '700000',
  })
})
