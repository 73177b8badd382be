import type { Hex } from '#protocol/bytes.ts'
import { formatOpen } from './format.ts'
import type { Answer, ReceiptView } from './schema.ts'
import { printable, textTable } from './table.ts'

const SNIPPET_CHARS = 60
const SPAN_CHARS = 40
const INDENT = '    '

/**
 * Who is paid for an answer and why: share and amount, the record, and the words it shares with the answer, as far as
 * the attribution tells them. `nameOf` says how a contributor is shown.
 */
export function attributionTable(
  { receipt }: ReceiptView,
  attribution: Answer['attribution'],
  nameOf: (contributor: Hex) => string = shortAddress,
): string {
  const paid = receipt.rows.filter(({ amount }) => amount > 0n) // others are listed to be checked
  if (paid.length === 0)
    return receipt.datanets.length === 0
      ? `${INDENT}(a bare base model: its owner and the treasuries are paid)`
      : `${INDENT}(no record stands out: the contributors’ part goes to the base pool of the Datanet)`
  const pool = receipt.rows.reduce((sum, { amount }) => sum + amount, receipt.unattributed)
  const share = (amount: bigint) => percent(Number((amount * 1_000_000n) / pool))
  const rows = paid.map((row) => {
    const shown = attribution?.rows?.find((candidate) => candidate.record === row.record)
    const span = shown?.spans.toSorted((a, b) => b.text.length - a.text.length)[0]
    return [
      nameOf(row.contributor),
      share(row.amount),
      formatOpen(row.amount),
      clip(shown?.snippet ?? row.record, SNIPPET_CHARS),
      span ? `“${clip(span.text, SPAN_CHARS)}”` : '',
    ]
  })
  return textTable(
    [
      ['contributor', 'share', 'amount', 'record', 'same words'],
      ...rows,
      ['(base pool)', share(receipt.unattributed), formatOpen(receipt.unattributed), '', ''],
    ],
    INDENT,
  )
}

/** Which records shaped each sentence of an answer. */
export function sentenceTable({ attribution, text }: Pick<Answer, 'attribution' | 'text'>): string {
  const rows = (attribution?.sentences ?? []).map(({ start, end, rows: shaped }) => [
    clip(text.slice(start, end), SNIPPET_CHARS),
    shaped.map(({ record, share }) => `${record.slice(0, 10)} ${percent(share)}`).join(', ') ||
      '(none stands out)',
  ])
  return rows.length === 0 ? '' : textTable([['sentence', 'records'], ...rows], INDENT)
}

/** Of parts per million. */
const percent = (ppm: number): string => `${(ppm / 10_000).toFixed(1)} %`

const shortAddress = (address: Hex): string => `${address.slice(0, 8)}…${address.slice(-6)}`

const clip = (text: string, chars: number): string => {
  const plain = printable(text).replace(/\s+/g, ' ').trim()
  return plain.length > chars ? `${plain.slice(0, chars - 1)}…` : plain
}
