import assert from 'node:assert/strict'
import test from 'node:test'
import { showProgress } from './progress.ts'

function record(isTTY: boolean) {
  let text = ''
  let clock = 0
  const output = { isTTY, columns: 120, write: (more: string) => (text += more) }
  const progress = showProgress(output, () => clock)
  return { progress, pass: (ms: number) => (clock += ms), text: () => text }
}

test('without a terminal a step is plain lines: progress every ten seconds, then its end', () => {
  const { progress, pass, text } = record(false)
  const step = progress.step('Train')
  step.update(0.1, 'loss 3.0')
  pass(5_000)
  step.update(0.5, 'loss 2.0')
  pass(6_000)
  step.update(0.75, 'loss 1.5')
  pass(1_000)
  step.done('loss 1.2')
  assert.equal(
    text(),
    [
      `· ${'Train'.padEnd(26)}  11.0 s   75% loss 1.5`,
      `✓ ${'Train'.padEnd(26)}  12.0 s  loss 1.2`,
      '',
    ].join('\n'),
  )
  assert.ok(!text().includes('\u001b'))
})

test('on a terminal the bar is redrawn in place, and printed lines stand above it', () => {
  const { progress, pass, text } = record(true)
  const step = progress.step('Train')
  pass(1_000)
  step.update(0.5, 'halfway')
  const before = text().length
  progress.print('a line')
  const printed = text().slice(before)
  assert.ok(printed.startsWith('\r\u001b[2Ka line\n'), 'the bar is cleared first')
  assert.match(printed, /█{12}░{12} {2}50% halfway$/)
  step.fail('broke')
  pass(1_000)
  step.update(0.9, 'too late')
  assert.ok(text().endsWith(`\r\u001b[2K✗ ${'Train'.padEnd(26)}   1.0 s  broke\n`))
})
