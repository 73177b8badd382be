import assert from 'node:assert/strict'
import test from 'node:test'
import { buildReceipts } from '../testing/build-receipts.ts'

/** What the modules alone take is half of it; all receipts at once, parsed, would take as much again and more. */
const HEAP_MB = 48

test('an epoch is built in memory that does not grow with its receipts', async () => {
  const { publishedBytes, segments } = await buildReceipts(
    { receipts: 1_500, accounts: 1_000 },
    HEAP_MB,
  )
  assert.ok(segments > 4)
  assert.ok(publishedBytes > 0)
})
