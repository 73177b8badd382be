/** Bar charts with intervals, as SVG. */
import type { Interval } from './statistics.ts'

export type Bar = { label: string; value: Interval; isOurs: boolean }

const [WIDTH, LABELS, ROW, TOP] = [760, 300, 22, 44] as const

/** Horizontal bars on a scale from 0 to 1, and a dashed line at `line`, if there is one. */
export function barChart(title: string, bars: readonly Bar[], line: number | null): string {
  const height = TOP + bars.length * ROW + 30
  const least = Math.min(0, ...bars.map(({ value }) => value.low))
  const x = (value: number) => LABELS + ((value - least) / (1 - least)) * (WIDTH - LABELS - 60)
  const rows = bars.map(({ label, value, isOurs }, i) => {
    const y = TOP + i * ROW
    const middle = y + ROW / 2 - 2
    const [left, right] = [Math.min(x(0), x(value.mean)), Math.max(x(0), x(value.mean))]
    return [
      `<text x="${LABELS - 8}" y="${middle + 4}" text-anchor="end"${isOurs ? ' font-weight="bold"' : ''}>${escape(label)}</text>`,
      `<rect x="${left.toFixed(1)}" y="${y}" width="${(right - left).toFixed(1)}" height="${ROW - 5}" fill="${isOurs ? '#0b6e4f' : '#9aa5b1'}"/>`,
      `<line x1="${x(value.low).toFixed(1)}" x2="${x(value.high).toFixed(1)}" y1="${middle}" y2="${middle}" stroke="#222"/>`,
      `<text x="${(x(Math.max(0, value.high)) + 6).toFixed(1)}" y="${middle + 4}">${value.mean.toFixed(3)}</text>`,
    ].join('')
  })
  const ceiling =
    line === null
      ? ''
      : `<line x1="${x(line).toFixed(1)}" x2="${x(line).toFixed(1)}" y1="${TOP - 8}" y2="${height - 24}" stroke="#b00" stroke-dasharray="4 3"/><text x="${x(line).toFixed(1)}" y="${height - 8}" text-anchor="middle" fill="#b00">noise ceiling ${line.toFixed(3)}</text>`
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="12">`,
    '<rect width="100%" height="100%" fill="white"/>',
    `<text x="12" y="22" font-size="15">${escape(title)}</text>`,
    ...rows,
    ceiling,
    '</svg>\n',
  ].join('\n')
}

const escape = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
