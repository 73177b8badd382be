import { execFileSync } from 'node:child_process'
import { cpus, totalmem } from 'node:os'

/** One measured number beside the number it is compared with. Absent references are missing, never met. */
export type Figure = {
  name: string
  unit: string
  ours: number
  reference: number | null
  referenceName: string | null
  /** ours / reference */
  ratio: number | null
  /** What `ours` should reach. */
  goal: number | null
  better: 'higher' | 'lower'
}

export type BenchFlags = { json: boolean; quick: boolean }

/** Reads `--json` and `--quick`; anything else prints the usage and ends with 2. */
export function benchFlags(args: string[]): BenchFlags {
  const unknown = args.find((arg) => arg !== '--json' && arg !== '--quick')
  if (unknown !== undefined) {
    process.stderr.write(`unknown flag ${unknown}; known: --json, --quick\n`)
    process.exit(2)
  }
  return { json: args.includes('--json'), quick: args.includes('--quick') }
}

/** A figure; the ratio follows from ours and the reference. */
export function figure(
  { name, unit, better }: Pick<Figure, 'name' | 'unit' | 'better'>,
  ours: number,
  reference?: { value: number; name: string },
): Figure {
  return {
    name,
    unit,
    ours,
    reference: reference?.value ?? null,
    referenceName: reference?.name ?? null,
    ratio: reference ? ours / reference.value : null,
    goal: null,
    better,
  }
}

/**
 * Measures one part after the other and prints the report. What is being measured goes to stderr, and so does each figure as
 * soon as there is one; a part that fails is told there and left out. A run that is ended early prints what it has.
 */
export async function runParts(
  bench: string,
  flags: BenchFlags,
  parts: Readonly<Record<string, () => Promise<Figure[]>>>,
): Promise<void> {
  const figures: Figure[] = []
  const stop = () => {
    printReport(bench, figures, flags)
    process.exit(1)
  }
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, stop)
  for (const [name, measure] of Object.entries(parts)) {
    progress(name)
    try {
      const found = await measure()
      figures.push(...found)
      for (const row of found.map(cellsOf)) progress(`  ${row.filter(Boolean).join('  ')}`)
    } catch (error) {
      process.exitCode = 1
      progress(`  failed: ${error instanceof Error ? error.stack : String(error)}`)
    }
  }
  printReport(bench, figures, flags)
}

/** Says on stderr what goes on, with the seconds since the start. */
export const progress = (what: string): void => {
  process.stderr.write(`${Math.round(performance.now() / 1000)} s: ${what}\n`)
}

/** Prints a table, or with `--json` one object and nothing else. */
export function printReport(bench: string, figures: Figure[], { json }: BenchFlags): void {
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
  const machine = `${cpus().length} x ${cpus()[0]?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`
  if (json) {
    process.stdout.write(`${JSON.stringify({ bench, commit, machine, figures })}\n`)
    return
  }
  const rows = [
    ['figure', 'ours', 'unit', 'reference', 'ratio', 'better', 'goal'],
    ...figures.map(cellsOf),
  ]
  const widths = rows[0]?.map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  )
  const lines = rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths?.[i] ?? 0))
      .join('  ')
      .trimEnd(),
  )
  process.stdout.write(`${bench} at ${commit} on ${machine}\n\n${lines.join('\n')}\n`)
}

const cellsOf = (it: Figure): string[] => [
  it.name,
  short(it.ours),
  it.unit,
  it.reference === null ? '' : `${short(it.reference)} (${it.referenceName})`,
  it.ratio === null ? '' : short(it.ratio),
  it.better,
  it.goal === null ? '' : `${isMet(it) ? 'met' : 'missed'}: ${short(it.goal)}`,
]

const isMet = ({ ours, goal, better }: Figure): boolean =>
  goal !== null && (better === 'higher' ? ours >= goal : ours <= goal)

const short = (value: number): string =>
  value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3)

/** Value below which a share of the sample lies; 0.5 is the median. */
export function quantile(sample: readonly number[], share: number): number {
  const sorted = sample.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
}
