import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { createPublicClient, createWalletClient, http, publicActions } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { datanetRegistryAbi } from '#contracts/datanet-registry.ts'
import { fromHex, keccak, type Hex } from '#protocol/bytes.ts'
import {
  emptyRevocations,
  extendRevocations,
  headOf,
  MAX_WITHDRAWN,
  withdrawalTypedData,
  type Revocation,
} from '#protocol/revocations.ts'
import { openledger, valueOf } from '../../test/support/command.ts'
import type { Env } from '../env.ts'
import { readPresence } from '../settlement/presence.ts'
import { startChain, type Chain } from '../testing/chain.ts'
import { CLAUSES, contributeRecords, contributionIn, createDatanet } from '../testing/datanets.ts'
import { eventually, startEdge, type Edge } from '../testing/harness.ts'
import { startPostgres, type Postgres } from '../testing/postgres.ts'
import { signIn, type SignedIn } from '../testing/wallet.ts'

/** Records that contributors take back and batches that curation rejects, on the real Worker, chain and ledger. */

/** Third of anvil's well-known keys; it stands for the curation contract, which alone rejects batches. */
const CURATION = privateKeyToAccount(
  '0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a',
)
const GOVERNOR = privateKeyToAccount(
  '0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80',
)

let chain: Chain
let postgres: Postgres
let edge: Edge
let [owner, alice, bob]: SignedIn[] = []
let datanet: string
const ids: Record<'alice' | 'bob', string> = { alice: '', bob: '' }
before(async () => {
  chain = await startChain()
  // Before the edge runs: its chain writer alone counts the nonces of this key from then on.
  await write(GOVERNOR, 'setCuration', [CURATION.address])
  postgres = await startPostgres()
  edge = await startEdge({ ...chain.vars, INDEX_SECONDS: '1' })
  const { INDEXER } = (await edge.worker.getEnv()) as unknown as Env
  await INDEXER.getByName('chain').poke()
  ;[owner, alice, bob] = [await signIn(edge), await signIn(edge), await signIn(edge)]
  datanet = await createDatanet(edge, owner!)
  for (const [name, by, clauses] of [
    ['alice', alice!, CLAUSES.slice(0, 3)],
    ['bob', bob!, CLAUSES.slice(3, 5)],
  ] as const) {
    const { id } = await contributeRecords(edge, by, datanet, clauses)
    await contributionIn(edge, by, id, ['anchored'])
    ids[name] = id
  }
})
after(async () => {
  await edge?.harness.close()
  await Promise.all([postgres?.stop(), chain?.stop()])
})

async function write(account: typeof CURATION, functionName: string, args: unknown[]) {
  const wallet = createWalletClient({ account, transport: http(chain.rpcUrl) }).extend(
    publicActions,
  )
  const hash = await wallet.writeContract({
    address: chain.contracts.datanetRegistry,
    abi: datanetRegistryAbi as never,
    functionName: functionName as never,
    args: args as never,
    chain: null,
  })
  const { status } = await wallet.waitForTransactionReceipt({ hash })
  assert.equal(status, 'success')
}

const CHAIN_ID = 901_612

