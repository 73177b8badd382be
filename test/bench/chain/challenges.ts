import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { figure, type Figure } from '../report.ts'

const TEST = 'contracts/test/challenge-gas.test.ts'
const SNAPSHOT = 'contracts/snapshots/challenges.json'
const repository = new URL('../../../', import.meta.url)
const MOST_GAS = 300_000

/** Gas of each challenge at full size: what the test of it measures, and holds to its snapshot. */
export async function benchChallenges(): Promise<Figure[]> {
  const { status, stdout } = spawnSync(process.execPath, ['--test', TEST], { cwd: repository })
  if (status !== 0) throw new Error(`${TEST} fails:\n${stdout.toString().slice(-2_000)}`)
  const gas = z
    .record(z.string(), z.number())
    .parse(JSON.parse(readFileSync(new URL(SNAPSHOT, repository), 'utf8')))
  return Object.entries(gas).map(([name, used]) => ({
    ...figure({ name, unit: 'gas', better: 'lower' }, used),
    goal: MOST_GAS,
  }))
}
