import assert from 'node:assert/strict'
import test from 'node:test'
import licences from 'spdx-license-list/full.js'
import { sampleContributors } from './licences.ts'

const contributors = sampleContributors()
const plain = (text: string) => text.replace(/\s+/g, ' ')

test('eight contributors bring some 1,600 records, the same every time', () => {
  assert.equal(contributors.length, 8)
  const counts = contributors.map(({ records }) => records.length)
  assert.ok(
    counts.every((count) => count >= 150 && count <= 200),
    counts.join(),
  )
  assert.deepEqual(sampleContributors(), contributors)
})

test('every completion is verbatim from the licence that its question names', () => {
  const texts = new Map<string, string>()
  for (const { name, licenseText } of Object.values(licences)) {
    const key = name.replace(/ (only|or later)$/, '').replace(/["“”]/g, '')
    texts.set(key, `${texts.get(key) ?? ''} ${plain(licenseText)}`)
  }
  for (const { records } of contributors)
    for (const { prompt, completion } of records) {
      const named = [...texts].filter(([name]) => prompt.includes(name))
      assert.ok(
        named.some(([, text]) => text.includes(completion)),
        `${prompt} -> ${completion}`,
      )
    }
})

test('there are real duplicates in it, within a contributor and across them', () => {
  for (const { name, records } of contributors.filter(({ name }) =>
    /BSD|MIT|GNU|Creative/.test(name),
  ))
    assert.ok(new Set(records.map(({ completion }) => completion)).size < records.length, name)
  const owners = new Map<string, Set<string>>()
  for (const { name, records } of contributors)
    for (const { completion } of records)
      owners.set(completion, (owners.get(completion) ?? new Set()).add(name))
  assert.ok([...owners.values()].filter((names) => names.size > 1).length > 5)
})
