/**
 * What the governed threshold of significance does: how many rows pass it for answers about the records and for answers about
 * something else, and how well what is paid agrees with retraining.
 */
import { defaultParameters } from '#protocol/parameters.ts'
import { figure, type Figure } from '../report.ts'
import { range } from './comparison.ts'
import { DATASETS } from './datasets.ts'
import { isPaid, paidScores, rowScores } from './ours.ts'
import { datasetTruth, ldsPlan, scoredDataset, type Bench } from './scored.ts'
import { bootstrap, lds, mean } from './statistics.ts'

/** In thousandths of a null deviation, as governed. */
const THRESHOLDS = [1_000, 2_000, 3_000, 4_000, 5_000]

export async function measureThreshold(bench: Bench): Promise<Figure[]> {
  const governed = Number(defaultParameters()['attribution.significance'])
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
      const passing = (found: typeof own) =>
        mean(found.map((scores) => scores.filter((it) => isPaid(it, least)).length))
      const agreement = bootstrap(lds(paidScores(own, least), truth))
      const which = `${name}, at least ${least / 1000} deviations${least === governed ? ' (governed)' : ''}`
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
