import { after, test } from 'node:test'
import { keccak, ZERO_HASH, type Hex } from '#protocol/bytes.ts'
import {
  challengeCitations,
  challengeEquivocation,
  challengeListing,
  challengeModel,
  challengeOmission,
  challengeScore,
  challengeShares,
  challengeSpan,
  type Call,
  type Disputed,
} from '#protocol/challenge.ts'
import { influenceRowLeaf } from '#protocol/influence-row.ts'
import type { Receipt } from '#protocol/receipt.ts'
import { makeWorld, operator, values, worker } from './dispute.ts'
import { assertGas, atFullSize, deepProof, fullReceipt, INDEX_DEPTH } from './full-size.ts'
import { startChallenging, withRow } from './challenging.ts'

const MOST_GAS = 300_000n
/** ModelRegistry.MAX_ROOTS. */
const DATANETS = 16

const { it, challenge, indexed } = await startChallenging()
after(() => it.stop())

test('each challenge of a receipt costs less than 300,000 gas at full size', async () => {
  const large = makeWorld(40, 2_048)
  const wide = fullReceipt(large, 'full')
  const place = (receipt: Receipt, position: number) =>
    large.rows.findIndex(({ record }) => record === receipt.rows[position]!.record)
  const gas: Record<string, bigint> = {}

  /** Challenges a receipt over an index of 131,072 rows of which one can be opened. */
  const deep = async (receipt: Receipt, row: number | null, build: (disputed: Disputed) => Call) =>
    it.aside(async () => {
      const leaf = row === null ? ZERO_HASH : influenceRowLeaf(large.rows[row]!)
      const { proof, root } = deepProof(leaf, INDEX_DEPTH)
      const file = atFullSize(it.build([{ ...receipt, indexRoot: root }], null, large.query))
      await it.submit(file)
      const call = build({ file, receipt: 0 })
      const args = call.args.map((arg) =>
        typeof arg === 'object' && arg && 'vectorHash' in arg ? { ...arg, proof } : arg,
      )
      gas[call.functionName] = await challenge({ ...call, args })
    })
  const scored = place(wide, 1)
  await deep(withRow(wide, 1, { influence: 1n }), scored, (disputed) =>
    challengeScore(disputed, 1, indexed(scored, large)),
  )
  const text = wide.rows.at(-1)!
  const omits = { ...wide, rows: wide.rows.map((row, i) => (i === 1 ? text : row)) }
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
    .map(({ text: textWeight, cluster }, i) => ({ textWeight, cluster, i }))
    .filter(({ textWeight }) => textWeight === 70_000n)
    .toSorted((a, b) => (a.cluster < b.cluster ? 1 : -1))[0]!
  await deep(wide, null, (disputed) => challengeListing(disputed, lastText.i))

  await it.aside(async () => {
    const roots = await registerAdapter(wide, deepProof(ZERO_HASH, INDEX_DEPTH).root)
    const datanets = [...roots.slice(1).toReversed(), keccak('another')]
    await deep({ ...wide, datanets }, null, challengeModel)
  })
  await it.aside(async () => {
    await it.send(worker, 'validatorStaking', 'stake', [worker.address], 10n ** 18n)
    await it.client.increaseTime({ seconds: 5 }) // another second, another checkpoint of stake
    await it.client.mine({ blocks: 1 })
    const other = { ...wide, fee: wide.fee + 1n }
    const signed = { receipt: wide, signature: await it.sign(wide), query: '' }
    const against = { receipt: other, signature: await it.sign(other), query: '' }
    const file = atFullSize({ ...it.build([wide]), receipts: [signed] })
    await it.submit(file)
    gas['challengeEquivocation'] = await challenge(
      challengeEquivocation({ file, receipt: 0 }, against, { inEpoch: true }),
    )
  })
  assertGas('receipt-challenges', gas, { most: MOST_GAS })
})

/** Registers a receipt's adapter on as many Datanet versions as there may be; resolves to their roots. */
async function registerAdapter(
  { base, adapter, modelOwner }: Receipt,
  indexRoot: Hex,
): Promise<Hex[]> {
  const datanet = keccak('datanet')
  const hash = keccak('of no account')
  await it.send(
    operator,
    'datanetRegistry',
    'createDatanet',
    [datanet, operator.address, hash, hash, 0],
    values['fee.datanet'],
  )
  const roots = Array.from({ length: DATANETS }, (_, i) => keccak(`version ${i}`))
  for (const [i, root] of roots.entries())
    await it.send(operator, 'datanetRegistry', 'publishVersion', [datanet, i + 1, root, hash, 1])
  const fee = values['fee.model']
  await it.send(operator, 'modelRegistry', 'registerBase', [base, operator.address, 1n, hash], fee)
  const registration = {
    digest: adapter,
    base,
    indexRoot,
    manifestHash: hash,
    owner: modelOwner,
    pricePerToken: 1n,
    datanetRoots: roots,
  }
  await it.send(operator, 'modelRegistry', 'registerAdapter', [registration], fee)
  return roots
}
