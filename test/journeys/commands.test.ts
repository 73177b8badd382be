import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { parseEther } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { until } from '#client/openledger.ts'
import { sendTransaction } from '#client/wallet.ts'
import type { Cast } from '#stack/sample/cast.ts'
import { sampleContributors } from '#stack/sample/licences.ts'
import { openledger, valueOf } from '../support/command.ts'
import { smallPlan, startTestStack, testCast, type TestStack } from '../support/stack.ts'

/** What somebody does who has nothing but the openledger command. */

let it: TestStack
let cast: Cast

before(async () => {
  it = await startTestStack(21_500)
  cast = await testCast(it.stack, smallPlan(12))
})
after(() => it?.stop())

test('a newcomer gets from a wallet and a CSV file to a model that answers, by commands alone', async () => {
  const { edge, chain, da } = it.stack.urls
  const key = generatePrivateKey()
  const env: Record<string, string> = {
    OPENLEDGER_EDGE: edge,
    OPENLEDGER_RPC: chain,
    OPENLEDGER_DA: da,
    OPENLEDGER_WALLET_KEY: key,
  }
  const run = async <T>(...args: string[]) => {
    const said = await openledger([...args, '--json'], env)
    assert.equal(said.status, 0, `${args.join(' ')}: ${said.stderr}`)
    return valueOf<T>(said)
  }
  const { address } = privateKeyToAccount(key)
  await sendTransaction(cast.faucet, { to: address, value: parseEther('0.2') })
  env['OPENLEDGER_API_KEY'] = (await run<{ api_key: string }>('login')).api_key
  await run('account', 'deposit', '0.1')
  type Account = { balance: { available: string } }
  await until(
    () => run<Account>('account'),
    ({ balance }) => balance.available === parseEther('0.1').toString(),
  )

  const { id } = await run<{ id: string }>('datanet', 'create', 'Own clauses', '--licence=CC0-1.0')
  const records = sampleContributors()[5]!.records.slice(40, 100)
  const good = records.map(({ prompt, completion }) => [prompt, completion].map(cell).join(','))
  const path = join(it.stack.dirs.logs, 'own.csv')
  const push = ['datanet', 'push', path, '--datanet', 'Own clauses']
  writeFileSync(path, ['question,answer', good[0], '"a cell too few"', ...good].join('\n'))
  const refused = await openledger(push, env)
  assert.equal(refused.status, 2)
  assert.match(refused.stderr, /^openledger: Row 3: 1 cells under 2 columns/)

  writeFileSync(path, ['question,answer', good[0], 'Yes?,No', good[0], ...good.slice(1)].join('\n'))
  const pushed = await run<{ held: { row: number; reasons: string[] }[] }>(...push)
  const reasonsOf = (row: number) => pushed.held.find((held) => held.row === row)?.reasons
  assert.deepEqual(reasonsOf(3), ['TOO_SHORT'])
  assert.deepEqual(reasonsOf(4), ['DUPLICATE_EXACT'])

  await assert.rejects(
    run('train', '--datanet', id, '--suffix', 'own'),
    /openledger datanet publish/,
  )
  assert.equal((await run<{ version: number }>('datanet', 'publish', id)).version, 1)
  const trained = ['train', '--datanet', `${id}@1`, '--suffix', 'own', '--epochs', '1']
  const job = await run<{ id: string; fine_tuned_model: string }>(...trained)
  const name = job.fine_tuned_model
  assert.equal(name, `openledger-5m:${address.toLowerCase()}/own`)
  assert.deepEqual(
    (await run<{ id: string; status: string }[]>('job')).map((own) => [own.id, own.status]),
    [[job.id, 'succeeded']],
  )
  assert.ok((await run<{ id: string }[]>('model')).some((model) => model.id === name))

  const [{ prompt } = assert.fail('no records')] = records
  const { status, stdout } = await openledger(['chat', '--model', name, prompt], env)
  assert.equal(status, 0)
  assert.match(stdout, /\(base pool\)|no record stands out/)
  assert.match(stdout, /OPEN for \d+ \+ \d+ tokens, receipt rcp_/)
})

test('a conversation typed line by line outlives the model’s context', async () => {
  const env = { OPENLEDGER_EDGE: it.stack.urls.edge, OPENLEDGER_API_KEY: cast.consumer.apiKey }
  const system = 'You know the licence well. '.repeat(60)
  const long = ['chat', '--system', system, '--max-tokens', '100', '--temperature', '0']
  const questions = Array.from({ length: 8 }, (_, i) => `What does clause ${i} say about fees?`)
  const said = await openledger(long, env, questions.join('\n'))
  assert.equal(said.status, 0, said.stderr)
  assert.equal(said.stdout.match(/, receipt rcp_/g)?.length, questions.length)
  assert.match(said.stderr, /begins anew with this question/)
})

/** Text as a cell of a CSV file. */
const cell = (text: string) => `"${text.replaceAll('"', '""')}"`
