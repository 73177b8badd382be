import { CONTEXT_CHARS, RECOGNIZERS, type PiiType } from './recognizers.ts'
import { findSecrets } from './secrets.ts'

/** Where a placeholder stands in the redacted text, and how long what it replaces was. The value itself is not kept. */
export type RedactedSpan = {
  field: string
  type: PiiType | 'SECRET'
  start: number
  end: number
  originalLength: number
}

export type Redacted = { text: string; spans: RedactedSpan[] }

/** Replaces secrets and personal data by placeholders such as `[EMAIL]`; `field` names the text in the spans. */
export function redact(text: string, field: string): Redacted {
  const found: { type: RedactedSpan['type']; start: number; end: number }[] = findSecrets(text).map(
    (span) => ({ type: 'SECRET', ...span }),
  )
  for (const { type, pattern, hint, isValid } of RECOGNIZERS) {
    if (!hint.test(text)) continue
    for (const match of text.matchAll(pattern)) {
      const start = match.index
      const end = start + match[0].length
      const before = text.slice(Math.max(0, start - CONTEXT_CHARS), start)
      const after = text.slice(end, end + CONTEXT_CHARS)
      if (isValid(match[0], before, after)) found.push({ type, start, end })
    }
  }
  if (found.length === 0) return { text, spans: [] }
  return replaceSpans(text, field, found)
}

function replaceSpans(
  text: string,
  field: string,
  found: { type: RedactedSpan['type']; start: number; end: number }[],
): Redacted {
  // A stable sort keeps the recognizers' precedence among spans that begin together.
  found.sort((a, b) => a.start - b.start)
  let out = ''
  let at = 0
  const spans: RedactedSpan[] = []
  for (const { type, start, end } of found) {
    if (start < at) {
      // Overlap: the part that sticks out is as private as the rest.
      at = Math.max(at, end)
      continue
    }
    out += text.slice(at, start)
    const placeholder = `[${type}]`
    spans.push({
      field,
      type,
      start: out.length,
      end: out.length + placeholder.length,
      originalLength: end - start,
    })
    out += placeholder
    at = end
  }
  return { text: out + text.slice(at), spans }
}
