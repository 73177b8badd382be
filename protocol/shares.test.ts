import assert from 'node:assert/strict'
import test from 'node:test'
import { keccak, ZERO_ADDRESS, ZERO_HASH } from './bytes.ts'
import { defaultParameters, paramsHash } from './parameters.ts'
import { receiptFault, type Receipt } from './receipt.ts'
import { allocate, citationAmounts, METHOD_VERSION, shortlist, splitFee } from './score.ts'
import { sharesFault } from './shares.ts'

const values = { ...defaultParameters(), 'attribution.topK': 3n }
const candidates = [70n, 40n, 20n, 9n].map((influence, i) => ({
  cluster: keccak(`cluster ${i}`),
  record: keccak(`record ${i}`),
  contributor: ZERO_ADDRESS,
  influence,
  significance: 9_000n,
  text: BigInt(i) * 5n,
}))
const information = { covered: 30n, total: 100n }

function fairReceipt(fee = 10n ** 15n + 7n, cited = 0): Receipt {
  const { contributors, ...split } = splitFee(fee, values, cited)
  const amounts = citationAmounts(split.retrieval, cited)
  const { rows, floor } = shortlist(candidates, values)
  const fair = allocate(contributors, rows, information, values)
  return {
    requestId: keccak('request'),
    payer: ZERO_ADDRESS,
    base: keccak('base'),
    adapter: keccak('adapter'),
    indexRoot: keccak('index'),
    datanets: [keccak('version')],
    paramsHash: paramsHash(values),
    methodVersion: METHOD_VERSION,
    promptHash: keccak('prompt'),
    outputHash: keccak('output'),
    outputRoot: keccak('tokens'),
    outputTokens: 3,
    queryHash: keccak('query'),
    promptTokens: 1,
    completionTokens: 3,
    fee,
    ...split,
    modelOwner: ZERO_ADDRESS,
    ...information,
    floor,
    rows: fair.rows.map(({ weight: _weight, ...row }) => ({ ...row, spans: [] })),
    unattributed: fair.unattributed,
    citations: amounts.map((amount, i) => ({
      cluster: keccak(`cited ${i}`),
      record: keccak(`cited ${i}`),
      contributor: ZERO_ADDRESS,
      datanet: keccak('library'),
      amount,
    })),
    stored: false,
    worker: ZERO_ADDRESS,
    time: 1n,
  }
}

test('a receipt that follows its own rows has no fault, whatever its fee', () => {
  for (const fee of [0n, 1n, 99n, 10n ** 9n, 10n ** 18n + 3n])
    assert.equal(sharesFault(fairReceipt(fee), values), null)
})

test('citations share their own part of the fee alike, and nothing when there are none', () => {
  const receipt = fairReceipt(10n ** 15n + 7n, 3)
  const { retrieval, citations } = receipt
  assert.equal(sharesFault(receipt, values), null)
  assert.equal(receiptFault(receipt), null)
  assert.equal(retrieval, ((10n ** 15n + 7n) * values['split.retrieval']) / 1_000_000n)
  assert.deepEqual(
    citations.map(({ amount }) => amount - retrieval / 3n),
    [1n, 0n, 0n]
      .slice(0, Number(retrieval % 3n))
      .concat([0n, 0n, 0n])
      .slice(0, 3),
  )
  const without = fairReceipt()
  assert.equal(without.retrieval, 0n)
  const [first, ...rest] = citations
  const faults: [RegExp, Receipt][] = [
    [
      /citation 0 gets/,
      { ...receipt, citations: [{ ...first!, amount: first!.amount + 1n }, ...rest] },
    ],
    [/cited twice/, { ...receipt, citations: [first!, first!, ...rest.slice(1)] }],
    [/split/, { ...receipt, citations: [] }],
    [/split/, { ...without, citations }],
  ]
  for (const [reason, wrong] of faults) assert.match(sharesFault(wrong, values) ?? '', reason)
  assert.match(receiptFault({ ...receipt, citations: rest }) ?? '', /citations get/)
})

test('one wei, one row or one place off is a fault', () => {
  const receipt = fairReceipt()
  const [first, second, ...rest] = receipt.rows
  const faults: [RegExp, Partial<Receipt>][] = [
    [/split/, { platform: receipt.platform + 1n, stakers: receipt.stakers - 1n }],
    [/row 0 gets/, { rows: [{ ...first!, amount: first!.amount + 1n }, second!, ...rest] }],
    [/next lower weight/, { rows: [second!, first!, ...rest] }],
    [/unattributed/, { unattributed: receipt.unattributed - 1n }],
    [/floor/, { floor: receipt.floor + 1n }],
    [/twice/, { rows: [...receipt.rows, first!] }],
    [
      /do not belong/,
      { rows: [...receipt.rows, { ...first!, cluster: ZERO_HASH, influence: 1n, text: 0n }] },
    ],
    [/gets|weight/, { covered: 90n }],
  ]
  for (const [reason, change] of faults)
    assert.match(sharesFault({ ...receipt, ...change }, values) ?? '', reason)
  assert.throws(() => sharesFault({ ...receipt, methodVersion: 9 }, values), /method 9/)
})

test('a bare base pays its owner the contributors’ part', () => {
  const { contributors, model, ...split } = splitFee(1_000n, values)
  const base: Receipt = {
    ...fairReceipt(1_000n),
    ...split,
    adapter: ZERO_HASH,
    model: model + contributors,
    rows: [],
    unattributed: 0n,
  }
  assert.equal(sharesFault(base, values), null)
  assert.match(sharesFault({ ...base, unattributed: 1n }, values) ?? '', /bare base/)
})
