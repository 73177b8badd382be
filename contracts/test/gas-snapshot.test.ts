import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { forge } from '../script/forge.ts'
import { root } from '../script/foundry.ts'

const figures = () => readFileSync(join(root, 'contracts/snapshots/gas.json'), 'utf8')

test('a run of some tests keeps the gas figures of all others', () => {
  const before = figures()
  assert.equal(forge(['test', '--quiet', '--match-contract', 'CurationGas']), 0)
  assert.equal(figures(), before)
})
