import { createTestHarness } from 'wrangler'
import { keccak, ZERO_ADDRESS, type Hex } from '#protocol/bytes.ts'
import { encodeQuery, type Receipt, type SignedReceipt } from '#protocol/receipt.ts'
import { METHOD_VERSION } from '#protocol/score.ts'
import { figure, quantile, type Figure } from '../report.ts'

const ROWS = 8 // paid records per receipt, about what the sample's answers have
const QUERY = new Uint8Array(2_016).fill(7) // as long as a rank 8 adapter's
const WIDTH = 32 // requests that end at the same time

/** Receipts like those of real answers: `payers` callers in turn, a fee of 100 tokens each. */
export function madeReceipts(
  count: number,
  payers: readonly Hex[],
  paramsHash: Hex,
): SignedReceipt[] {
  const fee = 10n ** 14n
  return Array.from({ length: count }, (_, i) => {
    const hash = (what: string) => keccak(`${what} ${i}`)
    const amount = (fee * 4n) / 10n / BigInt(ROWS)
    const rows = Array.from({ length: ROWS }, (_row, row) => ({
      cluster: hash(`cluster ${row}`),
      record: hash(`record ${row}`),
      contributor: keccak(`contributor ${(i + row) % 100}`).slice(0, 42) as Hex,
      influence: 1000n,
      significance: 5000n,
      text: 100n,
      spans: [{ outputStart: 3, recordStart: 9, length: 6 }],
      amount,
    }))
    const split = { platform: fee / 10n, model: fee / 5n, stakers: fee / 5n, retrieval: 0n }
    const receipt: Receipt = {
      ...split,
      requestId: hash('request'),
      payer: payers[i % payers.length] ?? ZERO_ADDRESS,
      base: hash('base'),
      adapter: hash('adapter'),
      indexRoot: hash('index'),
      datanets: [keccak('version')],
      paramsHash,
      methodVersion: METHOD_VERSION,
      promptHash: hash('prompt'),
      outputHash: hash('output'),
      outputRoot: hash('tokens'),
      outputTokens: 80,
      queryHash: keccak(QUERY),
      promptTokens: 20,
      completionTokens: 80,
      fee,
      modelOwner: keccak('owner').slice(0, 42) as Hex,
      covered: 100n,
      total: 1_000n,
      floor: 0n,
      rows,
      unattributed: fee / 2n - amount * BigInt(ROWS),
      citations: [],
      stored: false,
      worker: keccak('worker').slice(0, 42) as Hex,
      time: 1_800_000_000n,
    }
    const query = encodeQuery(new Int8Array(QUERY))
    return { receipt, signature: `0x${'11'.repeat(65)}` as Hex, query }
  })
}

/** How many receipts per second get from a Worker through the inboxes into the ReceiptBatcher. */
export async function benchReceipts({ quick }: { quick: boolean }): Promise<Figure[]> {
  const [rounds, perRound] = quick ? [3, 500] : [5, 2_000]
  process.env['CLOUDFLARE_CF_FETCH_ENABLED'] = 'false' // no placeholder for request.cf from the network
  const harness = createTestHarness({
    workers: [{ configPath: new URL('receipts.toml', import.meta.url), vars: SETTINGS }],
  })
  try {
    await harness.listen()
    const perSecond: number[] = []
    const all = madeReceipts(
      rounds * perRound,
      [keccak('payer').slice(0, 42) as Hex],
      keccak('parameters'),
    )
    for (let round = 0; round < rounds; round++) {
      const some = all.slice(round * perRound, (round + 1) * perRound)
      await harness.fetch('/load', { method: 'POST', body: JSON.stringify(some, asDecimal) })
      const started = performance.now()
      const done = await harness.fetch(`/append?width=${WIDTH}`, { method: 'POST' })
      if ((await done.text()) !== String(perRound)) throw new Error('receipts were not appended')
      perSecond.push(perRound / ((performance.now() - started) / 1000))
    }
    return [
      figure(
        { name: 'receipts into the batcher', unit: '/s', better: 'higher' },
        quantile(perSecond, 0.5),
      ),
    ]
  } finally {
    await harness.close()
  }
}

const asDecimal = (_key: string, value: unknown) =>
  typeof value === 'bigint' ? value.toString() : value

const nowhere = 'http://127.0.0.1:9'
const contract = `0x${'01'.repeat(20)}`
const SETTINGS = {
  CHAIN_ID: '901612',
  RPC_URL: nowhere,
  DA_URL: nowhere,
  PUBLIC_URL: nowhere,
  CONTRACTS: JSON.stringify({
    parameters: contract,
    datanetRegistry: contract,
    modelRegistry: contract,
    inferenceVault: contract,
    attributionSettlement: contract,
    openGovernor: contract,
    votingOpen: contract,
    validatorStaking: contract,
    receiptChallenges: contract,
    epochChallenges: contract,
    openTimelock: contract,
  }),
  EPOCH_SECONDS: '86400',
  EPOCH_MAX_RECEIPTS: '1000000',
  INDEX_SECONDS: '60',
  START_BLOCK: '0',
  QUOTA_PER_MINUTE: '60000',
  MAX_FEE_PER_GAS: '100000000000',
  OPERATOR_KEY: `0x${'11'.repeat(32)}`,
  WORKER_TOKEN: 'a-token-for-the-workers-of-the-bench',
  TEXTS_KEY: `0x${'22'.repeat(32)}`,
}
