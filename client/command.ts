import { parseArgs } from 'node:util'
import { messageOf } from '#protocol/errors.ts'
import { parseOpen } from './format.ts'
import type { Progress } from './progress.ts'
import type { Settings } from './settings.ts'

/** One option of a command; `value` names what it takes, and without it the option is a switch. */
export type Option = { value?: string; describe: string; multiple?: true }
export type Options = Record<string, Option>

/** What was typed, checked against the command's options. */
export type Input = {
  positionals: string[]
  text: (name: string) => string | undefined
  texts: (name: string) => string[]
  has: (name: string) => boolean
}

export type Context = {
  settings: Settings
  input: Input
  /** Whether stdout carries JSON and nothing else. */
  json: boolean
  /** Bars on stderr, so that stdout can be piped. */
  progress: Progress
  /** Prints what the command found: `value` with --json, else `text`. */
  print: (text: string, value: unknown) => void
  /** Writes as it is, for streams; nothing with --json. */
  write: (text: string) => void
  /** Aborts with Ctrl-C. */
  signal: AbortSignal
}

export type Command = {
  /** What --help says below the summary; may be empty. */
  details: string
  options: Options
  /** Resolves to the exit code. */
  run: (context: Context) => Promise<number>
}

/** A command before it is loaded: what the list of commands says of it. */
export type Entry = {
  name: string
  arguments: string
  summary: string
  load: () => Promise<Command>
}

/** Something the user can put right; printed without a stack. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** Options that every command takes. */
const COMMON: Options = {
  edge: { value: 'URL', describe: 'the API (OPENLEDGER_EDGE; default http://127.0.0.1:8787)' },
  rpc: { value: 'URL', describe: 'the chain (OPENLEDGER_RPC; default http://127.0.0.1:8545)' },
  da: { value: 'URL', describe: 'an EigenDA proxy (OPENLEDGER_DA; default http://127.0.0.1:3100)' },
  contracts: {
    value: 'FILE',
    describe: 'addresses that you trust (OPENLEDGER_CONTRACTS; default: what the API says)',
  },
  json: { describe: 'print one JSON value' },
  help: { describe: 'print this' },
}

/** Parses a command's arguments; throws a UsageError that says what is wrong. */
export function parseInput(args: string[], options: Options): Input {
  const all = { ...options, ...COMMON }
  try {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: Object.fromEntries(
        Object.entries(all).map(([name, { value, multiple }]) => [
          name,
          { type: value ? ('string' as const) : ('boolean' as const), multiple: multiple ?? false },
        ]),
      ),
    })
    const given = values as Record<string, string | string[] | boolean | undefined>
    return {
      positionals,
      text: (name) => (typeof given[name] === 'string' ? given[name] : undefined),
      texts: (name) => (Array.isArray(given[name]) ? given[name] : []),
      has: (name) => given[name] === true,
    }
  } catch (error) {
    throw new UsageError(messageOf(error), { cause: error })
  }
}

/** A number of an option; throws a UsageError that names it. */
export function numberOf(input: Input, name: string): number | undefined {
  const text = input.text(name)
  if (text === undefined) return undefined
  const number = Number(text)
  if (text.trim() === '' || !Number.isFinite(number))
    throw new UsageError(`--${name} needs a number, not "${text}"`)
  return number
}

/** The one argument of a command that takes nothing else; throws a UsageError otherwise. */
export function onlyArgument({ positionals }: Input, command: string, what: string): string {
  const [only, ...more] = positionals
  if (only === undefined || more.length > 0) throw new UsageError(`${command} needs one ${what}`)
  return only
}

/** Wei of the one AMOUNT that was typed; throws a UsageError otherwise. */
export function amountOf({ positionals }: Input, command: string): bigint {
  const [text = '', ...more] = positionals
  const wei = more.length === 0 ? parseOpen(text) : null
  if (!wei)
    throw new UsageError(
      `${command} needs one AMOUNT in OPEN, such as 1.5, not "${positionals.join(' ')}"`,
    )
  return wei
}

/** The text of --help. */
export function helpOf(
  { name, arguments: args, summary }: Entry,
  { details, options }: Command,
): string {
  const lines = Object.entries({ ...options, ...COMMON }).map(
    ([option, { value, describe }]) =>
      `  ${`--${option}${value ? ` ${value}` : ''}`.padEnd(26)} ${describe}`,
  )
  return [
    `openledger ${[name, args, '[options]'].filter(Boolean).join(' ')}`,
    '',
    summary,
    ...(details ? ['', details] : []),
    '',
    ...lines,
  ].join('\n')
}
