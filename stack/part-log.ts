import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { stripVTControlCharacters } from 'node:util'
import { DISK_FULL_ADVICE, isDiskFull, saysDiskFull } from './stack-error.ts'

/** A part's output: in a file with the time of each line, its last lines also in memory. */
export type PartLog = {
  readonly path: string
  /** Takes every line of a stream until it ends. */
  follow: (stream: Readable | null) => void
  /** Adds a line of our own. */
  note: (line: string) => void
  /** The last lines, indented, to append to an error message. */
  tail: () => string
  /** Whether the part, or the log itself, met a full disk. */
  sawDiskFull: () => boolean
}

const TAIL_LINES = 12
const DISK_FULL_REPEAT_MS = 60_000

/** Opens `<dir>/<name>.log` for appending. A full disk is said once a minute, naming the part, and loses log lines only. */
export function openPartLog(dir: string, name: string, say: (line: string) => void): PartLog {
  const path = join(dir, `${name}.log`)
  const file = createWriteStream(path, { flags: 'a' })
  const last: string[] = []
  let diskFull = false
  let saidAt = -Infinity

  const onDiskFull = () => {
    diskFull = true
    if (Date.now() - saidAt < DISK_FULL_REPEAT_MS) return
    saidAt = Date.now()
    say(`${name}: ${DISK_FULL_ADVICE}`)
  }
  file.on('error', (error) => {
    if (isDiskFull(error)) onDiskFull()
    else say(`${name}: its log ${path} cannot be written: ${error.message}`)
  })
  const add = (raw: string) => {
    const line = stripVTControlCharacters(raw)
    last.push(line)
    if (last.length > TAIL_LINES) last.shift()
    if (saysDiskFull(line)) onDiskFull()
    if (file.writable) file.write(`${new Date().toISOString()} ${line}\n`)
  }

  return {
    path,
    follow: (stream) => {
      if (stream) createInterface({ input: stream }).on('line', add)
    },
    note: add,
    tail: () => (last.length === 0 ? '' : `\n${last.map((line) => `    ${line}`).join('\n')}`),
    sawDiskFull: () => diskFull,
  }
}
