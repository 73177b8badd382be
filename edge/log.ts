import { bigintAsDecimal } from '#protocol/bytes.ts'

/** Writes one JSON line. */
export function log(level: 'info' | 'warn' | 'error', fields: Record<string, unknown>): void {
  const line = JSON.stringify({ level, ...fields }, (key, value: unknown) =>
    value instanceof Error
      ? { message: value.message, stack: value.stack, cause: value.cause }
      : bigintAsDecimal(key, value),
  )
  console[level](line)
}
