import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { devAccount } from '../../contracts/test/anvil.ts'
import { startSettlement, type Settlement } from '../support/settlement.ts'

/** A dishonest worker or settler against the real contracts, and the real `openledger watch` that looks on. */

const validator = devAccount(5)

let it: Settlement
before(async () => {
  it = await startSettlement()
})
after(() => it?.stop())

test('an honest epoch has nothing to be found', async () => {
  await it.submit([await it.call(), await it.call()])
  const { status, reports } = await it.watch(validator.key)
  assert.deepEqual(
    reports.flatMap(({ findings }) => findings),
    [],
  )
  assert.equal(status, 0)
})
