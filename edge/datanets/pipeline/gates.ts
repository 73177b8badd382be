import type { Language } from './language.ts'
import type { RedactedSpan } from './pii.ts'
import type { Profile } from './profile.ts'
import type { QualitySignals } from './quality.ts'
import type { ReasonCode } from './reasons.ts'
import { recordText } from './record.ts'
import type { RepairKind } from './repair.ts'
import type { RecordFields } from '#protocol/wire.ts'

/** Gopher's repetition limits (Rae et al. 2021, table A1), as shares. */
export const GOPHER_REPETITION = {
  duplicateLines: 0.3,
  duplicateParagraphs: 0.3,
  duplicateLineChars: 0.2,
  duplicateParagraphChars: 0.2,
  topNgramChars: [0.2, 0.18, 0.16],
  duplicateNgramChars: [0.15, 0.14, 0.13, 0.12, 0.11, 0.1],
} as const

const HAS_WORD = /[\p{L}\p{N}]/u
/** Without spaces between words, a "word" is a sentence: word lengths say nothing. */
const UNSPACED_SCRIPT = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]/u

/** What the stages before the gates found out about one record. */
export type Measured = {
  fields: RecordFields
  signals: QualitySignals
  language: Language
  changes: Partial<Record<RepairKind, number>>
  spans: readonly RedactedSpan[]
  injection: readonly ReasonCode[]
}

/** The reasons that one record gives by itself, before it is compared with any other. */
export function gateReasons(measured: Measured, profile: Profile): ReasonCode[] {
  const { fields, signals, language, changes, spans, injection } = measured
  const reasons: ReasonCode[] = []
  const when = (condition: boolean, reason: ReasonCode): void => {
    if (condition) reasons.push(reason)
  }
  const isEmpty = requiredTexts(fields).some((text) => !HAS_WORD.test(text))
  when(isEmpty, 'EMPTY')
  when(
    !isEmpty && (signals.chars < profile.minChars || signals.words < profile.minWords),
    'TOO_SHORT',
  )
  when(signals.words > profile.maxWords, 'TOO_LONG')
  when(!isEmpty && hasOddWords(fields, signals, profile), 'WORD_LENGTH')
  when(isRepetitive(signals, profile), 'REPETITIVE')
  when(signals.hasLoremIpsum, 'LOREM_IPSUM')
  when(signals.replacementChars > profile.maxReplacementChars, 'ENCODING_DAMAGED')
  if (!isEmpty && profile.languages.length > 0 && language.score < profile.minLanguageScore)
    reasons.push(
      signals.chars < profile.languageCertainChars ? 'LANGUAGE_UNCERTAIN' : 'LANGUAGE_NOT_ALLOWED',
    )

  const personal = spans.filter((span) => span.type !== 'SECRET')
  when(personal.length < spans.length, 'SECRET_FOUND')
  when(personal.length > 0, 'PII_REDACTED')
  when(
    personal.some((span) => span.type === 'SSN') ||
      personal.filter((span) => span.type === 'PATIENT_ID').length > profile.maxPatientIds ||
      personal.length > profile.maxRedactions,
    'PII_REVIEW',
  )

  when(changes.bidi_control !== undefined, 'BIDI_CONTROL')
  when(changes.hidden_text !== undefined, 'HIDDEN_TEXT')
  when(changes.unstable !== undefined, 'UNSTABLE_TEXT')
  return reasons.concat(injection)
}

/** The texts without which a record teaches nothing: all but system messages. */
function requiredTexts(fields: RecordFields): string[] {
  if ('text' in fields) return [fields.text]
  if ('prompt' in fields) return [fields.prompt, fields.completion]
  const answers = fields.messages.filter((message) => message.role === 'assistant')
  return answers.length === 0 ? [''] : fields.messages.map((message) => message.content)
}

function hasOddWords(fields: RecordFields, signals: QualitySignals, profile: Profile): boolean {
  if (UNSPACED_SCRIPT.test(recordText(fields))) return false
  const [least, most] = profile.meanWordLength
  return (
    signals.maxWordLength > profile.maxWordLength ||
    signals.meanWordLength < least ||
    signals.meanWordLength > most
  )
}

function isRepetitive(signals: QualitySignals, profile: Profile): boolean {
  if (signals.words < profile.repetitionMinWords) return false
  const over = (share: number, limit: number, factor = profile.repetitionFactor): boolean =>
    share > limit * factor
  return (
    over(signals.duplicateLines, GOPHER_REPETITION.duplicateLines) ||
    over(signals.duplicateParagraphs, GOPHER_REPETITION.duplicateParagraphs) ||
    over(signals.duplicateLineChars, GOPHER_REPETITION.duplicateLineChars) ||
    over(signals.duplicateParagraphChars, GOPHER_REPETITION.duplicateParagraphChars) ||
    GOPHER_REPETITION.topNgramChars.some((limit, i) =>
      over(signals.topNgramChars[i] ?? 0, limit),
    ) ||
    GOPHER_REPETITION.duplicateNgramChars.some((limit, i) =>
      over(signals.duplicateNgramChars[i] ?? 0, limit, profile.ngramRepetitionFactor),
    )
  )
}
