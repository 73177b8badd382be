import assert from 'node:assert/strict'
import test from 'node:test'
import { privateKeyToAccount } from 'viem/accounts'
import { keccak, lowerCase, ZERO_HASH, type Hex } from './bytes.ts'
import { buildEpoch, PART, type Presence } from './epoch.ts'
import { creditsTree, epochRoots, payoutsTree, receiptLeaf, receiptsTree } from './ledgers.ts'
import { leafHash, verifyOrdered } from './merkle.ts'
import {
  receiptFault,
  receiptSigner,
  receiptTypedData,
  type Receipt,
  type SignedReceipt,
} from './receipt.ts'

const worker = privateKeyToAccount(keccak('worker'))
const domain = { chainId: 901612, settlement: address('settlement') }
const treasuries = { platform: address('platform'), stakers: address('stakers') }
const presence: Presence[] = [
  {
    root: keccak('version'),
    clusters: [
      { contributor: address('alice'), count: 3 },
      { contributor: address('bob'), count: 1 },
    ],
  },
]

function address(name: string): Hex {
  return `0x${keccak(name).slice(2, 42)}`
}

function receiptOf(name: string, given: Partial<Receipt> = {}): Receipt {
  return {
    requestId: keccak(name),
    payer: address('payer'),
    base: keccak('base'),
    adapter: keccak('adapter'),
    indexRoot: keccak('index'),
    datanets: [keccak('version')],
    paramsHash: keccak('parameters'),
    methodVersion: 1,
    promptHash: keccak('prompt'),
    outputHash: keccak('output'),
    outputRoot: keccak('tokens'),
    outputTokens: 19,
    queryHash: keccak('query'),
    promptTokens: 10,
    completionTokens: 20,
    fee: 1_000n,
    platform: 100n,
    model: 200n,
    stakers: 200n,
    retrieval: 21n,
    modelOwner: address('owner'),
    covered: 10n,
    total: 100n,
    floor: 0n,
    rows: [
      {
        cluster: keccak('cluster'),
        record: keccak('record'),
        contributor: address('alice'),
        influence: -3n,
        significance: 2_500n,
        text: 12n,
        spans: [{ outputStart: 1, recordStart: 2, length: 3 }],
        amount: 378n,
      },
    ],
    unattributed: 101n,
    citations: [
      {
        cluster: keccak('cited'),
        record: keccak('cited'),
        contributor: address('carol'),
        datanet: keccak('library'),
        amount: 21n,
      },
    ],
    stored: false,
    worker: lowerCase(worker.address),
    time: 1_790_000_000n,
    ...given,
  }
}

async function sign(receipt: Receipt): Promise<SignedReceipt> {
  const signature = await worker.signTypedData(receiptTypedData(receipt, domain))
  return { receipt, signature, query: '' }
}

const at = (tree: { proof: (index: number) => Hex[]; leaves: unknown[] }, index: number) => ({
  index,
  count: tree.leaves.length,
  proof: tree.proof(index),
})

test('a signed receipt recovers to its signer and any change breaks that', async () => {
  const signed = await sign(receiptOf('r'))
  assert.equal(await receiptSigner(signed, domain), worker.address)
  const changed = { ...signed, receipt: { ...signed.receipt, fee: 1_001n } }
  assert.notEqual(await receiptSigner(changed, domain), worker.address)
  assert.notEqual(await receiptSigner(signed, { ...domain, chainId: 1 }), worker.address)
})

test('a receipt whose parts do not sum to its fee is faulty', () => {
  assert.equal(receiptFault(receiptOf('r')), null)
  assert.match(receiptFault(receiptOf('r', { fee: 999n })) ?? '', /sum to 1000/)
  assert.match(receiptFault(receiptOf('r', { datanets: [] })) ?? '', /nobody to pay/)
})

