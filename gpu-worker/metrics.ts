/** Counters, gauges and histograms in Prometheus' text format, as many as this worker needs. */

type Labels = Readonly<Record<string, string>>
type Kind = 'counter' | 'gauge' | 'histogram'

export type Metrics = {
  add: (name: CounterName, labels?: Labels, amount?: number) => void
  observe: (name: HistogramName, seconds: number) => void
  /** The exposition; gauges are given by who asks. */
  render: (gauges: Readonly<Record<GaugeName, number>>) => string
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
} as const
const GAUGES = {
  openledger_requests_active: 'Requests being generated.',
  openledger_requests_waiting: 'Requests that wait for their turn.',
  openledger_adapters_resident: 'Adapters in memory.',
  openledger_training_running: 'Training jobs that run now.',
  process_resident_memory_bytes: 'Resident memory of the process, threads included.',
} as const

type CounterName = keyof typeof HELP
type HistogramName = keyof typeof HISTOGRAMS
export type GaugeName = keyof typeof GAUGES

const BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

/** An empty set of metrics. */
export function createMetrics(): Metrics {
  const counters = new Map<string, number>() // by name and rendered labels
  const histograms = new Map<HistogramName, { counts: number[]; sum: number; count: number }>()

  return {
    add: (name, labels = {}, amount = 1) => {
      const key = name + renderLabels(labels)
      counters.set(key, (counters.get(key) ?? 0) + amount)
    },
    observe: (name, seconds) => {
      const held = histograms.get(name) ?? { counts: BUCKETS.map(() => 0), sum: 0, count: 0 }
      BUCKETS.forEach((bound, i) => {
        if (seconds <= bound) held.counts[i] = (held.counts[i] ?? 0) + 1
      })
      histograms.set(name, { ...held, sum: held.sum + seconds, count: held.count + 1 })
    },
    render: (gauges) => {
      const lines: string[] = []
      const head = (name: string, help: string, kind: Kind) =>
        lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${kind}`)
      for (const [name, help] of Object.entries(HELP)) {
        head(name, help, 'counter')
        for (const [key, value] of counters)
          if (key === name || key.startsWith(`${name}{`)) lines.push(`${key} ${value}`)
      }
      for (const [name, help] of Object.entries(GAUGES)) {
        head(name, help, 'gauge')
        lines.push(`${name} ${gauges[name as GaugeName]}`)
      }
      for (const [name, help] of Object.entries(HISTOGRAMS)) {
        head(name, help, 'histogram')
        const held = histograms.get(name as HistogramName)
        const count = held?.count ?? 0
        BUCKETS.forEach((bound, i) =>
          lines.push(`${name}_bucket{le="${bound}"} ${held?.counts[i] ?? 0}`),
        )
        lines.push(`${name}_bucket{le="+Inf"} ${count}`)
        lines.push(`${name}_sum ${held?.sum ?? 0}`, `${name}_count ${count}`)
      }
      return `${lines.join('\n')}\n`
    },
  }
}

function renderLabels(labels: Labels): string {
  const entries = Object.entries(labels)
  if (entries.length === 0) return ''
  return `{${entries.map(([name, value]) => `${name}="${escape(value)}"`).join(',')}}`
}

const escape = (text: string): string =>
  text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
