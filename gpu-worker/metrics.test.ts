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

test('what was counted and what is sampled is told in the text format, a second time too', async () => {
  const metrics = createMetrics(() => sampled)
  metrics.requests.inc({ outcome: 'answered' })
  metrics.requests.inc({ outcome: 'answered' })
  metrics.completionTokens.inc(40)
  metrics.answer.observe(0.2)
  metrics.answer.observe(70)
  metrics.adapterLoad.observe({ tier: 'disk' }, 0.02)
  metrics.adapterLoad.observe({ tier: 'edge' }, 3)
  await metrics.render()
  const text = await metrics.render()
  const lines = text.split('\n')
  for (const line of [
    '# TYPE openledger_requests_total counter',
    'openledger_requests_total{outcome="answered"} 2',
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
    'openledger_adapter_load_seconds_bucket{le="0.025",tier="disk"} 1',
    'openledger_adapter_load_seconds_bucket{le="0.025",tier="edge"} 0',
    'openledger_adapter_load_seconds_sum{tier="edge"} 3',
    'openledger_adapter_load_seconds_count{tier="disk"} 1',
  ])
    assert.ok(lines.includes(line), line)
  assert.ok(text.endsWith('\n'))
})

test('adapters are told as vLLM tells them, a bounded number of them', async () => {
  const info = async (loras: (typeof sampled)['loras']) => {
    const lines = (await createMetrics(() => ({ ...sampled, loras })).render()).split('\n')
    return lines.find((line) => line.startsWith('vllm:lora_requests_info{'))!
  }
  assert.match(
    await info(sampled.loras),
    /^vllm:lora_requests_info\{max_lora="16",running_lora_adapters="0xaa,0xbb",waiting_lora_adapters="0xcc"\} \d+/,
  )
  const many = Array.from({ length: 1000 }, (_, i) => `0x${i}`)
  assert.equal((await info({ ...sampled.loras, waiting: many })).split(',0x').length, 1 + 1 + 31)
})
