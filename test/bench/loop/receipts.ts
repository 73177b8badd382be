import { createTestHarness } from 'wrangler'
import { madeReceipts } from '#edge/testing/made-receipts.ts'
import { keccak, toJson, type Hex } from '#protocol/bytes.ts'
import { figure, quantile, type Figure } from '../report.ts'

const WIDTH = 32 // requests that end at the same time

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
      await harness.fetch('/load', { method: 'POST', body: toJson(some) })
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
  SEGMENT_BYTES: '4194304',
  INDEX_SECONDS: '60',
  START_BLOCK: '0',
  QUOTA_PER_MINUTE: '60000',
  MAX_FEE_PER_GAS: '100000000000',
  OPERATOR_KEY: `0x${'11'.repeat(32)}`,
  WORKER_TOKEN: 'a-token-for-the-workers-of-the-bench',
  TEXTS_KEY: `0x${'22'.repeat(32)}`,
}
