#!/usr/bin/env node
import { BaseError } from 'viem'
import { ZodError } from 'zod'
import { toJson } from '#protocol/bytes.ts'
import { messageOf } from '#protocol/errors.ts'
import { ApiError } from './http.ts'
import { helpOf, parseInput, UsageError, type Entry } from './command.ts'
import { showProgress } from './progress.ts'
import { readSettings } from './settings.ts'
import { textTable } from './table.ts'

const COMMANDS: readonly Entry[] = [
  {
    name: 'login',
    arguments: '',
    summary: 'Sign in with a wallet and print an API key.',
    load: async () => (await import('./commands/account.ts')).login,
  },
  {
    name: 'account',
    arguments: '',
    summary: 'Show whose key it is and what there is to spend.',
    load: async () => (await import('./commands/account.ts')).showAccount,
  },
  {
    name: 'account deposit',
    arguments: 'AMOUNT',
    summary: 'Pay $OPEN in, to call models with.',
    load: async () => (await import('./commands/account.ts')).depositFunds,
  },
  {
    name: 'datanet',
    arguments: '',
    summary: 'List the Datanets.',
    load: async () => (await import('./commands/datanet.ts')).listDatanets,
  },
  {
    name: 'datanet create',
    arguments: 'NAME --licence SPDX',
    summary: 'Create a Datanet.',
    load: async () => (await import('./commands/datanet.ts')).createDatanet,
  },
  {
    name: 'datanet push',
    arguments: 'FILE --datanet NAME',
    summary: 'Hand the records of a file in to a Datanet.',
    load: async () => (await import('./commands/push.ts')).pushDatanet,
  },
  {
    name: 'datanet withdraw',
    arguments: 'CONTRIBUTION [RECORD...]',
    summary: 'Take records that you handed in back.',
    load: async () => (await import('./commands/withdraw.ts')).withdraw,
  },
  {
    name: 'datanet publish',
    arguments: 'NAME',
    summary: 'Publish what a Datanet has as its next version.',
    load: async () => (await import('./commands/datanet.ts')).publishDatanet,
  },
  {
    name: 'train',
    arguments: '--datanet NAME --suffix NAME',
    summary: 'Fine-tune an adapter on Datanet versions.',
    load: async () => (await import('./commands/train.ts')).train,
  },
  {
    name: 'job',
    arguments: '',
    summary: 'List your fine-tuning jobs.',
    load: async () => (await import('./commands/job.ts')).listJobs,
  },
  {
    name: 'job follow',
    arguments: 'ID',
    summary: 'Show a job until it ends.',
    load: async () => (await import('./commands/job.ts')).followCommand,
  },
  {
    name: 'job pause',
    arguments: 'ID',
    summary: 'Stop a job for now.',
    load: async () => (await import('./commands/job.ts')).pauseJob,
  },
  {
    name: 'job resume',
    arguments: 'ID',
    summary: 'Put a paused job back into the queue.',
    load: async () => (await import('./commands/job.ts')).resumeJob,
  },
  {
    name: 'job cancel',
    arguments: 'ID',
    summary: 'End a job for good.',
    load: async () => (await import('./commands/job.ts')).cancelJob,
  },
  {
    name: 'model',
    arguments: '',
    summary: 'List the models.',
    load: async () => (await import('./commands/model.ts')).listModels,
  },
  {
    name: 'model download',
    arguments: 'NAME',
    summary: 'Take your adapter home: PEFT, merged with its base, or GGUF.',
    load: async () => (await import('./commands/model.ts')).downloadModel,
  },
  {
    name: 'chat',
    arguments: '[PROMPT]',
    summary: 'Ask a model and see whose records shaped the answer.',
    load: async () => (await import('./commands/chat.ts')).chat,
  },
  {
    name: 'receipt',
    arguments: 'ID',
    summary: 'Show what an answer cost and who is paid for it.',
    load: async () => (await import('./commands/receipt.ts')).showReceipt,
  },
  {
    name: 'receipt verify',
    arguments: 'ID',
    summary: 'Check a receipt against the chain, believing nobody.',
    load: async () => (await import('./commands/receipt.ts')).verify,
  },
  {
    name: 'rewards',
    arguments: '',
    summary: 'Show what an address has earned, claimed and can claim.',
    load: async () => (await import('./commands/rewards.ts')).showRewards,
  },
  {
    name: 'rewards claim',
    arguments: '',
    summary: 'Pay out what an address has earned; anybody may send it.',
    load: async () => (await import('./commands/rewards.ts')).claimRewards,
  },
  {
    name: 'stake',
    arguments: '',
    summary: 'Show what an address has at stake, when it is free, and what is due.',
    load: async () => (await import('./commands/stake.ts')).showStake,
  },
  {
    name: 'stake add',
    arguments: 'AMOUNT',
    summary: 'Stake $OPEN, to vote and to attest epochs.',
    load: async () => (await import('./commands/stake.ts')).addStake,
  },
  {
    name: 'stake leave',
    arguments: 'AMOUNT',
    summary: 'Ask for stake back; it leaves after the unbonding delay.',
    load: async () => (await import('./commands/stake.ts')).leaveStake,
  },
  {
    name: 'stake withdraw',
    arguments: '',
    summary: 'Fetch the stake that has left.',
    load: async () => (await import('./commands/stake.ts')).withdrawStake,
  },
  {
    name: 'stake collect',
    arguments: '',
    summary: 'Fetch rewards of approved epochs, and what challenges won.',
    load: async () => (await import('./commands/stake.ts')).collectStake,
  },
  {
    name: 'watch',
    arguments: '',
    summary: 'Validate every epoch and challenge what is wrong.',
    load: async () => (await import('./commands/watch.ts')).watch,
  },
]

