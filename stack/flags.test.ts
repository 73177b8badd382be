import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { parseFlags } from './flags.ts'

const here = fileURLToPath(import.meta.url)

test('no flags mean the sample on the usual ports, then serving', () => {
  assert.deepEqual(parseFlags([]), {
    fresh: false,
    sample: true,
    once: false,
    state: resolve('.openledger'),
  })
})

test('a file of one’s own names its Datanet unless told otherwise', () => {
  const named = parseFlags([
    '--data',
    here,
    '--datanet',
    'Clauses',
    '--once',
    '--port-base',
    '20000',
  ])
  assert.deepEqual(named, {
    data: here,
    datanet: 'Clauses',
    fresh: false,
    sample: true,
    once: true,
    portBase: 20000,
    state: resolve('.openledger'),
  })
  const unnamed = parseFlags(['--data', here])
  assert.ok(typeof unnamed === 'object' && 'datanet' in unnamed)
  assert.equal(unnamed.datanet, 'flags.test')
})

for (const [args, expected] of [
  [['--frehs'], /Unknown option '--frehs'/],
  [['serve'], /Unexpected argument 'serve'/],
  [['--port-base', '80'], /--port-base needs a number from 1024 to 65530, not "80"/],
  [['--datanet', 'X'], /give both/],
  [['--data', '/no/such/file'], /there is no file \/no\/such\/file/],
  [['--no-sample', '--once'], /goes with neither/],
] as const)
  test(`${args.join(' ')} is refused with what is wrong`, () => {
    const result = parseFlags([...args])
    assert.ok(typeof result === 'object' && 'wrong' in result)
    assert.match(result.wrong, expected)
  })

test('--help asks for the usage', () => {
  assert.equal(parseFlags(['--fresh', '--help']), 'help')
})
