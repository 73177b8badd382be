/** Shows the steps of a long job: bars on a terminal, plain lines elsewhere. */
export type Progress = {
  /** Begins a step; ends the previous one's line. */
  step: (title: string) => Step
  /** Prints lines below what is shown, without breaking a bar. */
  print: (text: string) => void
}

export type Step = {
  /** Sets how far it is, 0..1, and what to say beside the bar. Nothing once the step has ended. */
  update: (done: number, note?: string) => void
  /** Marks it as held. */
  done: (note?: string) => void
  /** Marks it as not held. */
  fail: (note: string) => void
}

export type Output = { write: (text: string) => unknown; isTTY?: boolean; columns?: number }

const BAR_CELLS = 24
const PLAIN_EVERY_MS = 10_000 // a log file gets a line of progress this often
const REDRAW_MS = 80
const TITLE_WIDTH = 26

/** Progress on `output`. */
export function showProgress(output: Output, now: () => number = Date.now): Progress {
  const tty = output.isTTY === true
  let bar = '' // what stands on the terminal's last line now

  const clear = () => {
    if (bar !== '') output.write('\r\u001b[2K')
    bar = ''
  }
  const draw = (line: string) => {
    const fitted = line.slice(0, (output.columns ?? 100) - 1)
    output.write(`\r\u001b[2K${fitted}`)
    bar = fitted
  }
  const print = (text: string) => {
    const shown = bar
    clear()
    output.write(`${text}\n`)
    if (shown) draw(shown)
  }

  const step = (title: string): Step => {
    const started = now()
    let drawnAt = -Infinity
    const label = title.padEnd(TITLE_WIDTH)
    const seconds = () => `${((now() - started) / 1000).toFixed(1)} s`.padStart(7)
    let ended = false
    const end = (mark: string, note: string) => {
      ended = true
      clear()
      output.write(`${mark} ${label} ${seconds()}  ${note}\n`)
    }
    if (tty) draw(`· ${label} ${' '.repeat(7)}  ${blocks(0)}`)
    return {
      update: (done, note = '') => {
        const every = tty ? REDRAW_MS : PLAIN_EVERY_MS
        if (ended || now() - drawnAt < every) return
        const first = drawnAt === -Infinity
        drawnAt = now()
        if (tty) draw(`· ${label} ${seconds()}  ${blocks(done)} ${note}`)
        else if (!first) output.write(`· ${label} ${seconds()}  ${percent(done)} ${note}\n`)
      },
      done: (note = '') => end('✓', note),
      fail: (note) => end('✗', note),
    }
  }
  return { step, print }
}

const clamp = (done: number) => Math.min(1, Math.max(0, done))

const percent = (done: number): string => `${Math.round(clamp(done) * 100)}%`.padStart(4)

function blocks(done: number): string {
  const full = Math.round(clamp(done) * BAR_CELLS)
  return `${'█'.repeat(full)}${'░'.repeat(BAR_CELLS - full)} ${percent(done)}`
}
