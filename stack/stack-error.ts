/** A failure of one part of the local stack; the message names the part and says what to do. */
export class StackError extends Error {
  readonly part: string

  constructor(part: string, message: string, options?: ErrorOptions) {
    super(`${part}: ${message}`, options)
    this.name = 'StackError'
    this.part = part
  }
}

/** Whether an error means that the disk is full. */
export const isDiskFull = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ENOSPC'

/** Whether a line that a part printed means that the disk is full: Node's, libc's and SQLite's words for it. */
export const saysDiskFull = (line: string): boolean =>
  /ENOSPC|no space left on device|SQLITE_FULL|database or disk is full/i.test(line)

export const DISK_FULL_ADVICE = 'the disk is full; free some space and start again'
