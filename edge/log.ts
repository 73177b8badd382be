/** Writes one JSON line. */
export function log(level: 'info' | 'warn' | 'error', fields: Record<string, unknown>): void {
  const line = JSON.stringify({ level, ...fields }, (_key, value: unknown) =>
    value instanceof Error
      ? { message: value.message, stack: value.stack, cause: value.cause }
      : typeof value === 'bigint'
        ? value.toString()
        : value,
  )
  console[level](line)
}
