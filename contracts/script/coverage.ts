import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { spawnSync } from 'node:child_process'
import { foundryBinary, root } from './foundry.ts'

// `npm run contracts:coverage`: runs the Solidity tests with counters in contracts/src and fails when of any file less
// than LEAST percent of the lines or branches were reached. What only TypeScript tests reach does not count.

const LEAST = 95

type Count = { hit: number; all: number }
type FileCounts = {
  lines: Count
  branches: Count
  /** Lines that were not reached, or where a branch was not. */
  missed: Set<number>
}

/** Reads an LCOV report: https://ltp.sourceforge.net/coverage/lcov/geninfo.1.php. */
function readLcov(text: string): Map<string, FileCounts> {
  const files = new Map<string, FileCounts>()
  let file = ''
  for (const row of text.split('\n')) {
    const [kind = '', value = ''] = row.split(/:(.*)/s)
    if (kind === 'SF') {
      file = value
      files.set(file, {
        lines: { hit: 0, all: 0 },
        branches: { hit: 0, all: 0 },
        missed: new Set(),
      })
    }
    const counts = files.get(file)
    if (!counts || (kind !== 'DA' && kind !== 'BRDA')) continue
    const count = kind === 'DA' ? counts.lines : counts.branches
    count.all++
    const fields = value.split(',')
    if (!['0', '-'].includes(fields.at(-1) ?? '')) count.hit++
    else counts.missed.add(Number(fields[0]))
  }
  return files
}

const percent = ({ hit, all }: Count): number => (all === 0 ? 100 : (100 * hit) / all)

const sum = (counts: Count[]): Count => ({
  hit: counts.reduce((total, { hit }) => total + hit, 0),
  all: counts.reduce((total, { all }) => total + all, 0),
})

const line = (name: string, { lines, branches }: Omit<FileCounts, 'missed'>): string =>
  `${name.padEnd(48)}${percent(lines).toFixed(1).padStart(8)} % ${percent(branches).toFixed(1).padStart(8)} %`

const folder = mkdtempSync(join(tmpdir(), 'coverage-'))
const report = join(folder, 'lcov.info')
try {
  const args = ['coverage', '--report', 'lcov', '--lcov-version', '1', '--report-file', report]
  // Gas differs with counters, and is measured elsewhere.
  args.push('--no-match-coverage', 'contracts/test|node_modules', '--no-match-contract', 'GasTest')
  const env = { ...process.env, FOUNDRY_PROFILE: 'coverage' }
  const run = spawnSync(foundryBinary('forge'), args, { cwd: root, env, encoding: 'utf8' })
  if (run.error) throw run.error
  if (run.status !== 0) throw new Error(`forge coverage failed\n${run.stdout}${run.stderr}`)
  const files = readLcov(readFileSync(report, 'utf8'))
  console.log(`${''.padEnd(48)}${'lines'.padStart(10)} ${'branches'.padStart(10)}`)
  for (const [name, counts] of files) console.log(line(name, counts))
  const total = {
    lines: sum([...files.values()].map(({ lines }) => lines)),
    branches: sum([...files.values()].map(({ branches }) => branches)),
  }
  console.log(line('all of contracts/src', total))
  for (const [name, { lines, branches, missed }] of files) {
    if (Math.min(percent(lines), percent(branches)) >= LEAST) continue
    console.error(`${name}: less than ${LEAST} % is covered, see lines ${[...missed].join(', ')}`)
    process.exitCode = 1
  }
} finally {
  rmSync(folder, { recursive: true })
}
