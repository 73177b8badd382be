import assert from 'node:assert/strict'
import test from 'node:test'
import { licenceExpression } from './licence.ts'

test('SPDX expressions are recognised by their grammar', () => {
  for (const text of [
    'CC0-1.0',
    'GPL-2.0+',
    'MIT AND (Apache-2.0 OR BSD-3-Clause)',
    'GPL-2.0-only WITH Classpath-exception-2.0',
    'LicenseRef-our.terms',
    'DocumentRef-x:LicenseRef-y',
    '((MIT))',
  ])
    assert.ok(licenceExpression.safeParse(text).success, text)
})

test('what is no SPDX expression is not one', () => {
  for (const text of [
    '',
    ' ',
    'public domain',
    'MIT AND',
    'AND MIT',
    '(MIT',
    'MIT)',
    '()',
    'MIT WITH',
    'MIT WITH (x)',
    'MIT, BSD',
    'a:b',
    'M'.repeat(300),
  ])
    assert.ok(!licenceExpression.safeParse(text).success, text)
})

test('expressions are compared without their white space', () => {
  assert.equal(licenceExpression.parse('  MIT   AND (A  OR B) '), 'MIT AND ( A OR B )')
})
