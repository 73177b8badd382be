import type { AddressInfo } from 'node:net'
import { parseEther } from 'viem'
import { generatePrivateKey, privateKeyToAddress } from 'viem/accounts'
import { keccak, lowerCase } from '#protocol/bytes.ts'
import { deposit } from '#edge/testing/adapter.ts'
import { startChain } from '#edge/testing/chain.ts'
import { eventually, startEdge } from '#edge/testing/harness.ts'
import { startPostgres } from '#edge/testing/postgres.ts'
import { inboxName } from '#edge/settlement/epoch-tables.ts'
import { receiptOf, sign, testParameters } from '#edge/testing/receipts.ts'
import { startDaServer } from '#stack/da-server.ts'
import { figure, quantile, type Figure } from '../report.ts'
import { scratchFolder } from '../../support/scratch.ts'

const WINDOW_SECONDS = 2 // settlement.window of startChain
const EPOCH_SECONDS = 1

/** The Worker's inboxes, as far as the bench uses it; the Worker's own types are not those of Node. */
type Inboxes = {
  INBOXES: { getByName: (name: string) => { append: (receipt: object) => Promise<void> } }
}

/**
 * Seconds from a receipt in the batcher to wei that its earner can claim, on the real Worker, an EigenDA proxy's API and a
 * chain with a block a second: beside the window and the epoch, which nothing can be faster than.
 */
export async function benchLatency({ quick }: { quick: boolean }): Promise<Figure[]> {
  const [chain, postgres, da] = await Promise.all([
    startChain(),
    startPostgres(),
    startDaServer(scratchFolder(), 0),
  ])
  const edge = await startEdge({
    ...chain.vars,
    DA_URL: `http://127.0.0.1:${(da.address() as AddressInfo).port}`,
    EPOCH_SECONDS: String(EPOCH_SECONDS),
  })
  try {
    const key = generatePrivateKey()
    const payer = lowerCase(privateKeyToAddress(generatePrivateKey()))
    await deposit(chain, payer, parseEther('1'))
    const { INBOXES } = (await edge.worker.getEnv()) as Inboxes
    const seconds: number[] = []
    for (let i = 0; i < (quick ? 2 : 5); i++) {
      const owner = lowerCase(privateKeyToAddress(generatePrivateKey()))
      const said = {
        requestId: keccak(`latency ${i}`),
        payer,
        base: keccak('base'),
        modelOwner: owner,
        pricePerToken: 10n ** 12n,
        promptTokens: 10,
        completionTokens: 20,
        output: 'text',
        values: testParameters(),
      }
      const signed = await sign(key, receiptOf(said, lowerCase(privateKeyToAddress(key))), {
        chainId: 901612,
        settlement: chain.contracts.attributionSettlement,
      })
      const started = performance.now()
      await INBOXES.getByName(inboxName(said.requestId)).append({
        signed,
        explanation: { rows: [], unattributed: 0, attributionMs: 0 },
        accountId: 'acct_bench',
        manifests: [],
        answer: { windows: [], givenAt: 0 },
      })
      await eventually(async () => {
        const response = await edge.fetch(`/v1/rewards/${owner}`)
        const { claimable } = (await response.json()) as { claimable: string }
        return BigInt(claimable) > 0n
      })
      seconds.push((performance.now() - started) / 1_000)
    }
    return [
      figure({ name: 'receipt to claimable', unit: 's', better: 'lower' }, quantile(seconds, 0.5), {
        value: EPOCH_SECONDS + WINDOW_SECONDS,
        name: 'epoch and window alone',
      }),
    ]
  } finally {
    await edge.harness.close()
    da.close()
    await Promise.all([postgres.stop(), chain.stop()])
  }
}
