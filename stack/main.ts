import { UsageError } from '#client/command.ts'
import { readFileSync } from 'node:fs'
import { ApiError } from '#client/openledger.ts'
import { contentTypeOf, readParts } from '#client/parts.ts'
import { parseFlags, USAGE, type Flags } from './flags.ts'
import { showProgress, type Progress } from '#client/progress.ts'
import { messageOf } from '#protocol/errors.ts'
import { howToCall } from './sample/how-to-call.ts'
import { JourneyError, runJourney } from './sample/journey.ts'
import { loadSampleState } from './sample/sample-state.ts'
import { PART_NAMES, startStack, type Stack } from './stack.ts'
import { DISK_FULL_ADVICE, isDiskFull, StackError } from './stack-error.ts'

/** Entry of `npm start`. */

const EXIT_USAGE = 2
const EXIT_INTERRUPTED = 130
const PARTS = PART_NAMES.length + 1 // and the DA server, which lives in this process

const flags = parseFlags(process.argv.slice(2))
if (flags === 'help') {
  process.stdout.write(USAGE)
} else if ('wrong' in flags) {
  process.stderr.write(`${flags.wrong}\n\n${USAGE}`)
  process.exitCode = EXIT_USAGE
} else {
  await main(flags)
}

async function main(flags: Flags): Promise<void> {
  const progress = showProgress(process.stdout)
  const abort = new AbortController()
  let serving = false
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      if (abort.signal.aborted) process.exit(EXIT_INTERRUPTED) // asked twice: no more patience
      progress.print('stopping')
      abort.abort()
      // Not by way of the journey, which would wait a while for an API that is gone.
      void stack?.stop().then(() => process.exit(serving ? 0 : EXIT_INTERRUPTED))
    })

  let stack: Stack | undefined
  try {
    if (flags.data !== undefined) requireReadable(flags.data)
    stack = await start(flags, progress, abort.signal)
    const sample = loadSampleState(stack.dirs)
    if (flags.sample && (flags.once || flags.data !== undefined || !sample.outcome))
      await runJourney(stack, progress, flags)
    if (!flags.once) {
      serving = true
      progress.print(howToCall(stack, loadSampleState(stack.dirs)))
      return
    }
    await stack.stop()
    process.exit(0)
  } catch (error) {
    if (!abort.signal.aborted) progress.print(`✗ ${describe(error)}`)
    await stack?.stop()
    process.exit(abort.signal.aborted ? EXIT_INTERRUPTED : 1)
  }
}

/** Throws a UsageError that says what is wrong with a user's file, before anybody waits for a stack to learn it. */
function requireReadable(path: string): void {
  readParts({ body: Uint8Array.from(readFileSync(path)), type: contentTypeOf(path) })
}

async function start(flags: Flags, progress: Progress, signal: AbortSignal): Promise<Stack> {
  const step = progress.step('Start the local stack')
  const up: string[] = []
  try {
    const stack = await startStack({
      stateDir: flags.state,
      fresh: flags.fresh,
      ...(flags.portBase !== undefined && { portBase: flags.portBase }),
      say: (line) => progress.print(`! ${line}`),
      onPart: (name) => {
        up.push(name)
        step.update(up.length / PARTS, up.join(', '))
      },
      signal,
      onFatal: (error) => {
        progress.print(`✗ ${describe(error)}`)
        process.exit(1)
      },
    })
    step.done(up.join(', '))
    return stack
  } catch (error) {
    step.fail('')
    throw error
  }
}

/** What to tell a user: our own errors are complete sentences, everything else comes with its stack. */
function describe(error: unknown): string {
  if (isDiskFull(error)) return `state: ${DISK_FULL_ADVICE}`
  const ours = [StackError, JourneyError, ApiError, UsageError]
  if (ours.some((kind) => error instanceof kind)) return messageOf(error)
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
