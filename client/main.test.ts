import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { scratchFolder } from '../test/support/scratch.ts'

/** The command as a user starts it, without a server; against the whole stack it is tested in test/journeys. */

const dir = scratchFolder()

const MAIN = new URL('main.ts', import.meta.url).pathname
const NOWHERE = 'http://127.0.0.1:9'

function openledger(args: string[], env: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], OPENLEDGER_EDGE: NOWHERE, ...env },
  })
  return { status, stdout, stderr }
}

function file(name: string, text: string): string {
  const path = join(dir, name)
  writeFileSync(path, text)
  return path
}

const clause = (n: number) =>
  `Clause ${n}: the licensee shall keep all copyright notices intact and give credit to author number ${n}.`

test('--help lists the commands, and every command explains itself', () => {
  const { status, stdout } = openledger(['--help'])
  assert.equal(status, 0)
  const names = [...stdout.matchAll(/^ {2}([a-z]+(?: [a-z]+)?)/gm)].map(([, name]) => name!)
  assert.ok(names.length >= 5)
  for (const name of names) {
    const help = openledger([...name.split(' '), '--help'])
    assert.equal(help.status, 0, name)
    assert.match(help.stdout, new RegExp(`^openledger ${name}`))
    assert.match(help.stdout, /--json/)
  }
  assert.equal(openledger(['chat', '-h']).stdout, openledger(['chat', '--help']).stdout)
})

test('what is typed wrongly is said in one line, with exit code 2', () => {
  const cases: [string[], RegExp][] = [
    [['fly'], /there is no command "fly"/],
    [['chat', '--colour'], /--colour/],
    [['chat', '--edge', 'ftp://x', 'Hi'], /--edge needs an http or https URL/],
    [['chat', '--temperature', 'hot', 'Hi'], /OPENLEDGER_API_KEY|--temperature needs a number/],
    [['datanet', 'push', join(dir, 'none.jsonl'), '--dry-run'], /there is no file/],
    [['datanet', 'push', file('a.pdf', 'x'), '--dry-run'], /its name has to end in/],
    [['datanet', 'creat', 'X'], /datanet takes no "creat"/],
    [['datanet', 'create', 'X'], /datanet create needs a NAME and --licence/],
    [['datanet', 'publish'], /datanet publish needs a NAME/],
    [['receipt', 'verfy', 'rcp_1'], /receipt needs one receipt ID/],
    [['job', 'follow'], /job follow needs one job ID/],
    [['account', 'deposit', 'much'], /account deposit needs one AMOUNT in OPEN/],
    [['login'], /set OPENLEDGER_API_KEY, or OPENLEDGER_WALLET_KEY/],
    [['datanet', 'withdraw'], /datanet withdraw needs one CONTRIBUTION/],
    [['datanet', 'withdraw', 'ctr_1', '0x12'], /"0x12" is no record's hash/],
    [['rewards', 'claims'], /rewards takes no "claims"/],
    [['stake', 'ad', '5'], /stake takes no "ad"/],
    [['rewards', '--account', '0x12'], /--account needs an address/],
    [['model', 'download'], /model download needs one NAME/],
    [['model', 'download', 'm', '--format', 'bin'], /--format is one of peft, merged, gguf/],
  ]
  for (const [args, said] of cases) {
    const { status, stderr, stdout } = openledger(args)
    assert.equal(status, 2, args.join(' '))
    assert.match(stderr, said)
    assert.equal(stdout, '')
  }
})

test('an API that does not answer is an error with exit code 1, without a stack', () => {
  const { status, stderr } = openledger(['rewards', '--account', `0x${'1'.repeat(40)}`], {
    OPENLEDGER_EDGE: 'http://127.0.0.1:1025',
  })
  assert.equal(status, 1)
  assert.match(stderr, /^openledger: connect ECONNREFUSED .*: is the stack running \(npm start\)\?/)
  assert.doesNotMatch(stderr, /^\s+at /m)
})

test('a key file that others can read is refused, and no option takes a key', () => {
  const path = file('key', `0x${'1'.repeat(64)}\n`)
  chmodSync(path, 0o644)
  const refused = openledger(['rewards'], { OPENLEDGER_WALLET_KEY_FILE: path })
  assert.equal(refused.status, 2)
  assert.match(refused.stderr, /can be read by others.*chmod 600/)
  assert.equal(openledger(['rewards', '--wallet-key', `0x${'1'.repeat(64)}`]).status, 2)
})

test('datanet push --dry-run judges like the Datanet and sends nothing', () => {
  const path = file(
    'records.jsonl',
    [clause(1), clause(2), 'short', clause(2)].map((text) => JSON.stringify({ text })).join('\n'),
  )
  const { status, stdout } = openledger(['datanet', 'push', path, '--dry-run', '--json'])
  assert.equal(status, 0)
  const { counts, held } = JSON.parse(stdout) as {
    counts: Record<string, number>
    held: { row: number; reasons: string[] }[]
  }
  assert.equal(counts['rows'], 4)
  assert.deepEqual(
    held.map(({ row }) => row),
    [3, 4],
  )
  assert.ok(held[1]!.reasons.some((reason) => reason.startsWith('DUPLICATE')))
  const shown = openledger(['datanet', 'push', path, '--dry-run']).stdout
  assert.match(
    shown,
    /3 +rejected +too_short +The record has fewer characters or words than asked\./,
  )
})

test('a file that cannot be read is refused with the rows at fault', () => {
  const { status, stderr } = openledger([
    'datanet',
    'push',
    file('broken.jsonl', `${JSON.stringify({ text: clause(1) })}\n{"text": `),
    '--dry-run',
  ])
  assert.equal(status, 2)
  assert.match(stderr, /Row 2/)
})

test('a file of which a later part cannot be read is refused as a whole, by the rows of the file', () => {
  const rows = Array.from({ length: 10_001 }, (_, n) => JSON.stringify({ text: clause(n) }))
  const path = file('late.jsonl', [...rows, '{"text": '].join('\n'))
  const { status, stderr } = openledger(['datanet', 'push', path, '--dry-run'])
  assert.equal(status, 2)
  assert.match(stderr, /^openledger: Row 10002: /)
})
