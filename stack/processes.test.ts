import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createSupervisor, type PartSpec, type Supervisor } from './processes.ts'
import { StackError } from './stack-error.ts'
import { scratchFolder } from '../test/support/scratch.ts'

const SERVE = `
  const { createServer } = require('node:http')
  createServer((_, response) => response.end(String(process.pid))).listen(Number(process.argv[1]), '127.0.0.1')
`

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

function part(script: string, port: number, more: Partial<PartSpec> = {}): PartSpec {
  return {
    name: 'thing',
    command: process.execPath,
    args: ['-e', script, String(port)],
    ports: [port],
    ready: async () => (await fetch(`http://127.0.0.1:${port}`)).ok,
    ...more,
  }
}

async function withSupervisor(
  work: (it: {
    supervisor: Supervisor
    said: string[]
    fatal: StackError[]
    dir: string
  }) => Promise<void>,
  prepare: (dir: string) => void = () => {},
) {
  const dir = scratchFolder()
  prepare(dir)
  const said: string[] = []
  const fatal: StackError[] = []
  const supervisor = createSupervisor({
    logDir: dir,
    say: (line) => said.push(line),
    onFatal: (error) => fatal.push(error),
  })
  try {
    await work({ supervisor, said, fatal, dir })
  } finally {
    await supervisor.stopAll()
  }
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.[0] !== 'Z'
  } catch {
    return false
  }
}

test('a part that is killed is started again, and the user is told which one', () =>
  withSupervisor(async ({ supervisor, said }) => {
    const running = await supervisor.run(part(SERVE, await freePort()))
    const before = running.pid()
    running.signal('SIGKILL')
    while (running.pid() === before) await sleep(10)
    await running.untilReady()
    assert.equal(running.restarts(), 1)
    assert.match(
      said.join('\n'),
      /^thing died \(SIGKILL\); starting it again\. Its log: .*thing\.log$/,
    )
  }))

test('stopping a part ends what it started, even what ignores SIGTERM', () =>
  withSupervisor(async ({ supervisor, dir }) => {
    const child = `process.on('SIGTERM', () => {}); setInterval(() => {}, 1000)`
    const script = `
      const child = require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(child)}])
      require('node:fs').writeFileSync(${JSON.stringify(join(dir, 'child'))}, String(child.pid))
      ${SERVE}`
    const running = await supervisor.run(part(script, await freePort()))
    const pids = [running.pid() ?? 0, Number(readFileSync(join(dir, 'child'), 'utf8'))]
    assert.deepEqual(pids.map(isAlive), [true, true])
    await supervisor.stopAll()
    for (let i = 0; i < 100 && pids.some(isAlive); i++) await sleep(20)
    assert.deepEqual(pids.map(isAlive), [false, false])
    assert.equal(running.restarts(), 0)
  }))

test('a port in use is named with the part that needs it', async () => {
  const port = await freePort()
  const squatter = createServer().listen(port, '127.0.0.1')
  await withSupervisor(async ({ supervisor }) => {
    await assert.rejects(supervisor.run(part(SERVE, port)), {
      name: 'StackError',
      message: `thing: port ${port} is in use. Stop what listens there, or choose other ports with --port-base N`,
    })
  })
  squatter.close()
})

test('a part that ends before it serves is not retried; its last words are in the error', () =>
  withSupervisor(async ({ supervisor, said }) => {
    const failing = part(`console.error('no such setting: X'); process.exit(3)`, await freePort())
    await assert.rejects(
      supervisor.run(failing),
      /^StackError: thing: did not start: .*no such setting: X/s,
    )
    assert.deepEqual(said, [])
  }))

test('a command that does not exist is named with its part', () =>
  withSupervisor(async ({ supervisor }) => {
    const missing = part('', await freePort(), { command: '/nowhere/anvil' })
    await assert.rejects(supervisor.run(missing), /thing: did not start: .*ENOENT/s)
  }))

test('a part that dies again and again is given up with an error that names it', () =>
  withSupervisor(async ({ supervisor, fatal }) => {
    const running = await supervisor.run(part(SERVE, await freePort()))
    const deadline = Date.now() + 40_000
    while (fatal.length === 0 && Date.now() < deadline) {
      running.signal('SIGKILL')
      await sleep(20)
    }
    assert.match(String(fatal[0]), /StackError: thing: died 6 times within a minute \(SIGKILL\)/)
  }))

test('a watched part whose server is gone while its main process lives is started again', () =>
  withSupervisor(async ({ supervisor, said }) => {
    const port = await freePort()
    const script = `
      const { createServer } = require('node:http')
      const server = createServer((request, response) => {
        response.end('ok')
        if (request.url === '/close') { server.close(); server.closeAllConnections() }
      }).listen(Number(process.argv[1]), '127.0.0.1')
      setInterval(() => {}, 1000)`
    const running = await supervisor.run(part(script, port, { watch: true }))
    await sleep(2_500) // until the watch has seen it serve
    await fetch(`http://127.0.0.1:${port}/close`).catch(() => undefined)
    while (running.restarts() === 0) await sleep(50)
    await running.untilReady()
    assert.match(said[0] ?? '', /^thing no longer listens/)
  }))

test('a full disk under the log is said once, naming the part, and the part goes on', async (t) => {
  if (!existsSync('/dev/full')) return t.skip('this system has no /dev/full')
  const chatty = `setInterval(() => console.log('x'), 5); ${SERVE}`
  await withSupervisor(
    async ({ supervisor, said }) => {
      const running = await supervisor.run(part(chatty, await freePort()))
      for (let i = 0; i < 100 && said.length === 0; i++) await sleep(20)
      await sleep(100)
      assert.deepEqual(said, ['thing: the disk is full; free some space and start again'])
      await running.untilReady()
    },
    (dir) => {
      mkdirSync(dir, { recursive: true })
      symlinkSync('/dev/full', join(dir, 'thing.log'))
    },
  )
})

test('a part that prints that the disk is full and ends is reported with that reason', () =>
  withSupervisor(async ({ supervisor }) => {
    const failing = part(
      `console.error('Error: ENOSPC: no space left on device, write'); process.exit(1)`,
      await freePort(),
    )
    await assert.rejects(
      supervisor.run(failing),
      /thing: did not start: the disk is full; free some space/,
    )
  }))
