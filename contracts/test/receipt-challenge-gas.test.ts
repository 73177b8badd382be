import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { keccak, ZERO_HASH, type Hex } from '#protocol/bytes.ts'
import {
  challengeCitations,
  challengeEquivocation,
  challengeListing,
  challengeOmission,
  challengeScore,
  challengeShares,
  challengeSpan,
  type Call,
  type Disputed,
} from '#protocol/challenge.ts'
import { receiptLeaf } from '#protocol/ledgers.ts'
import { influenceRowLeaf } from '#protocol/influence-row.ts'
import { creditGapAfter, payoutGapAfter, receiptEvidence } from '#protocol/proof.ts'
import type { Receipt } from '#protocol/receipt.ts'
import { MAX_CITATIONS } from '#protocol/wire.ts'
import { root as repository } from '../script/foundry.ts'
import { fairReceipt, makeWorld, worker } from './dispute.ts'
import { hashPairOf, hashSortedPair } from './deep.ts'
import { startChallenging, withRow } from './challenging.ts'

const SNAPSHOT = join(repository, 'contracts/snapshots/challenges.json')
const MOST_GAS = 300_000n
const siblings = (count: number) => Array.from({ length: count }, (_, i) => keccak(`s${i}`))

const { it, world, honest, pair, challenge, challengeEpoch, indexed } = await startChallenging()
after(() => it.stop())

test('each challenge costs less than 300,000 gas at full size', async () => {
  const large = makeWorld(40, 2_048)
  const full = fairReceipt(large, 'full', { cited: MAX_CITATIONS })
  const place = (receipt: Receipt, position: number) =>
    large.rows.findIndex(({ record }) => record === receipt.rows[position]!.record)
  const gas: Record<string, bigint> = {}

  /** A receipt in an epoch of 1,024, over an index of 131,072 rows of which one can be opened. */
  const deep = async (receipt: Receipt, row: number | null, build: (disputed: Disputed) => Call) =>
    it.aside(async () => {
      const indexProof = siblings(17)
      const leaf = row === null ? ZERO_HASH : influenceRowLeaf(large.rows[row]!)
      const indexed = { ...receipt, indexRoot: indexProof.reduce(hashSortedPair, leaf) }
      const proof = siblings(10)
      const domain = { chainId: 901_612, settlement: it.contracts.attributionSettlement }
      const root: Hex = proof.reduce(hashPairOf, receiptLeaf(indexed, indexed.fee, domain))
      const file = it.build([indexed], null, large.query)
      await it.submit(file, { receipts: { root, count: 1_024 } })
      const call = build({ file, receipt: 0 })
      const args = call.args.map((arg) =>
        typeof arg === 'object' && arg && 'vectorHash' in arg ? { ...arg, proof: indexProof } : arg,
      )
      const opened = { ...receiptEvidence(file, 0), index: 1_023, proof }
      gas[call.functionName] = await challenge({ ...call, args: [opened, ...args.slice(1)] })
    })
  // As many rows as can be listed: twice topK, half of them for their text.
  const texts = Array.from({ length: 32 - full.rows.length }, (_, i) => ({
    ...full.rows.at(-1)!,
    cluster: keccak(`t${i}`),
    record: keccak(`r${i}`),
    text: 70_000n,
    amount: 0n,
  }))
  const wide: Receipt = { ...full, rows: [...full.rows, ...texts] }
  assert.equal(wide.rows.length, 32)
  const scored = place(wide, 1)
  await deep(withRow(wide, 1, { influence: 1n }), scored, (disputed) =>
    challengeScore(disputed, 1, indexed(scored, large)),
  )
  const omits = { ...wide, rows: wide.rows.map((r, i) => (i === 1 ? texts[0]! : r)) }
  await deep(omits, scored, (disputed) => challengeOmission(disputed, indexed(scored, large)))
  const position = wide.rows.findIndex(({ spans }) => spans.length > 0)
  const moved = withRow(wide, position, {
    spans: [{ outputStart: 10, recordStart: 41, length: 20 }],
  })
  await deep(moved, 0, (disputed) =>
    challengeSpan(disputed, { position, span: 0, offset: 0 }, indexed(0, large), {
      answer: large.answer,
      record: large.texts[0]!,
    }),
  )
  await deep(wide, null, challengeShares)
  const [cited, ...others] = wide.citations
  const twice = { ...wide, citations: [...others, { ...cited!, cluster: others[0]!.cluster }] }
  await deep(twice, null, challengeCitations)
  // Of 17 rows with text the one with the last cluster is the seventeenth.
  const lastText = wide.rows
    .map(({ text, cluster }, i) => ({ text, cluster, i }))
    .filter(({ text }) => text === 70_000n)
    .toSorted((a, b) => (a.cluster < b.cluster ? 1 : -1))[0]!
  await deep(wide, null, (disputed) => challengeListing(disputed, lastText.i))

  await it.aside(async () => {
    const first = it.build(pair())
    const file = it.build([fairReceipt(world, 'd')], first)
    const raised = {
      ...file,
      payouts: file.payouts.map((p, i) => (i === 0 ? { ...p, amount: p.amount + 1n } : p)),
    }
    const { account } = file.payouts[0]!
    await it.submit(first)
    await it.submit(file, { payouts: raised })
    gas['challengeTotal'] = await challengeEpoch('challengeTotal', [
      2n,
      account,
      creditGapAfter(file, account),
      payoutGapAfter(raised, account),
      payoutGapAfter(first, account),
    ])
  })
  await it.aside(async () => {
    const other = { ...honest, fee: honest.fee + 1n }
    await it.send(worker, 'validatorStaking', 'stake', [worker.address], 10n ** 18n)
    await it.client.increaseTime({ seconds: 5 }) // another second, another checkpoint of stake
    await it.client.mine({ blocks: 1 })
    const signed = { receipt: honest, signature: await it.sign(honest), query: '' }
    const twice = { receipt: other, signature: await it.sign(other), query: '' }
    const file = { ...it.build([honest]), receipts: [signed] }
    gas['challengeEquivocation'] = await challenge(
      challengeEquivocation({ file, receipt: 0 }, twice, { inEpoch: false }),
    )
  })
  const found = Object.fromEntries(Object.entries(gas).map(([name, n]) => [name, Number(n)]))
  if (!existsSync(SNAPSHOT) || process.env['FORGE_SNAPSHOT_CHECK'] === 'false')
    writeFileSync(SNAPSHOT, `${JSON.stringify(found, null, 2)}\n`)
  const kept = JSON.parse(readFileSync(SNAPSHOT, 'utf8')) as Record<string, number>
  for (const [name, used] of Object.entries(found)) {
    assert.ok(BigInt(used) < MOST_GAS, `${name}: ${used}`)
    // Signatures and addresses differ by a few bytes of calldata.
    assert.ok(Math.abs(used - (kept[name] ?? 0)) < 1_000, `${name}: ${used}, was ${kept[name]}`)
  }
})
