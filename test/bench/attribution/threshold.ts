/**
 * What the governed threshold of significance does: how many rows pass it for answers about the records and for answers about
 * something else, and how well what is paid agrees with retraining.
 */
import { defaultParameters } from '#protocol/parameters.ts'
import { isSignificant } from '#protocol/score.ts'
import { figure, type Figure } from '../report.ts'
import { range } from './comparison.ts'
import { DATASETS } from './datasets.ts'
import { paidScores, rowScores } from './ours.ts'
import { datasetTruth, ldsPlan, scoredDataset, type Bench } from './scored.ts'
import { bootstrap, lds, mean } from './statistics.ts'

/** In thousandths of a null deviation, as governed. */
const THRESHOLDS = [1_000n, 2_000n, 3_000n, 4_000n, 5_000n]

export async function measureThreshold(bench: Bench): Promise<Figure[]> {
  const governed = defaultParameters()
  const figures: Figure[] = []
  for (const name of DATASETS) {
    const { task, index } = await scoredDataset(bench, name)
    const truth = await datasetTruth(bench, name, { task, plan: ldsPlan(task) })
    const own = await rowScores(index, bench.source, task.queries)
    const other = []
    for (const unlike of DATASETS.filter((it) => it !== name)) {
      const { queries } = (await scoredDataset(bench, unlike)).task
      other.push(...(await rowScores(index, bench.source, queries)))
    }
    for (const least of THRESHOLDS) {
      const values = { ...governed, 'attribution.significance': least }
      const passing = (found: typeof own) =>
        mean(found.map((scores) => scores.filter((it) => isSignificant(it, values)).length))
      const agreement = bootstrap(lds(paidScores(own, values), truth))
      const which = `${name}, at least ${least / 1_000n} deviations${least === governed['attribution.significance'] ? ' (governed)' : ''}`
      figures.push(
        figure(
          { name: `${which}: rows an answer, beside others'`, unit: 'rows', better: 'higher' },
          passing(own),
          { value: passing(other), name: 'answers about something else' },
        ),
        figure(
          { name: `${which}: LDS ${range(agreement)}`, unit: 'rho', better: 'higher' },
          agreement.mean,
        ),
      )
    }
  }
  return figures
}