const USAGE = `openledger COMMAND [options]

${textTable(COMMANDS.map(({ name, arguments: args, summary }) => [`${name} ${args}`, summary]))}

openledger COMMAND --help says more. Keys come from the environment: OPENLEDGER_API_KEY for the API; OPENLEDGER_WALLET_KEY,
or OPENLEDGER_WALLET_KEY_FILE naming a file that only you can read, for transactions.`

const [FAILED, MISUSED] = [1, 2]

const wordsOf = ({ name }: Entry): number => name.split(' ').length

/** Whether anything but options may follow: `FILE` or `[PROMPT]`. */
const takesWords = ({ arguments: args }: Entry): boolean => /^\[?[A-Z]/.test(args)

/** Runs a command line; resolves to the exit code. */
async function main(args: string[]): Promise<number> {
  const [entry] = COMMANDS.filter(
    (known) => known.name === args.slice(0, wordsOf(known)).join(' '),
  ).toSorted((a, b) => wordsOf(b) - wordsOf(a))
  if (!entry) {
    const asked = args.find((arg) => !arg.startsWith('-'))
    if (asked === undefined || asked === 'help') return say(USAGE)
    throw new UsageError(`there is no command "${asked}"\n\n${USAGE}`)
  }
  const command = await entry.load()
  const rest = args.slice(wordsOf(entry))
  if (rest.some((arg) => arg === '--help' || arg === '-h')) return say(helpOf(entry, command))
  const input = parseInput(rest, command.options)
  const [extra] = input.positionals
  if (extra !== undefined && !takesWords(entry))
    throw new UsageError(`${entry.name} takes no "${extra}"; see openledger ${entry.name} --help`)
  const json = input.has('json')
  const stop = new AbortController()
  process.once('SIGINT', () => stop.abort(new Error('interrupted')))
  return command.run({
    settings: readSettings(input.text, process.env),
    input,
    json,
    progress: showProgress(process.stderr),
    print: (text, value) => void say(json ? toJson(value, 2) : text),
    write: (text) => void (json || process.stdout.write(text)),
    signal: stop.signal,
  })
}

function say(text: string): number {
  process.stdout.write(`${text}\n`)
  return 0
}

function explain(error: unknown): string {
  const refused = refusalOf(error)
  if (refused)
    return `${refused}: is the stack running (npm start)? --edge, --rpc and --da say where it is`
  if (error instanceof UsageError || error instanceof ApiError) return error.message
  if (error instanceof ZodError) return `an answer has an unexpected form: ${error.message}`
  if (error instanceof BaseError) return error.shortMessage // the rest is for who debugs the call
  if (error instanceof Error && error.cause instanceof Error)
    return `${error.message}: ${error.cause.message}`
  return messageOf(error)
}

/** The system's words, such as `connect ECONNREFUSED 127.0.0.1:8787`, when nobody listens there. */
function refusalOf(error: unknown): string | null {
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if ('code' in cause && cause.code === 'ECONNREFUSED') return cause.message
  return null
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`openledger: ${explain(error)}\n`)
  if (process.env['DEBUG']) console.error(error)
  process.exitCode = error instanceof UsageError ? MISUSED : FAILED
}