test('an epoch pays out exactly what it draws', async () => {
  const receipts = [
    await sign(receiptOf('1')),
    await sign(receiptOf('2', { payer: address('other') })),
  ]
  const input = { ...domain, epoch: 1, treasuries, receipts, presence }
  const file = buildEpoch(new Map([[address('alice'), 7n]]), input)

  const paid = new Map(file.payouts.map(({ account, amount }) => [account, amount]))
  const roots = epochRoots(file)
  assert.equal(roots.total, 2_000n)
  assert.equal(
    [...paid.values()].reduce((n, wei) => n + wei, 0n),
    2_000n + 7n,
  )
  // 202 wei over 4 clusters: 151.5 and 50.5, the first of equal remainders gets the odd wei.
  const [first] = [address('alice'), address('bob')].toSorted()
  const odd = (name: string) => (address(name) === first ? 1n : 0n)
  assert.equal(paid.get(address('alice')), 7n + 2n * 378n + 151n + odd('alice'))
  assert.equal(paid.get(address('carol')), 2n * 21n)
  assert.equal(paid.get(address('bob')), 50n + odd('bob'))
})

test('every receipt, credit and payout has a proof of its place', async () => {
  const receipts = await Promise.all(['1', '2', '3'].map((name) => sign(receiptOf(name))))
  const previous = new Map([[address('owner'), 5n]])
  const file = buildEpoch(previous, { ...domain, epoch: 1, treasuries, receipts, presence })
  const roots = epochRoots(file)

  const tree = receiptsTree(file)
  tree.leaves.forEach(({ receipt, spent }, i) => {
    assert.equal(spent, BigInt(i + 1) * 1_000n)
    const leaf = receiptLeaf(receipt, spent, domain)
    assert.ok(verifyOrdered(roots.receiptsRoot, leaf, at(tree, i)))
    assert.ok(!verifyOrdered(roots.receiptsRoot, leaf, { ...at(tree, i), index: (i + 1) % 3 }))
  })

  const credits = creditsTree(file)
  assert.equal(credits.leaves.length, roots.credits)
  const owner = credits.leaves.filter(({ account }) => account === address('owner'))
  assert.deepEqual(
    owner.map(({ receipt, part, amount, cumulative }) => [receipt, part, amount, cumulative]),
    [0, 1, 2].map((i) => [i, PART.model, 200n, 5n + 200n * BigInt(i + 1)]),
  )
  credits.leaves.forEach(({ account, receipt, part, amount, cumulative }, i) => {
    const leaf = leafHash('credit', [account, receipt, part, amount, cumulative])
    assert.ok(verifyOrdered(roots.creditsRoot, leaf, at(credits, i)))
    // The last credit of an account is what it may claim.
    if (credits.leaves[i + 1]?.account !== account)
      assert.equal(cumulative, file.payouts.find((payout) => payout.account === account)?.amount)
  })
  const payouts = payoutsTree(file)
  file.payouts.forEach(({ account, amount }, i) => {
    const leaf = leafHash('payout', [account, amount])
    assert.ok(verifyOrdered(roots.payoutsRoot, leaf, at(payouts, i)))
  })
})

test('an epoch does not depend on the order in which its receipts came', async () => {
  const receipts = await Promise.all(
    ['1', '2', '3'].map((name, i) => sign(receiptOf(name, { payer: address(`payer ${i % 2}`) }))),
  )
  const input = { ...domain, epoch: 1, treasuries, presence }
  assert.deepEqual(
    buildEpoch(new Map(), { ...input, receipts }),
    buildEpoch(new Map(), { ...input, receipts: receipts.toReversed() }),
  )
})

test('an epoch without the presence table of a Datanet version cannot be built', async () => {
  const receipts = [await sign(receiptOf('1', { datanets: [keccak('unknown')] }))]
  assert.throws(
    () => buildEpoch(new Map(), { ...domain, epoch: 1, treasuries, receipts, presence }),
    /presence/,
  )
})

test('an empty epoch has zero roots and draws nothing', () => {
  const file = buildEpoch(new Map(), {
    ...domain,
    epoch: 1,
    treasuries,
    receipts: [],
    presence: [],
  })
  const roots = epochRoots(file)
  assert.deepEqual([roots.receiptsRoot, roots.payoutsRoot, roots.total], [ZERO_HASH, ZERO_HASH, 0n])
})
