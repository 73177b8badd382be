/** What this worker tells Prometheus at /metrics. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'

const GAUGES = {
  openledger_requests_active: 'Requests being generated.',
  openledger_requests_waiting: 'Requests that wait for their turn.',
  openledger_tokens_per_second: 'Tokens generated per second, lately.',
  openledger_adapters_resident: 'Adapters in memory.',
  openledger_adapters_resident_bytes: 'Memory that they take.',
  openledger_adapters_budget_bytes: 'Memory that they may take, unless those pinned take more.',
  openledger_adapters_pinned: 'Adapters in memory that the operator pinned.',
  openledger_adapter_hit_ratio: 'Share of requests whose adapter was in memory.',
  openledger_indexes_resident: 'Attribution indexes in memory.',
  openledger_indexes_resident_bytes: 'Memory that they take.',
  openledger_indexes_budget_bytes: 'Memory that they may take, unless those pinned take more.',
  openledger_base_bits: 'Bits that a weight of the matrices of the base is held in to serve it.',
  openledger_base_bytes: 'Memory that serving the bare base takes, estimated.',
  openledger_training_running: 'Training jobs that run now.',
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

/** What is read when it is asked for. */
export type Sample = {
  gauges: Readonly<Record<keyof typeof GAUGES, number>>
  /** Counters that something else keeps. */
  totals: Readonly<Record<keyof typeof TOTALS, number>>
  /** Adapters of running and of waiting requests. */
  loras: { capacity: number; running: readonly string[]; waiting: readonly string[] }
}

const BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
/** Adapters are labels, which a server has as many of at once as rows and queue places. */
const MOST_LABELLED = 32

export type Metrics = ReturnType<typeof createMetrics>

/** The worker's metrics; `sample` is asked once for each exposition. */
export function createMetrics(sample: () => Sample) {
  const registry = new Registry()
  const registers = [registry]
  const counter = <L extends string>(name: string, help: string, labelNames: L[] = []) =>
    new Counter({ name, help, labelNames, registers })
  const seconds = <L extends string>(name: string, help: string, labelNames: L[] = []) =>
    new Histogram({ name, help, labelNames, buckets: BUCKETS, registers })
  collectDefaultMetrics({ register: registry })

  const gauges = Object.entries(GAUGES).map(
    ([name, help]) => [name, new Gauge({ name, help, registers })] as const,
  )
  const totals = Object.entries(TOTALS).map(([name, help]) => [name, counter(name, help)] as const)
  // The gauge by which vLLM tells routers its adapters, and Kubernetes' inference gateway reads it: its value is a time.
  const loraInfo = new Gauge({
    name: 'vllm:lora_requests_info',
    help: 'Adapters of running and of waiting requests.',
    labelNames: ['max_lora', 'running_lora_adapters', 'waiting_lora_adapters'],
    registers,
  })

  return {
    requests: counter('openledger_requests_total', 'Answers by outcome.', ['outcome']),
    promptTokens: counter('openledger_prompt_tokens_total', 'Prompt tokens answered.'),
    completionTokens: counter('openledger_completion_tokens_total', 'Tokens generated.'),
    trainingJobs: counter('openledger_training_jobs_total', 'Training jobs by outcome.', [
      'outcome',
    ]),
    firstToken: seconds('openledger_first_token_seconds', 'Time to the first text of an answer.'),
    answer: seconds('openledger_answer_seconds', 'Time to the receipt of an answer.'),
    attribution: seconds(
      'openledger_attribution_seconds',
      'Time to attribute an answer and sign its receipt.',
    ),
    adapterLoad: seconds(
      'openledger_adapter_load_seconds',
      'Time to fetch, verify and unpack an adapter, by the tier it came from.',
      ['tier'],
    ),
    contentType: registry.contentType,

    /** The exposition in Prometheus' text format. */
    render: (): Promise<string> => {
      const now = sample()
      for (const [name, gauge] of gauges) gauge.set(now.gauges[name as keyof typeof GAUGES])
      for (const [name, total] of totals) {
        total.reset()
        total.inc(now.totals[name as keyof typeof TOTALS])
      }
      const { capacity, running, waiting } = now.loras
      const labels = {
        max_lora: capacity,
        running_lora_adapters: running.slice(0, MOST_LABELLED).join(','),
        waiting_lora_adapters: waiting.slice(0, MOST_LABELLED).join(','),
      }
      loraInfo.reset()
      loraInfo.set(labels, Date.now() / 1000)
      return registry.metrics()
    },
  }
}
