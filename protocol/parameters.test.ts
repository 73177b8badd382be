import assert from 'node:assert/strict'
import test from 'node:test'
import { defaultParameters, PARAMETERS, paramsHash } from './parameters.ts'

test('every parameter starts inside its bounds and changes the hash when it changes', () => {
  for (const { value, min, max } of Object.values(PARAMETERS))
    assert.ok(min <= value && value <= max)
  const values = defaultParameters()
  assert.notEqual(paramsHash(values), paramsHash({ ...values, 'attribution.topK': 3n }))
})
