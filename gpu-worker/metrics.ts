/** Counters, gauges and histograms in Prometheus' text format, as many as this worker needs. */

type Labels = Readonly<Record<string, string>>
type Kind = 'counter' | 'gauge' | 'histogram'

export type Metrics = {
  add: (name: CounterName, labels?: Labels, amount?: number) => void
  observe: (name: HistogramName, seconds: number, labels?: Labels) => void
  /** The exposition; what is read when it is asked for is given by who asks. */
  render: (sampled: Sampled) => string
}
export type Sampled = {
  gauges: Readonly<Record<GaugeName, number>>
  /** Counters that something else keeps. */
  totals: Readonly<Record<TotalName, number>>
  loras: { capacity: number; running: readonly string[]; waiting: readonly string[] }
}

const HELP = {
  openledger_requests_total: 'Answers by outcome.',
  openledger_prompt_tokens_total: 'Prompt tokens answered.',
  openledger_completion_tokens_total: 'Tokens generated.',
  openledger_training_jobs_total: 'Training jobs by outcome.',
} as const
const HISTOGRAMS = {
  openledger_first_token_seconds: 'Time to the first text of an answer.',
  openledger_answer_seconds: 'Time to the receipt of an answer.',
  openledger_attribution_seconds: 'Time to attribute an answer and sign its receipt.',
  openledger_adapter_load_seconds:
    'Time to fetch, verify and unpack an adapter, by the tier it came from.',
} as const
const TOTALS = {
  openledger_adapter_hits_total: 'Requests whose adapter was in memory.',
  openledger_adapter_misses_total: 'Requests whose adapter had to be loaded.',
  openledger_adapter_evictions_total: 'Adapters that left memory for others.',
  openledger_index_hits_total: 'Answers and explanations whose index was in memory.',
  openledger_index_misses_total: 'Answers and explanations whose index had to be loaded.',
  openledger_index_evictions_total: 'Indexes that left memory for others.',
  openledger_deferrals_total:
    'Requests that had to wait because the ranks of the batch left no room.',
} as const
const GAUGES = {
  openledger_requests_active: 'Requests being generated.',
  openledger_requests_waiting: 'Requests that wait for their turn.',
  openledger_tokens_per_second: 'Tokens generated per second, lately.',
  openledger_adapters_resident: 'Adapters in memory.',
  openledger_adapters_resident_bytes: 'Memory that they take.',
  openledger_adapters_budget_bytes: 'Memory that they may take, unless those pinned take more.',
  openledger_adapters_pinned: 'Adapters in memory that the operator pinned.',
  openledger_indexes_resident: 'Attribution indexes in memory.',
  openledger_indexes_resident_bytes: 'Memory that they take.',
  openledger_indexes_budget_bytes: 'Memory that they may take, unless those pinned take more.',
  openledger_adapter_hit_ratio: 'Share of requests whose adapter was in memory.',
  openledger_base_bits: 'Bits that a weight of the matrices of the base is held in to serve it.',
  openledger_base_bytes: 'Memory that serving the bare base takes, estimated.',
  openledger_training_running: 'Training jobs that run now.',
  process_resident_memory_bytes: 'Resident memory of the process, threads included.',
} as const

type CounterName = keyof typeof HELP
type HistogramName = keyof typeof HISTOGRAMS
type TotalName = keyof typeof TOTALS
export type GaugeName = keyof typeof GAUGES

const BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

/**
 * The gauge by which vLLM tells routers its adapters, and Kubernetes' inference gateway reads it. Its value is a Unix
 * time; the adapters are labels, which a server has as many of at once as rows and queue places, and shows some.
 */
const LORA_INFO = 'vllm:lora_requests_info'
const MOST_LABELLED = 32

/** Series of one name; more label sets than this are counted together, so that no caller can fill the memory. */
const MOST_SERIES = 64
const OTHER = 'other'

type Histogram = { counts: number[]; sum: number; count: number }

/** An empty set of metrics. */
export function createMetrics(): Metrics {
  const counters = new Map<string, number>() // by name and rendered labels
  const histograms = new Map<HistogramName, Map<string, Histogram>>()
  const seriesOf = (name: CounterName, labels: Labels): string => {
    const key = name + renderLabels(labels)
    const known = [...counters.keys()].filter((other) => other.startsWith(`${name}{`))
    if (counters.has(key) || known.length < MOST_SERIES) return key
    return (
      name + renderLabels(Object.fromEntries(Object.keys(labels).map((label) => [label, OTHER])))
    )
  }

  return {
    add: (name, labels = {}, amount = 1) => {
      const key = seriesOf(name, labels)
      counters.set(key, (counters.get(key) ?? 0) + amount)
    },
    observe: (name, seconds, labels = {}) => {
      const series = histograms.get(name) ?? new Map<string, Histogram>()
      histograms.set(name, series)
      const key = renderPairs(labels)
      const held = series.get(key) ?? { counts: BUCKETS.map(() => 0), sum: 0, count: 0 }
      BUCKETS.forEach((bound, i) => {
        if (seconds <= bound) held.counts[i] = (held.counts[i] ?? 0) + 1
      })
      series.set(key, { ...held, sum: held.sum + seconds, count: held.count + 1 })
    },
    render: ({ gauges, totals, loras }) => {
      const lines: string[] = []
      const head = (name: string, help: string, kind: Kind) =>
        lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${kind}`)
      for (const [name, help] of Object.entries(HELP)) {
        head(name, help, 'counter')
        for (const [key, value] of counters)
          if (key === name || key.startsWith(`${name}{`)) lines.push(`${key} ${value}`)
      }
      for (const [name, help] of Object.entries(TOTALS)) {
        head(name, help, 'counter')
        lines.push(`${name} ${totals[name as TotalName]}`)
      }
      head(LORA_INFO, 'Adapters of running and of waiting requests.', 'gauge')
      const labels = {
        max_lora: String(loras.capacity),
        running_lora_adapters: loras.running.slice(0, MOST_LABELLED).join(','),
        waiting_lora_adapters: loras.waiting.slice(0, MOST_LABELLED).join(','),
      }
      lines.push(`${LORA_INFO}${renderLabels(labels)} ${Date.now() / 1000}`)
      for (const [name, help] of Object.entries(GAUGES)) {
        head(name, help, 'gauge')
        lines.push(`${name} ${gauges[name as GaugeName]}`)
      }
      for (const [name, help] of Object.entries(HISTOGRAMS)) {
        head(name, help, 'histogram')
        const series = histograms.get(name as HistogramName) ?? [['', null] as const]
        for (const [pairs, held] of series) {
          const count = held?.count ?? 0
          const labelled = pairs === '' ? '' : `${pairs},`
          BUCKETS.forEach((bound, i) =>
            lines.push(`${name}_bucket{${labelled}le="${bound}"} ${held?.counts[i] ?? 0}`),
          )
          lines.push(`${name}_bucket{${labelled}le="+Inf"} ${count}`)
          const suffix = pairs === '' ? '' : `{${pairs}}`
          lines.push(`${name}_sum${suffix} ${held?.sum ?? 0}`, `${name}_count${suffix} ${count}`)
        }
      }
      return `${lines.join('\n')}\n`
    },
  }
}

const renderPairs = (labels: Labels): string =>
  Object.entries(labels)
    .map(([name, value]) => `${name}="${escape(value)}"`)
    .join(',')

const renderLabels = (labels: Labels): string =>
  Object.keys(labels).length === 0 ? '' : `{${renderPairs(labels)}}`

const escape = (text: string): string =>
  text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
