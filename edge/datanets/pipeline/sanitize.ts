import type { Language } from './language.ts'
import { redact, type RedactedSpan } from './pii.ts'
import type { QualitySignals } from './quality.ts'
import { mapFields, mapStrings, type JsonObject, type Row } from './record.ts'
import { repairText, type RepairKind } from './repair.ts'
import type { RecordFields } from '#protocol/wire.ts'

/** What was changed in a record and measured of it. */
export type Attributes = {
  repairs: Partial<Record<RepairKind, number>>
  redactions: RedactedSpan[]
  language: Language
  signals: QualitySignals
}

type Sanitized = {
  fields: RecordFields
  metadata: JsonObject
  repairs: Attributes['repairs']
  redactions: RedactedSpan[]
}

/** Repairs and redacts every text of the row, metadata included: it is published with the record. */
export function sanitize(row: Row): Sanitized {
  const repairs: Attributes['repairs'] = {}
  const redactions: RedactedSpan[] = []
  const clean = (text: string, path: string): string => {
    const repaired = repairText(text)
    for (const kind of Object.keys(repaired.changes) as RepairKind[])
      repairs[kind] = (repairs[kind] ?? 0) + (repaired.changes[kind] ?? 0)
    const redacted = redact(repaired.text, path)
    redactions.push(...redacted.spans)
    return redacted.text
  }
  const fields = mapFields(row.fields, clean)
  const metadata = mapStrings(row.metadata, 'metadata', clean) as JsonObject // maps an object to one
  return { fields, metadata, repairs, redactions }
}
