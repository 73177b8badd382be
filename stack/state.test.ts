import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { writeFileAtomic } from './files.ts'
import { recordRun, takeState } from './leftovers.ts'
import { loadSecrets, portsFrom, prepareState } from './settings.ts'
import { textTable, printable } from '#client/table.ts'
import { scratchFolder } from '../test/support/scratch.ts'

const newState = () => prepareState(join(scratchFolder(), 'state'), false)

/** A process group of its own that does nothing. */
const sleeper = () =>
  spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], {
    detached: true,
    stdio: 'ignore',
  })

/** Start time of a process as leftovers.ts writes it down. */
const startOf = (pid: number) => {
  const dirs = newState()
  recordRun(dirs, [{ name: 'x', pid }])
  return JSON.parse(readFileSync(join(dirs.root, 'run.json'), 'utf8')).parts[0].started as string
}

test('what a killed supervisor left running or lying about is ended and deleted by the next start', async () => {
  const dirs = newState()
  const child = sleeper()
  const ended = new Promise((resolve) => child.once('exit', (_code, signal) => resolve(signal)))
  const parts = [{ name: 'chain', pid: child.pid!, started: startOf(child.pid!) }]
  const dead = { pid: 2 ** 22 + 1, started: '1' } // past the largest process id of Linux
  writeFileSync(join(dirs.tmp, 'half-written'), '')
  writeFileSync(join(dirs.root, 'run.json'), JSON.stringify({ supervisor: dead, parts }))
  const said: string[] = []
  takeState(dirs, (line) => said.push(line))
  assert.equal(await ended, 'SIGKILL')
  assert.deepEqual(said, [
    `ending the chain that an earlier run left behind (process ${child.pid})`,
  ])
  assert.deepEqual(readdirSync(dirs.tmp), [])
})

test('a process that merely has the id of an old one is left alone', async () => {
  const dirs = newState()
  const child = sleeper()
  const parts = [{ name: 'chain', pid: child.pid!, started: 'another time' }]
  const dead = { pid: 2 ** 22 + 1, started: '1' }
  writeFileSync(join(dirs.root, 'run.json'), JSON.stringify({ supervisor: dead, parts }))
  takeState(dirs, () => assert.fail('nothing is to be said'))
  assert.equal(child.exitCode ?? child.signalCode, null)
  child.kill('SIGKILL')
})

test('a state folder that a living stack uses is refused', () => {
  const dirs = newState()
  const child = sleeper()
  const supervisor = { pid: child.pid!, started: startOf(child.pid!) }
  writeFileSync(join(dirs.root, 'run.json'), JSON.stringify({ supervisor, parts: [] }))
  writeFileSync(join(dirs.tmp, 'in use'), '')
  assert.throws(() => takeState(dirs, () => {}), {
    name: 'StackError',
    message: new RegExp(`is used by process ${child.pid}`),
  })
  assert.deepEqual(readdirSync(dirs.tmp), ['in use'])
  child.kill('SIGKILL')
})

test('--fresh empties a stack’s folder and refuses one that holds anything else', () => {
  const dirs = newState()
  writeFileSync(join(dirs.chain, 'state.json'), '{}')
  const again = prepareState(dirs.root, true)
  assert.deepEqual(readdirSync(again.chain), [])
  writeFileSync(join(dirs.root, 'thesis.txt'), 'years of work')
  assert.throws(() => prepareState(dirs.root, true), /holds thesis\.txt, .*will not delete it/)
  assert.ok(existsSync(join(dirs.root, 'thesis.txt')))
})

test('keys are made once, and only their owner can read them', () => {
  const dirs = newState()
  const secrets = loadSecrets(dirs)
  assert.deepEqual(loadSecrets(dirs), secrets)
  assert.equal(statSync(join(dirs.root, 'secrets.json')).mode & 0o777, 0o600)
  assert.notEqual(loadSecrets(newState()).operatorKey, secrets.operatorKey)
})

test('a damaged state file says how to get out', () => {
  const dirs = newState()
  writeFileSync(join(dirs.root, 'secrets.json'), '{"operatorKey"')
  assert.throws(() => loadSecrets(dirs), /secrets\.json is damaged; --fresh starts over/)
})

test('a file that cannot be written whole keeps its old content', () => {
  const path = join(scratchFolder(), 'state.json')
  writeFileAtomic(path, 'old')
  mkdirSync(`${path}.${process.pid}.tmp`) // where the new content would go
  assert.throws(() => writeFileAtomic(path, 'new'), { code: 'EISDIR' })
  assert.equal(readFileSync(path, 'utf8'), 'old')
})

test('ports follow a base', () => {
  assert.deepEqual(
    Object.values(portsFrom(20_000)),
    [20_000, 20_001, 20_002, 20_003, 20_004, 20_005],
  )
  assert.equal(portsFrom().edge, 8787)
})

test('a table aligns text left and numbers right', () => {
  const table = textTable([
    ['name', 'records', 'share'],
    ['GNU', '200', '8.5 %'],
    ['Creative Commons', '7', '12.0 %'],
  ])
  assert.equal(
    table,
    [
      '  name              records   share',
      '  GNU                   200   8.5 %',
      '  Creative Commons        7  12.0 %',
    ].join('\n'),
  )
})

test('printed text cannot move the cursor', () => {
  assert.equal(printable('a\u001b[2Kb\r\nc'), 'a [2Kb  c')
})
