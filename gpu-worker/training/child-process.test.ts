import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { pathToFileURL } from 'node:url'
import { scratchFolder } from '../../test/support/scratch.ts'
import { inChildProcess } from './child-process.ts'

const scratch = scratchFolder()
const path = join(scratch, 'child.js')
await writeFile(
  path,
  `process.once('message', ({ word, status }) => {
    if (word !== undefined) process.send('heard ' + word, () => process.exit(0))
    if (status !== undefined) process.exit(status)
    setInterval(() => {}, 60_000)
  })`,
)
const run = (input: object, signal = new AbortController().signal) =>
  inChildProcess<string>({ name: 'test', module: pathToFileURL(path), input, signal })

test('a process answers its first message with its last one', async () => {
  assert.equal(await run({ word: 'hello' }), 'heard hello')
})

test('a process that ends without an answer says how it ended', async () => {
  await assert.rejects(run({ status: 3 }), /the test process ended with exit status 3/)
})

test('a process is killed by a signal, given before it began or while it works', async () => {
  await assert.rejects(run({}, AbortSignal.abort()), /the test process ended with SIGKILL/)
  await assert.rejects(run({}, AbortSignal.timeout(300)), /the test process ended with SIGKILL/)
})
