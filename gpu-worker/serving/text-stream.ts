/** Turns generated tokens into text that can be shown at once: whole characters only, and nothing of a stop string. */

const INCOMPLETE = '\u{FFFD}'

export type TextStream = {
  /** Adds a token; answers the text that became certain. */
  push: (token: number) => string
  /** Answers what was held back. Nothing follows. */
  finish: () => string
  /** Whether a stop string was met; the text then ends before it. */
  readonly stopped: boolean
  /** Length of the text answered so far. */
  readonly shown: number
  /** All text so far, held-back text included. */
  readonly text: string
  /** For every token, the length of the text up to and with it, in UTF-16 code units. */
  readonly ends: number[]
}

/** Opens a stream over a tokenizer's `decode`. */
export function textStream(
  decode: (tokens: readonly number[]) => string,
  stops: readonly string[] = [],
): TextStream {
  const tokens: number[] = []
  const ends: number[] = []
  // Tokens [0, read) are in `text`. Decoding starts at `from`, one step earlier, because the first token of a
  // sequence may decode differently from one inside it.
  let from = 0
  let read = 0
  let text = ''
  let shown = 0
  let stopped = false

  const decodePending = (isLast: boolean): void => {
    const known = decode(tokens.slice(from, read))
    const all = decode(tokens.slice(from))
    // A character may be spread over several tokens: until its last byte it decodes to U+FFFD.
    if (!isLast && all.endsWith(INCOMPLETE)) return
    const before = text.length
    text += all.slice(known.length)
    for (let i = read; i < tokens.length; i++)
      ends.push(i === tokens.length - 1 ? text.length : before)
    from = read
    read = tokens.length
  }
  const advance = (isLast: boolean): string => {
    if (stopped) return ''
    decodePending(isLast)
    const at = firstStop(text, stops, shown)
    if (at !== null) {
      stopped = true
      text = text.slice(0, at)
    }
    const certain = isLast || stopped ? text.length : text.length - heldBack(text, stops)
    const fresh = text.slice(shown, Math.max(shown, certain))
    shown += fresh.length
    return fresh
  }
  return {
    push: (token) => {
      tokens.push(token)
      return advance(false)
    },
    finish: () => advance(true),
    get stopped() {
      return stopped
    },
    get shown() {
      return shown
    },
    get text() {
      return text
    },
    get ends() {
      return tokens.map((_, i) => Math.min(ends[i] ?? text.length, text.length))
    },
  }
}

/** Where the earliest stop string begins, or null. None begins in text already shown: its beginning was held back. */
function firstStop(text: string, stops: readonly string[], shown: number): number | null {
  const found = stops.map((stop) => text.indexOf(stop, shown)).filter((at) => at >= 0)
  return found.length === 0 ? null : Math.min(...found)
}

/** Length of the longest end of the text that a stop string begins with. */
function heldBack(text: string, stops: readonly string[]): number {
  let held = 0
  for (const stop of stops)
    for (let length = Math.min(stop.length - 1, text.length); length > held; length--)
      if (text.endsWith(stop.slice(0, length))) held = length
  return held
}
