import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { parseEther } from 'viem'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { toJson, ZERO_HASH, type Hex } from '#protocol/bytes.ts'
import { PARAMETERS } from '#protocol/parameters.ts'
import { eventually } from '../testing/harness.ts'
import { testParameters } from '../testing/receipts.ts'
import { startSettlement, sumOf, type Settlement } from '../testing/settlement.ts'

let it: Settlement
before(async () => {
  it = await startSettlement()
})
after(() => it?.stop())

test('receipts become an epoch on chain, in the ledger and in the claims of those who earned', async () => {
  const [alice, owner] = [it.newAddress(), it.newAddress()]
  await it.deposit(alice, parseEther('1'))
  const receipts = [await it.newReceipt(alice, owner), await it.newReceipt(alice, owner)]
  await it.append(...receipts)
  const id = `rcp_${receipts[0]!.receipt.requestId.slice(2)}`
  assert.equal((await it.json(`/v1/receipts/${id}`))['status'], 'open')
  await it.done(...receipts)

  assert.equal(await it.balanceOf(alice), parseEther('1') - sumOf(receipts, 'fee'))
  await it.assertBalanced()
  const final = await eventually(async () => {
    const view = await it.json(`/v1/receipts/${id}`)
    return view['status'] === 'final' && view
  })
  assert.equal(final['explanation'], undefined, 'explanations are for the payer only')
  const proof = await it.json(`/v1/receipts/${id}/proof`)
  const onChain = await it.anvil.readContract({
    address: it.chain.contracts.attributionSettlement,
    abi: attributionSettlementAbi,
    functionName: 'epochs',
    args: [BigInt(proof['epoch'] as number)],
  })
  assert.equal(proof['root'], onChain.receiptsRoot)

  const rewards = await it.json(`/v1/rewards/${owner}`)
  assert.equal(rewards['claimable'], sumOf(receipts, 'model').toString())
  await it.send(rewards['claim'] as { to: Hex; data: Hex })
  assert.equal(await it.anvil.getBalance({ address: owner }), sumOf(receipts, 'model'))
  const afterwards = await it.json(`/v1/rewards/${owner}`)
  assert.equal(afterwards['claimable'], '0')
  assert.equal(afterwards['claimed'], sumOf(receipts, 'model').toString())
  assert.equal(afterwards['claim'], null)
  await it.assertBalanced()
})

test('who cannot pay any more is set aside and holds nobody up, and is settled after a deposit', async () => {
  const [poor, solvent, owner] = [it.newAddress(), it.newAddress(), it.newAddress()]
  await it.deposit(solvent, parseEther('1'))
  const [unpaid, paid] = [await it.newReceipt(poor, owner), await it.newReceipt(solvent, owner)]
  await it.append(unpaid, paid)
  await it.done(paid)
  assert.equal(await it.balanceOf(solvent), parseEther('1') - paid.receipt.fee)
  const state = (await it.json('/v1/ledger/reconciliation'))['settlement'] as { insolvent: Hex[] }
  assert.deepEqual(state.insolvent, [poor])
  await it.deposit(poor, parseEther('1'))
  await (await it.batcher()).poke()
  await it.done(unpaid)
  assert.equal(await it.balanceOf(poor), parseEther('1') - unpaid.receipt.fee)
  await it.assertBalanced()
})

test('many who cannot pay are looked at in turns, and one whose balance cannot be read keeps nobody', async () => {
  const [poor, solvent, owner] = [it.newAddress(), it.newAddress(), it.newAddress()]
  await it.deposit(solvent, parseEther('1'))
  const [unpaid, paid] = [await it.newReceipt(poor, owner), await it.newReceipt(solvent, owner)]
  // They come before the others by address, and owe as much as the first of them.
  const unreadable: Hex = `0x0a${'bad'.padEnd(38, '0')}`
  const broke = Array.from({ length: 120 }, (_, i) => `0x0b${String(i).padStart(38, '0')}`)
  const signed = toJson(await it.newReceipt(unreadable, owner))
  const all = JSON.stringify([unreadable, ...broke])
  await it.sqlite('INSERT INTO insolvent SELECT value, 0 FROM json_each(?)', all)
  await it.sqlite(
    `INSERT INTO receipt (request_id, account_id, payer, params_hash, signed, explanation, received_at)
     SELECT 'of ' || value, 'acct_broke', value, '0x', ?, '{}', 0 FROM json_each(?)`,
    signed,
    all,
  )

  const isAbout = (body: string) => body.includes(unreadable.slice(2))
  it.rpc.fault((_, body) => (isAbout(body) ? { status: 503 } : 'pass'))
  await it.append(unpaid, paid)
  await it.done(paid)

  type Called = { id: number; params: [{ data: string }] }
  let most = 0
  const answer = ({ id, params: [{ data }] }: Called) =>
    isAbout(data)
      ? { jsonrpc: '2.0', id, error: { code: -32_000, message: 'no such state' } }
      : { jsonrpc: '2.0', id, result: ZERO_HASH }
  it.rpc.fault((_, body) => {
    if (!isAbout(body)) return 'pass'
    const called = [JSON.parse(body) as Called | Called[]].flat()
    most = Math.max(most, called.length)
    return { status: 200, body: JSON.stringify(called.map(answer)) }
  })
  await it.deposit(poor, parseEther('1'))
  await it.poke()
  await it.done(unpaid)
  assert.equal(most, 100)
  const { insolvent } = (await it.json('/v1/ledger/reconciliation'))['settlement'] as {
    insolvent: Hex[]
  }
  assert.deepEqual(insolvent, [unreadable, ...broke])

  it.rpc.fault(() => 'pass')
  for (const table of ['insolvent', 'receipt'])
    await it.sqlite(`DELETE FROM ${table} WHERE payer < '0x0c'`)
  await it.assertBalanced()
})