/** Takes records back with the wallet of `signer`. */
const withdraw = async (
  by: SignedIn | undefined,
  id: string,
  records: Hex[],
  { signer = by, ...rest }: { signer?: SignedIn | undefined; note?: string } = {},
) => {
  const domain = { chainId: CHAIN_ID, datanetRegistry: chain.contracts.datanetRegistry }
  const signature = await privateKeyToAccount(signer?.privateKey ?? keccak('nobody')).signTypedData(
    withdrawalTypedData(records, domain),
  )
  const response = await edge.fetch(`/v1/contributions/${id}/withdrawal`, {
    method: 'POST',
    headers: by?.headers ?? {},
    body: JSON.stringify({ records, signature, ...rest }),
  })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

const recordsOf = async (by: SignedIn, id: string): Promise<Hex[]> =>
  (await verdicts(by, id)).map(({ record }) => record)

const registry = () => ({ address: chain.contracts.datanetRegistry, abi: datanetRegistryAbi })
const revokedAt = (contributor: Hex, record: Hex): Promise<bigint> =>
  createPublicClient({ transport: http(chain.rpcUrl) }).readContract({
    ...registry(),
    functionName: 'revokedAt',
    args: [contributor, record],
  })

/** Waits until every entry of the log is on chain by the call that it names. */
async function assertAnchored(): Promise<void> {
  await eventually(async () => {
    await edge.worker.scheduled({ cron: '* * * * *' })
    const { data } = (await (await edge.fetch('/v1/revocations')).json()) as {
      data: (Revocation & { tx_hash: Hex | null })[]
    }
    return data.every((entry) => entry.tx_hash !== null)
  })
  for (const { record, contributor, call } of (await readLog()).entries) {
    assert.ok((await revokedAt(contributor, record)) > 0n)
    const response = await edge.fetch(`/v1/revocations/calls/${call}`)
    const { to, data } = (await response.json()) as { to: Hex; data: Hex }
    assert.equal(to, chain.contracts.datanetRegistry.toLowerCase())
    assert.equal(keccak(fromHex(data)), call)
  }
}

type Verdict = { record: Hex; revoked: string | null }
const verdicts = async (by: SignedIn, id: string): Promise<Verdict[]> => {
  const response = await edge.fetch(`/v1/contributions/${id}/records`, { headers: by.headers })
  return ((await response.json()) as { data: Verdict[] }).data
}

async function readLog(limit = 2) {
  const log = emptyRevocations()
  for (;;) {
    const response = await edge.fetch(`/v1/revocations?limit=${limit}&after=${log.entries.length}`)
    const page = (await response.json()) as { data: Revocation[]; has_more: boolean }
    extendRevocations(log, page.data)
    if (!page.has_more) return log
  }
}

async function publish() {
  const started = await edge.fetch(`/v1/datanets/${datanet}/versions`, {
    method: 'POST',
    headers: owner!.headers,
  })
  if (started.status !== 202) return started.status
  const { version } = (await started.json()) as { version: number }
  const path = `/v1/datanets/${datanet}/versions/${version}`
  const view = await eventually(async () => {
    const read = (await (await edge.fetch(path)).json()) as {
      status: string
      records: number
      revoked: number
      root: Hex
      manifest: Hex
      error: string | null
    }
    return ['published', 'failed'].includes(read.status) && read
  })
  const rows = await edge.fetch(`${path}/rows?limit=100`)
  const { data } = (await rows.json()) as { data?: { record: Hex; contributor: Hex }[] }
  return { ...view, rows: data?.map(({ record }) => record) ?? [] }
}

test('only who contributed a record takes it back, and only one that was accepted', async () => {
  const id = ids.alice
  const own = await recordsOf(alice!, id)
  assert.equal((await withdraw(undefined, id, own)).status, 401)
  assert.equal((await withdraw(bob, id, own)).status, 403)
  assert.equal((await withdraw(owner, id, own)).status, 403)
  assert.equal((await withdraw(alice, 'ctr_00000000000000000000000000', own)).status, 404)
  const unknown = await withdraw(alice, id, [keccak('unknown')])
  assert.equal(unknown.status, 404)
  assert.match(JSON.stringify(unknown.body), /record_not_found/)
  const unsigned = await withdraw(alice, id, own, { signer: bob })
  assert.equal(unsigned.status, 403)
  assert.match(JSON.stringify(unsigned.body), /contribution_not_signed/)
  assert.equal((await withdraw(alice, id, [])).status, 400)
  assert.equal((await withdraw(alice, id, Array(MAX_WITHDRAWN + 1).fill(own[0]))).status, 400)
  assert.equal((await edge.fetch(`/v1/revocations/calls/${own[0]}`)).status, 404)
  const { id: empty } = await contributeRecords(edge, alice!, datanet, [CLAUSES[0]!])
  assert.equal((await withdraw(alice, empty, own)).status, 409) // a duplicate: nothing was accepted
  assert.deepEqual((await readLog()).entries, [])
})

test('a record that was taken back is in the log, in its verdict, and in no later version', async () => {
  const whole = await publish()
  assert.ok(typeof whole === 'object')
  assert.deepEqual([whole.status, whole.records, whole.revoked], ['published', 5, 0])
  const [first, second, third] = await verdicts(alice!, ids.alice)
  const gone = await withdraw(alice, ids.alice, [second!.record], { note: 'not mine' })
  assert.equal(gone.status, 200)
  assert.deepEqual([gone.body['records'], gone.body['added'], gone.body['entries']], [1, 1, 1])
  const log = await readLog()
  assert.equal(headOf(log), gone.body['head'])
  const { record, contributor, reason, contribution } = log.entries[0]!
  assert.deepEqual(
    { record, contributor, reason, contribution },
    {
      record: second!.record,
      contributor: alice!.address,
      reason: 'revoked',
      contribution: ids.alice,
    },
  )
  assert.ok(!JSON.stringify(log.entries).includes('not mine'))
  assert.deepEqual(
    (await verdicts(alice!, ids.alice)).map(({ revoked }) => revoked),
    [null, 'revoked', null],
  )

  const again = await withdraw(alice, ids.alice, [second!.record, second!.record])
  assert.deepEqual([again.body['added'], again.body['head']], [0, gone.body['head']])

  const version = await publish()
  assert.ok(typeof version === 'object' && version.status === 'published')
  assert.deepEqual([version.records, version.revoked], [4, 1])
  const rest = (await verdicts(bob!, ids.bob)).map((verdict) => verdict.record)
  assert.deepEqual(version.rows, [first!.record, third!.record, ...rest])
  assert.equal(await publish(), 409)
  // The version that models were trained on stays; its base pool counts what stood at a time.
  const env = (await edge.worker.getEnv()) as unknown as Env
  const { time } = log.entries[0]!
  for (const [at, clusters] of [
    [time - 1, 3],
    [time, 2],
  ] as const) {
    const presence = await readPresence(env, whole, at)
    assert.equal(presence.root, whole.root)
    assert.deepEqual(
      new Map(presence.clusters.map(({ contributor: by, count }) => [by, count])),
      new Map([
        [alice!.address, clusters],
        [bob!.address, 2],
      ]),
    )
  }
  const resent = await contributeRecords(edge, alice!, datanet, [CLAUSES[1]!])
  assert.equal(resent.counts['accepted'], 0) // it stays taken back
})

test('withdrawals at the same time all get into the log, once', async () => {
  const wanted = await verdicts(alice!, ids.alice)
  const answers = await Promise.all(
    [...wanted, ...wanted].map(({ record }) => withdraw(alice, ids.alice, [record])),
  )
  assert.ok(answers.every(({ status }) => status === 200))
  assert.equal(
    answers.reduce((sum, { body }) => sum + Number(body['added']), 0),
    2,
  )
  const log = await readLog()
  assert.deepEqual(
    new Set(log.entries.map(({ record }) => record)),
    new Set(wanted.map(({ record }) => record)),
  )
  await assertAnchored()
})

test('a batch that curation rejects is revoked as penalized, once it is safe', async () => {
  const known = (await readLog()).entries.length
  await write(CURATION, 'reject', [keccak(ids.bob), 100_000n])
  await eventually(async () => {
    await edge.worker.scheduled({ cron: '* * * * *' })
    return (await readLog()).entries.length === known + 2
  })
  const added = (await readLog()).entries.slice(known)
  assert.ok(
    added.every(
      ({ reason, contributor }) => reason === 'penalized' && contributor === bob!.address,
    ),
  )
  await edge.worker.scheduled({ cron: '* * * * *' })
  assert.equal((await readLog()).entries.length, known + 2)
  const own = await recordsOf(bob!, ids.bob)
  assert.equal((await withdraw(bob, ids.bob, own)).body['added'], 0)
  await assertAnchored()
  assert.equal(await publish(), 409) // nothing is left
})

test('a version that withdrawals led back to an earlier one’s records says which', async () => {
  const id = await createDatanet(edge, owner!)
  datanet = id
  const texts = [
    'The tenant returns the keys on the last day of the lease and pays for those that are lost.',
    'A parcel that weighs more than thirty kilograms is carried by two people, never by one alone.',
  ]
  const contributions: string[] = []
  for (const text of texts) {
    const contribution = await contributeRecords(edge, alice!, id, [{ text }])
    await contributionIn(edge, alice!, contribution.id, ['anchored'])
    contributions.push(contribution.id)
    const version = await publish()
    assert.ok(typeof version === 'object' && version.status === 'published')
  }
  const { url } = await edge.harness.listen()
  const said = await openledger(
    [
      'datanet',
      'withdraw',
      contributions[1]!,
      '--json',
      `--edge=${url.origin}`,
      `--rpc=${chain.rpcUrl}`,
    ],
    { OPENLEDGER_WALLET_KEY: alice!.privateKey, OPENLEDGER_API_KEY: alice!.key },
  )
  const { records, added } = valueOf<{ records: number; added: number }>(said)
  assert.deepEqual([records, added], [1, 1])
  const version = await publish()
  assert.ok(typeof version === 'object')
  assert.deepEqual(
    [version.status, version.error],
    ['failed', 'Version 1 has these very records: use it.'],
  )
})
