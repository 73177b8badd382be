import { bigintAsDecimal } from '#protocol/bytes.ts'

type Level = 'info' | 'warn' | 'error'

/** Writes one JSON line to stdout. Bigints become decimal strings, errors their message. */
export function log(level: Level, event: string, fields: Record<string, unknown> = {}): void {
  const line = { at: new Date().toISOString(), level, part: 'gpu-worker', event, ...fields }
  process.stdout.write(`${JSON.stringify(line, plain)}\n`)
}

const plain = (key: string, value: unknown): unknown =>
  value instanceof Error ? describeError(value) : bigintAsDecimal(key, value)

/** An error's message with those of its causes. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause === undefined
    ? error.message
    : `${error.message}: ${describeError(error.cause)}`
}
