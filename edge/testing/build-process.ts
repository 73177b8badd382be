import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { canonicalJson, keccak, sha256Hex, type Hex } from '#protocol/bytes.ts'
import type { DatanetManifest } from '#protocol/wire.ts'
import { encodeItem, MAX_SEGMENT_BYTES } from '#protocol/segments.ts'
import { buildEpoch, type Settlement } from '../settlement/build-epoch.ts'
import { openEpochStore } from '../settlement/epoch-store.ts'
import type { Built, Size } from './build-receipts.ts'
import { madeReceipt } from './made-receipts.ts'
import { openStorage } from './storage.ts'
import { scratchFolder } from '../../test/support/scratch.ts'

/** Builds one epoch by the batcher's own code for build-receipts.ts. */

const PAYERS = 20
const NOBODY: Hex = `0x${'00'.repeat(20)}`

async function build({ receipts, accounts }: Size, dir: string): Promise<Built> {
  const storage = openStorage(join(dir, 'batcher.sqlite'))
  const store = openEpochStore(storage)
  storage.transactionSync(() => {
    for (let i = 0; i < accounts; i++)
      storage.sql.exec(
        'INSERT INTO payout (account, amount) VALUES (?, ?)',
        `0x${i.toString(16).padStart(40, '0')}`,
        String(10n ** 18n + BigInt(i)),
      )
  })
  const payers = Array.from({ length: PAYERS }, (_, i) => keccak(`payer ${i}`).slice(0, 42) as Hex)
  const root = keccak('version')
  const version = new TextEncoder().encode(canonicalJson(versionOf(root)))
  let jsonBytes = 0
  for (let i = 0; i < receipts; i++) {
    const signed = madeReceipt(i, payers, keccak('parameters'))
    const text = encodeItem(signed)
    jsonBytes += text.length
    store.receive('inbox', [
      {
        seq: i + 1,
        request_id: signed.receipt.requestId,
        account_id: 'acct_bench',
        payer: signed.receipt.payer,
        params_hash: signed.receipt.paramsHash,
        signed: text,
        explanation: '{}',
        manifests: JSON.stringify([{ root, manifest: sha256Hex(version) }]),
        received_at: i,
      },
    ])
  }
  store.take({ receipts, payers: PAYERS }, 0)
  const epoch = store.unsettled()
  if (epoch?.receipts !== receipts) throw new Error(`${epoch?.receipts} receipts were taken`)

  let [publishedBytes, peakBytes] = [0, 0]
  const look = () => {
    const { heapUsed, external } = process.memoryUsage()
    peakBytes = Math.max(peakBytes, heapUsed + external)
  }
  const BLOBS = {
    head: async () => null,
    put: async (_key: string, bytes: Uint8Array) => {
      publishedBytes += bytes.length
      look()
    },
    get: async () => ({ arrayBuffer: async () => version.slice().buffer }),
  }
  /** No record is revoked. */
  const DB = { prepare: () => ({ bind: () => ({ all: async () => ({ results: [] }) }) }) }
  const watching = setInterval(look, 5)
  const started = performance.now()
  const CONTRACTS = {
    attributionSettlement: NOBODY,
    openTimelock: NOBODY,
    validatorStaking: NOBODY,
  }
  const settings = { CHAIN_ID: 1, CONTRACTS, SEGMENT_BYTES: MAX_SEGMENT_BYTES }
  await buildEpoch({ env: { BLOBS, DB }, settings, store } as unknown as Settlement, epoch)
  const seconds = (performance.now() - started) / 1_000
  clearInterval(watching)
  return {
    seconds,
    peakBytes,
    jsonBytes,
    publishedBytes,
    segments: store.segments(epoch.epoch).length,
  }
}

/** Manifest of the Datanet version that the receipts name. */
const versionOf = (root: Hex): DatanetManifest => ({
  format: 'openledger-datanet-1',
  datanet: 'dn_bench',
  name: 'bench',
  version: 1,
  parent: null,
  licence: 'CC0-1.0',
  pipelineHash: keccak('pipeline'),
  root,
  records: 100,
  reasons: {},
  contributors: [{ contributor: NOBODY, records: 100, clusters: 100 }],
  shards: [],
  createdAt: '2026-01-01T00:00:00.000Z',
})

const [receipts = 0, accounts = 0] = process.argv.slice(2).map(Number)
Object.assign(globalThis, { scheduler: { wait } })
process.stdout.write(JSON.stringify(await build({ receipts, accounts }, scratchFolder())))
