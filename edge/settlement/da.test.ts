import assert from 'node:assert/strict'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { startDaServer } from '#stack/da-server.ts'
import { startProxy, type Fault, type Proxy } from '../testing/proxy.ts'
import { getData, putData } from './da.ts'
import { scratchFolder } from '../../test/support/scratch.ts'

const dir = scratchFolder()
const servers: Awaited<ReturnType<typeof startDaServer>>[] = []
let [first, second]: Proxy[] = []
/** A layer that knows nothing of the other one, so that it shows which one has the bytes. */
async function startLayer(name: string): Promise<Proxy> {
  const server = await startDaServer(join(dir, name), 0)
  servers.push(server)
  return startProxy(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
}
before(async () => {
  ;[first, second] = [await startLayer('first'), await startLayer('second')]
})
after(async () => {
  await Promise.all([first?.stop(), second?.stop()])
  for (const server of servers) server.close()
})

let counter = 0
const newBytes = () => new TextEncoder().encode(`epoch ${++counter}`)
const during = async <T>(fault: Fault, work: () => Promise<T>): Promise<T> => {
  first!.fault(() => fault)
  try {
    return await work()
  } finally {
    first!.fault(() => 'pass')
  }
}

test('the first proxy is asked alone as long as it takes blobs', async () => {
  const before = second!.passed.length
  const bytes = newBytes()
  const commitment = await putData([first!.url, second!.url], bytes)
  assert.deepEqual(await getData([first!.url, second!.url], commitment), bytes)
  assert.equal(second!.passed.length, before)
})

test('a proxy that is full, away, or gives other bytes back is passed over for the next', async () => {
  const urls = [first!.url, second!.url]
  for (const fault of ['lose-request', 'lose-answer', { status: 503 }, { status: 200 }] as const) {
    const bytes = newBytes()
    const commitment = await during(fault, () => putData(urls, bytes))
    assert.deepEqual(await getData([second!.url], commitment), bytes)
    // The first is back and does not have it.
    assert.deepEqual(await getData(urls, commitment), bytes)
  }
})

test('when all proxies fail, what each of them said is told', async () => {
  await during({ status: 503, body: 'EigenDA is full' }, () =>
    assert.rejects(putData([first!.url, 'http://127.0.0.1:9'], newBytes()), (error: Error) => {
      assert.ok(error instanceof AggregateError)
      assert.equal(error.errors.length, 2)
      assert.match(error.message, /DA put: 503 EigenDA is full; /)
      return true
    }),
  )
  await assert.rejects(getData([second!.url], `0x03a0${'00'.repeat(32)}`), /DA get: 404/)
})
