import assert from 'node:assert/strict'
import { readdirSync, writeFileSync } from 'node:fs'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { keccak, toHex, type Hex } from '#protocol/bytes.ts'
import { startDaServer } from './da-server.ts'
import { scratchFolder } from '../test/support/scratch.ts'

const dir = scratchFolder()
let server: Server
let url = ''
before(async () => {
  server = await startDaServer(dir, 0)
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
after(() => server.close())

const blob = new TextEncoder().encode('an epoch file')
const put = async (body: Uint8Array, path = '/put?commitment_mode=standard') => {
  const response = await fetch(url + path, { method: 'POST', body: new Uint8Array(body) })
  return {
    status: response.status,
    commitment: toHex(new Uint8Array(await response.arrayBuffer())),
  }
}
const get = (commitment: Hex, mode = '?commitment_mode=standard') =>
  fetch(`${url}/get/${commitment}${mode}`)

test('bytes put in standard mode come back under their commitment, which names their keccak256', async () => {
  const { status, commitment } = await put(blob)
  assert.equal(status, 200)
  assert.equal(commitment, `0x03a0${keccak(blob).slice(2)}`)
  const back = await get(commitment)
  assert.equal(back.status, 200)
  assert.deepEqual(new Uint8Array(await back.arrayBuffer()), blob)
  assert.deepEqual(await put(blob), { status, commitment }, 'putting twice is the same')
})

test('the OP Stack generic and keccak commitments open the same blob', async () => {
  const { commitment } = await put(blob, '/put')
  assert.equal(commitment, `0x010003a0${keccak(blob).slice(2)}`)
  assert.equal((await get(commitment, '')).status, 200)
  const byKeccak: Hex = `0x00${keccak(blob).slice(2)}`
  assert.equal((await put(blob, `/put/${byKeccak}`)).status, 200)
  assert.equal((await get(byKeccak, '')).status, 200)
  assert.equal((await put(blob, `/put/0x00${'ab'.repeat(32)}`)).status, 400)
})

test('an unknown commitment is 404, one that no certificate can be read from 418', async () => {
  assert.equal((await get(`0x03a0${'ab'.repeat(32)}`)).status, 404)
  assert.equal((await get('0x99')).status, 418)
  assert.equal((await get(`0x03a0${'ab'.repeat(31)}`)).status, 418)
})

test('bytes that changed on disk are never served', async () => {
  const other = new TextEncoder().encode('another epoch file')
  const { commitment } = await put(other)
  writeFileSync(join(dir, keccak(other).slice(2)), 'tampered')
  assert.equal((await get(commitment)).status, 418)
})

test('an empty blob and one over 16 MiB are refused and leave nothing behind', async () => {
  const before = readdirSync(dir).length
  assert.equal((await put(new Uint8Array(0))).status, 400)
  assert.equal((await put(new Uint8Array(16 * 2 ** 20 + 1))).status, 400)
  assert.equal(readdirSync(dir).length, before)
})
