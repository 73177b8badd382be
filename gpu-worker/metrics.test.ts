import assert from 'node:assert/strict'
import test from 'node:test'
import { createMetrics } from './metrics.ts'

const sampled = {
  gauges: {
    openledger_requests_active: 1,
    openledger_requests_waiting: 0,
    openledger_tokens_per_second: 12.5,
    openledger_adapters_resident: 2,
    openledger_adapters_resident_bytes: 1000,
    openledger_adapters_budget_bytes: 4000,
    openledger_adapters_pinned: 1,
    openledger_indexes_resident: 1,
    openledger_indexes_resident_bytes: 5000,
    openledger_indexes_budget_bytes: 4000,
    openledger_adapter_hit_ratio: 0.75,
    openledger_base_bits: 4,
    openledger_base_bytes: 2 ** 20,
    openledger_training_running: 0,
    process_resident_memory_bytes: 5,
  },
  totals: {
    openledger_adapter_hits_total: 3,
    openledger_adapter_misses_total: 1,
    openledger_adapter_evictions_total: 0,
    openledger_index_hits_total: 7,
    openledger_index_misses_total: 2,
    openledger_index_evictions_total: 1,
    openledger_deferrals_total: 4,
  },
  loras: { capacity: 16, running: ['0xaa', '0xbb'], waiting: ['0xcc'] },
}

test('metrics are rendered in the Prometheus text format', () => {
  const metrics = createMetrics()
  metrics.add('openledger_requests_total', { outcome: 'answered' })
  metrics.add('openledger_requests_total', { outcome: 'answered' })
  metrics.add('openledger_requests_total', { outcome: 'a "quoted"\nline' })
  metrics.add('openledger_completion_tokens_total', {}, 40)
  metrics.observe('openledger_answer_seconds', 0.2)
  metrics.observe('openledger_answer_seconds', 70)
  metrics.observe('openledger_adapter_load_seconds', 0.02, { tier: 'disk' })
  metrics.observe('openledger_adapter_load_seconds', 3, { tier: 'edge' })
  const text = metrics.render(sampled)
  const lines = text.split('\n')
  for (const line of [
    '# TYPE openledger_requests_total counter',
    'openledger_requests_total{outcome="answered"} 2',
    'openledger_requests_total{outcome="a \\"quoted\\"\\nline"} 1',
    'openledger_completion_tokens_total 40',
    'openledger_adapters_resident 2',
    'openledger_answer_seconds_bucket{le="0.1"} 0',
    'openledger_answer_seconds_bucket{le="0.25"} 1',
    'openledger_answer_seconds_bucket{le="60"} 1',
    'openledger_answer_seconds_bucket{le="+Inf"} 2',
    'openledger_answer_seconds_sum 70.2',
    'openledger_answer_seconds_count 2',
    'openledger_attribution_seconds_count 0',
    'openledger_adapter_hit_ratio 0.75',
    'openledger_deferrals_total 4',
    'openledger_indexes_resident_bytes 5000',
    'openledger_index_evictions_total 1',
    'openledger_adapter_load_seconds_bucket{tier="disk",le="0.025"} 1',
    'openledger_adapter_load_seconds_bucket{tier="edge",le="0.025"} 0',
    'openledger_adapter_load_seconds_sum{tier="edge"} 3',
    'openledger_adapter_load_seconds_count{tier="disk"} 1',
  ])
    assert.ok(lines.includes(line), line)
  assert.ok(text.endsWith('\n'))
})

test('adapters are told as vLLM tells them, a bounded number of them', () => {
  const info = (loras: (typeof sampled)['loras']) =>
    createMetrics()
      .render({ ...sampled, loras })
      .split('\n')
      .find((line) => line.startsWith('vllm:lora_requests_info{'))!
  assert.match(
    info(sampled.loras),
    /^vllm:lora_requests_info\{max_lora="16",running_lora_adapters="0xaa,0xbb",waiting_lora_adapters="0xcc"\} \d+/,
  )
  const many = Array.from({ length: 1000 }, (_, i) => `0x${i}`)
  assert.equal(info({ ...sampled.loras, waiting: many }).split(',0x').length, 1 + 1 + 31)
})

test('label values that callers choose cannot make series without end', () => {
  const metrics = createMetrics()
  for (let i = 0; i < 1000; i++) metrics.add('openledger_requests_total', { outcome: `o${i}` })
  const series = metrics
    .render(sampled)
    .split('\n')
    .filter((line) => line.startsWith('openledger_requests_total{'))
  assert.equal(series.length, 65)
  assert.ok(series.includes('openledger_requests_total{outcome="other"} 936'))
})
