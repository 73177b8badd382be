/**
 * Cuts running text into clause-sized records: at blank lines, headings and numbered clauses, then long pieces at
 * sentence ends and short ones (headings, list items) joined to what follows. Only white space between words changes:
 * hard-wrapped lines become one. Every search looks at one line or one window of bounded length, so time is linear.
 */

/** Shorter pieces are joined to their neighbour. */
export const MIN_CLAUSE_CHARS = 160
/** Longer pieces are cut. About 250 tokens: a clause, not a chapter. */
export const MAX_CLAUSE_CHARS = 1_000
/** A line at least this long that breaks in mid-sentence was wrapped by an editor. */
const WRAPPED_LINE_CHARS = 45

export type Clause = { line: number; text: string }

const FENCE = /^\s{0,3}(?:```|~~~)/
const HEADING = /^#{1,6}\s/
const TABLE_ROW = /^\s{0,3}\|/
// "1.", "2.1", "3)", "(a)", "(iv)", "A.", "- ", "Section 4", "Article IV", "§ 2"
const NUMBERED =
  /^\s{0,16}(?:\d{1,3}(?:\.\d{1,3}){0,4}[.)]|\d{1,3}(?:\.\d{1,3}){1,4}|\((?:[a-z]{1,4}|[A-Z]|\d{1,3})\)|[A-Za-z][.)]|[-*•]|(?:section|article|clause)\s{1,3}(?:\d{1,4}|[ivxlc]{1,6})\b\S?|§)\s/i
// A number that begins a line in mid-sentence ("version\n2.0 of") is no clause: the line before must have ended.
const ENDED = /[.:;!?)\]"”]\s{0,3}(?:and|or)?\s{0,3}$/
const SENTENCE_END = /[.;:!?]["')\]”]{0,2}\s/g

/** The clauses of a text with the 1-based line on which each begins. Non-space characters are kept, all and in order. */
export function cutClauses(text: string): Clause[] {
  return join(blocks(text).flatMap(cutLong))
}

function blocks(text: string): Clause[] {
  const out: Clause[] = []
  let block: { line: number; lines: string[]; keepLines: boolean } | null = null
  let fenced = false
  const close = (): void => {
    if (block !== null) {
      const joined = block.keepLines ? block.lines.join('\n') : unwrap(block.lines)
      if (joined.trim() !== '') out.push({ line: block.line, text: joined.trim() })
    }
    block = null
  }
  for (const [i, raw] of text.split(/\r\n|[\n\r\u2028\u2029]/).entries()) {
    const isFence = FENCE.test(raw)
    const previous: string = block?.lines.at(-1) ?? ''
    const starts =
      isFence ||
      HEADING.test(raw) ||
      HEADING.test(previous) ||
      (NUMBERED.test(raw) && (ENDED.test(previous.slice(-8)) || NUMBERED.test(previous)))
    if (!fenced && (starts || raw.trim() === '')) close()
    if (fenced || raw.trim() !== '') {
      block ??= { line: i + 1, lines: [], keepLines: isFence || TABLE_ROW.test(raw) }
      block.lines.push(raw)
    }
    if (isFence) {
      if (fenced) close()
      fenced = !fenced
    }
  }
  close()
  return out
}

function unwrap(lines: readonly string[]): string {
  let text = ''
  let previous = ''
  for (const line of lines) {
    if (text !== '') text += previous.length >= WRAPPED_LINE_CHARS ? ' ' : '\n'
    text += line.trim()
    previous = line.trim()
  }
  return text
}

function cutLong({ line, text }: Clause): Clause[] {
  const out: Clause[] = []
  let at = 0
  let lineAt = line
  while (text.length - at > MAX_CLAUSE_CHARS) {
    const window = text.slice(at, at + MAX_CLAUSE_CHARS)
    const cut = sentenceCut(window) ?? spaceCut(window) ?? hardCut(window)
    const piece = text.slice(at, at + cut)
    out.push({ line: lineAt, text: piece.trim() })
    lineAt += piece.split('\n').length - 1
    at += cut
  }
  out.push({ line: lineAt, text: text.slice(at).trim() })
  return out.filter((clause) => clause.text !== '')
}

function sentenceCut(window: string): number | null {
  let last: number | null = null
  for (const match of window.matchAll(SENTENCE_END))
    if (match.index + match[0].length >= MIN_CLAUSE_CHARS) last = match.index + match[0].length
  return last
}

function spaceCut(window: string): number | null {
  for (let i = window.length - 1; i >= MIN_CLAUSE_CHARS; i--)
    if (/\s/.test(window.charAt(i))) return i + 1
  return null
}

/** No space in the whole window: cut, but never inside a surrogate pair. */
function hardCut(window: string): number {
  const last = window.charCodeAt(window.length - 1)
  return last >= 0xd800 && last < 0xdc00 ? window.length - 1 : window.length
}

function join(pieces: readonly Clause[]): Clause[] {
  const out: Clause[] = []
  for (const piece of pieces) {
    const last = out.at(-1)
    const isTail = piece === pieces.at(-1) && piece.text.length < MIN_CLAUSE_CHARS
    const fits = last !== undefined && last.text.length + 1 + piece.text.length <= MAX_CLAUSE_CHARS
    if (last !== undefined && fits && (last.text.length < MIN_CLAUSE_CHARS || isTail))
      last.text += `\n${piece.text}`
    else out.push({ ...piece })
  }
  return out
}