test('receipts made under different governed numbers go into different epochs', async () => {
  const [payer, owner] = [it.newAddress(), it.newAddress()]
  await it.deposit(payer, parseEther('1'))
  const before = await it.newReceipt(payer, owner)
  await it.govern('attribution.topK', 17n)
  const after = await it.newReceipt(payer, owner, { ...testParameters(), 'attribution.topK': 17n })
  await it.append(before, after)
  await it.done(before, after)
  const epochs = await Promise.all(
    [before, after].map(async ({ receipt }) => {
      const { epoch } = await it.json(`/v1/receipts/rcp_${receipt.requestId.slice(2)}/proof`)
      return epoch as number
    }),
  )
  assert.notEqual(epochs[0], epochs[1])
  const named = await Promise.all(
    epochs.map((epoch) => it.sqlite('SELECT params_hash FROM epoch WHERE epoch = ?', epoch)),
  )
  assert.deepEqual(
    named.flat(),
    [before, after].map(({ receipt }) => ({ params_hash: receipt.paramsHash })),
  )
  const governed = (await it.json('/v1/parameters')) as { params_hash: Hex; values: object }
  assert.equal(governed.params_hash, after.receipt.paramsHash)
  assert.deepEqual((governed.values as Record<string, object>)['attribution.topK'], {
    value: '17',
    min: PARAMETERS['attribution.topK'].min.toString(),
    max: PARAMETERS['attribution.topK'].max.toString(),
    default: PARAMETERS['attribution.topK'].value.toString(),
    proposed: [],
  })
  await it.assertBalanced()
  const { openTimelock } = it.chain.contracts
  assert.ok(BigInt((await it.json(`/v1/rewards/${openTimelock}`))['cumulative'] as string) > 0n)
})

test('the nightly comparison is kept, and names the account that a wei is missing from', async () => {
  const payer = it.newAddress()
  await it.deposit(payer, 5n)
  const newest = async () =>
    (
      await it.postgres.query<{ balanced: boolean; report: { differences: { payers: object[] } } }>(
        'SELECT balanced, report FROM reconciliation ORDER BY id DESC LIMIT 1',
      )
    )[0]!
  const posted = () =>
    it.postgres.query(`SELECT FROM ledger_account WHERE kind = 'payer' AND address = $1`, payer)
  await eventually(async () => (await posted()).length === 1)
  await it.edge.worker.scheduled({ cron: '17 3 * * *' })
  assert.equal((await newest()).balanced, true)
  // A wei that the ledger moved and the chain did not.
  await it.postgres.query(
    `WITH moved AS (INSERT INTO ledger_transaction (kind, natural_key, block, details)
       VALUES ('deposit', 'forged', 1, '{}') RETURNING id)
     INSERT INTO ledger_entry (transaction_id, account_id, amount)
     SELECT moved.id, a.id, CASE kind WHEN 'payer' THEN 1 ELSE -1 END FROM moved, ledger_account a
     WHERE a.address = $1 AND kind = 'payer' OR a.id = (SELECT min(id) FROM ledger_account WHERE kind = 'outside')`,
    payer,
  )
  await it.edge.worker.scheduled({ cron: '17 3 * * *' })
  const found = await newest()
  assert.equal(found.balanced, false)
  assert.deepEqual(found.report.differences.payers, [
    { account: payer, ledger: '6', chain: '5', difference: '1' },
  ])
})
