import assert from 'node:assert/strict'
import test from 'node:test'
import { createMetrics } from './metrics.ts'

test('metrics are rendered in the Prometheus text format', () => {
  const metrics = createMetrics()
  metrics.add('openledger_requests_total', { outcome: 'answered' })
  metrics.add('openledger_requests_total', { outcome: 'answered' })
  metrics.add('openledger_requests_total', { outcome: 'a "quoted"\nline' })
  metrics.add('openledger_completion_tokens_total', {}, 40)
  metrics.observe('openledger_answer_seconds', 0.2)
  metrics.observe('openledger_answer_seconds', 70)
  const text = metrics.render({
    openledger_requests_active: 1,
    openledger_requests_waiting: 0,
    openledger_adapters_resident: 2,
    openledger_training_running: 0,
    process_resident_memory_bytes: 5,
  })
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
  ])
    assert.ok(lines.includes(line), line)
  assert.ok(text.endsWith('\n'))
})
