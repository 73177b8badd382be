import { decodeEntities } from './entities.ts'
import { fixC1, fixMojibake } from './mojibake.ts'

/** What repair did, by kind, with how often. */
export type RepairKind =
  | 'lone_surrogate'
  | 'mojibake'
  | 'html_entity'
  | 'combining_run'
  | 'unicode_nfc'
  | 'line_ending'
  | 'control'
  | 'zero_width'
  | 'bidi_control'
  | 'hidden_text'
  | 'blank_lines'
  | 'outer_space'
  | 'unstable'

export type Repaired = { text: string; changes: Partial<Record<RepairKind, number>> }

/** Repair runs until nothing changes; text that still changes after this many passes is built to do so. */
const MAX_PASSES = 6
/** UAX #15's Stream-Safe Text Format: also what keeps normalisation from taking quadratic time. */
const MAX_COMBINING_RUN = 30

/** Printable ASCII, tabs and line feeds without `&`: nothing below applies but white space at the edges. */
const PLAIN = /^[\t\n\x20-\x25\x27-\x7e]*$/
const COMBINING_RUN = new RegExp(`(\\p{M}{${MAX_COMBINING_RUN}})\\p{M}+`, 'gu')
const CONTROL = /(?![\t\n])\p{Cc}|[\ufdd0-\ufdef\ufff9-\ufffb\ufffe\uffff]/gu
const ZERO_WIDTH = /[\u00ad\u180e\u200b\u2060-\u2064\ufeff]/g
const DIRECTION_MARK = /[\u061c\u200e\u200f]/g
const BIDI_CONTROL = /[\u202a-\u202e\u2066-\u2069]/g
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefe]/
/** Joiners mean something between letters of joining scripts and in emoji sequences. */
const JOINER = /[\u200c\u200d]/g
const JOINING =
  /[\u0600-\u0dff\u0e00-\u109f\u1780-\u18af\p{Extended_Pictographic}\p{Emoji_Modifier}\ufe0f]/u
/** Tag characters outside flag emoji, and runs of variation selectors: invisible carriers of text. */
const TAGS = /\u{1f3f4}[\u{e0020}-\u{e007e}]{1,8}\u{e007f}|[\u{e0000}-\u{e007f}]/gu
const SELECTOR_RUN = /[\ufe00-\ufe0f\u{e0100}-\u{e01ef}]{2,}/gu

/**
 * Repairs a text and lists what changed. Idempotent unless `changes.unstable` is set: repair repeats to a fixed point,
 * because one step can uncover work for another ("&am&#112;;"). Each pass is linear in the text.
 */
export function repairText(original: string): Repaired {
  const changes: Repaired['changes'] = {}
  let text = original
  for (let pass = 0; pass < MAX_PASSES; pass++) {
    const next = repairOnce(text, changes)
    if (next === text) return { text, changes }
    text = next
  }
  if (repairOnce(text, {}) !== text) changes.unstable = 1
  return { text, changes }
}

function repairOnce(input: string, changes: Repaired['changes']): string {
  let text = input
  const note = (kind: RepairKind, count: number): void => {
    if (count > 0) changes[kind] = (changes[kind] ?? 0) + count
  }
  const drop = (
    kind: RepairKind,
    pattern: RegExp,
    keep?: (match: string, at: number) => boolean,
  ): void => {
    let count = 0
    text = text.replace(pattern, (match: string, at: number) => {
      if (keep?.(match, at)) return match
      count++
      return ''
    })
    note(kind, count)
  }
  const apply = (
    kind: RepairKind,
    step: (text: string) => { text: string; count: number },
  ): void => {
    const done = step(text)
    text = done.text
    note(kind, done.count)
  }

  if (!PLAIN.test(text)) {
    apply('lone_surrogate', replaceLoneSurrogates)
    apply('mojibake', fixMojibake)
    apply('mojibake', fixC1)
    // In markup "&lt;" means a visible "<"; decoding it would make it a tag.
    if (!text.includes('<')) apply('html_entity', decodeEntities)
    apply('combining_run', cutCombiningRuns)
    apply('unicode_nfc', composeNfc)
    apply('line_ending', unifyLineEnds)
    drop('control', CONTROL)
    drop('zero_width', ZERO_WIDTH)
    drop('bidi_control', BIDI_CONTROL)
    if (!RIGHT_TO_LEFT.test(text)) drop('zero_width', DIRECTION_MARK)
    const before = text
    drop('zero_width', JOINER, (_match, at) => joins(before, at))
    drop('hidden_text', TAGS, (match) => match.length > 2)
    drop('hidden_text', SELECTOR_RUN)
  }
  apply('blank_lines', collapseBlankLines)
  apply('outer_space', trimOuter)
  return text
}

type Step = { text: string; count: number }

const replaceLoneSurrogates = (text: string): Step =>
  text.isWellFormed() ? { text, count: 0 } : { text: text.toWellFormed(), count: 1 }

function cutCombiningRuns(text: string): Step {
  let count = 0
  const cut = text.replace(COMBINING_RUN, (_run, kept: string) => {
    count++
    return kept
  })
  return { text: cut, count }
}

function composeNfc(text: string): Step {
  const composed = text.normalize('NFC')
  return { text: composed, count: composed === text ? 0 : 1 }
}

function unifyLineEnds(text: string): Step {
  let count = 0
  const unified = text.replace(/\r\n?|[\u2028\u2029]/g, () => {
    count++
    return '\n'
  })
  return { text: unified, count }
}

/** More than two empty lines in a row become two. */
function collapseBlankLines(text: string): Step {
  let count = 0
  const collapsed = text.replace(/\n(?:[ \t]*\n){3,}/g, () => {
    count++
    return '\n\n\n'
  })
  return { text: collapsed, count }
}

function trimOuter(text: string): Step {
  const trimmed = text.trim()
  return { text: trimmed, count: trimmed === text ? 0 : 1 }
}

/** Whether the joiner at `at` stands beside a character of a joining script or an emoji. */
function joins(text: string, at: number): boolean {
  const before = String.fromCodePoint(...codePointsBefore(text, at))
  const after = String.fromCodePoint(text.codePointAt(at + 1) ?? 0)
  return JOINING.test(before) && JOINING.test(after)
}

function codePointsBefore(text: string, at: number): number[] {
  const low = text.charCodeAt(at - 1)
  const isPair = low >= 0xdc00 && low < 0xe000 && at >= 2
  const code = isPair ? text.codePointAt(at - 2) : low
  return code === undefined || Number.isNaN(code) ? [] : [code]
}
