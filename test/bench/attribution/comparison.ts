/** One value per query (or other item) and method: as figures with intervals, ours beside the others, and as a chart. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { figure, type Figure } from '../report.ts'
import { barChart } from './plot.ts'
import type { Method } from './scored.ts'
import { bootstrap, type Interval } from './statistics.ts'

export type Line = Pick<Method, 'label' | 'group'> & { perItem: readonly number[] }

const PLOTS = new URL('../../../docs/attribution/', import.meta.url).pathname

/** A figure per method, higher being better; the differences are intervals over the same items. */
export function compare(what: string, unit: string, lines: readonly Line[]): Figure[] {
  const ours = lines.find(({ group }) => group === 'ours')
  if (!ours) throw new Error(`${what}: ours was not measured`)
  const value = bootstrap(ours.perItem)
  return lines.map((line) => {
    const own = bootstrap(line.perItem)
    const { low, high } = bootstrap(ours.perItem.map((x, i) => x - (line.perItem[i] ?? 0)))
    const ahead = line === ours ? '' : `; ours ahead by ${low.toFixed(3)} to ${high.toFixed(3)}`
    const named = { name: `${what}, ${line.label} ${range(own)}${ahead}`, unit }
    const reference = line === ours ? undefined : { value: value.mean, name: 'ours' }
    return figure({ ...named, better: 'higher' }, own.mean, reference)
  })
}

/** Writes docs/attribution/FILE.svg: every method but variants, the best first. */
export async function plot(
  file: string,
  title: string,
  lines: readonly Line[],
  ceiling: number | null = null,
): Promise<void> {
  const bars = lines
    .filter(({ group }) => group !== 'variant')
    .map(({ label, group, perItem }) => ({
      label,
      value: bootstrap(perItem),
      isOurs: group === 'ours',
    }))
    .toSorted((a, b) => b.value.mean - a.value.mean)
  await mkdir(PLOTS, { recursive: true })
  await writeFile(join(PLOTS, `${file}.svg`), barChart(title, bars, ceiling))
}

export const range = ({ low, high }: Interval): string => `[${low.toFixed(3)}, ${high.toFixed(3)}]`
