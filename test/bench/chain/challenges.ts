import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { figure, type Figure } from '../report.ts'

const KINDS = ['receipt', 'epoch']
const repository = new URL('../../../', import.meta.url)
const MOST_GAS = 300_000

/** Gas of each challenge, demand and answer at full size: what the tests of it measure, and hold to their snapshots. */
export async function benchChallenges(): Promise<Figure[]> {
  const tests = KINDS.map((kind) => `contracts/test/${kind}-challenge-gas.test.ts`)
  const { status, stdout } = spawnSync(process.execPath, ['--test', ...tests], { cwd: repository })
  if (status !== 0) throw new Error(`${tests.join(', ')}:\n${stdout.toString().slice(-2_000)}`)
  return KINDS.flatMap((kind) => {
    const path = new URL(`contracts/snapshots/${kind}-challenges.json`, repository)
    const gas = z.record(z.string(), z.number()).parse(JSON.parse(readFileSync(path, 'utf8')))
    return Object.entries(gas).map(([name, used]) => ({
      ...figure({ name, unit: 'gas', better: 'lower' }, used),
      ...(name.startsWith('challenge') && { goal: MOST_GAS }),
    }))
  })
}
