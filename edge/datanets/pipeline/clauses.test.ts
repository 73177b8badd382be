import assert from 'node:assert/strict'
import test from 'node:test'
import { cutClauses, MAX_CLAUSE_CHARS } from './clauses.ts'

const squeeze = (text: string): string => text.replace(/\s+/g, '')
const sentence = (n: number): string =>
  `Clause number ${n} binds both parties to what they agreed upon in writing.`
const paragraph = (n: number): string =>
  Array.from({ length: 4 }, (_, i) => sentence(n + i)).join(' ')

test('paragraphs become clauses that know the line on which they begin', () => {
  const clauses = cutClauses(`${paragraph(1)}\n\n\n${paragraph(5)}\n`)
  assert.deepEqual(clauses, [
    { line: 1, text: paragraph(1) },
    { line: 4, text: paragraph(5) },
  ])
})

test('lines wrapped by an editor are joined, short lines and tables keep their breaks', () => {
  const wrapped = paragraph(1).replace(/(.{60,70}) /g, '$1\n')
  assert(wrapped.includes('\n'))
  assert.deepEqual(
    cutClauses(wrapped).map((clause) => clause.text),
    [paragraph(1)],
  )
  const address = 'Jane Roe\n1 Main Street\nSpringfield'
  assert.equal(cutClauses(address)[0]?.text, address)
  const table = '| a | b |\n|---|---|\n| a long cell in the first column | a long cell |'
  assert.equal(cutClauses(table)[0]?.text, table)
})

test('numbered clauses begin records without a blank line, numbers in mid-sentence do not', () => {
  const text = `1. ${paragraph(1)}\n2. ${paragraph(5)}\n(a) ${paragraph(9)}\n§ 4 ${paragraph(13)}`
  assert.deepEqual(
    cutClauses(text).map((clause) => clause.text.slice(0, 3)),
    ['1. ', '2. ', '(a)', '§ 4'],
  )
  const prose = `${paragraph(1)} It is licensed under the Apache License, Version\n2.0 of which a copy is included here.`
  assert.equal(cutClauses(prose).length, 1)
})

test('a heading stays with what it heads, a short tail with what it follows', () => {
  const texts = cutClauses(`# Title\n\n${paragraph(1)}\n\n## Part\n\n${paragraph(5)}\n\nThe end.`)
  assert.deepEqual(
    texts.map((clause) => clause.text),
    [`# Title\n${paragraph(1)}`, `## Part\n${paragraph(5)}\nThe end.`],
  )
})

test('code between fences is kept whole, blank lines and all', () => {
  const code = `\`\`\`\n${'let x = 1 // a comment to make it long\n'.repeat(4)}\n\nlet y = 2\n\`\`\``
  assert.deepEqual(
    cutClauses(`${paragraph(1)}\n\n${code}`).map((clause) => clause.text),
    [paragraph(1), code],
  )
})

test('long paragraphs are cut at sentence ends, or at spaces, or anywhere but inside a character', () => {
  const long = Array.from({ length: 60 }, (_, i) => sentence(i)).join(' ')
  for (const clause of cutClauses(long)) assert.match(clause.text, /^Clause.*writing\.$/)
  for (const clause of cutClauses('word '.repeat(2000)))
    assert.match(clause.text, /^(?:word )*word$/)
  const foxes = cutClauses('🦊'.repeat(1501))
  assert(foxes.every((clause) => clause.text.isWellFormed()))
})

test('nothing but white space is ever lost or moved, whatever the text, and no clause is over the limit', () => {
  let seed = 5
  const random = (n: number): number =>
    ((seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) >>> 8) % n
  const parts = [
    'word ',
    '\n',
    '\n\n',
    '1. ',
    '(a) ',
    '# ',
    '```\n',
    '| x |',
    '. ',
    '; and\n',
    '\t',
    '\u2028',
    '🦊',
    sentence(3),
    '\r\n',
    '- ',
  ]
  for (let round = 0; round < 500; round++) {
    const text = Array.from({ length: random(200) }, () => parts[random(parts.length)]).join('')
    const clauses = cutClauses(text)
    assert.equal(squeeze(clauses.map((clause) => clause.text).join('')), squeeze(text))
    for (const clause of clauses)
      assert(clause.text.length <= MAX_CLAUSE_CHARS && clause.text !== '')
    const lines = clauses.map((clause) => clause.line)
    assert.deepEqual(
      lines,
      lines.toSorted((a, b) => a - b),
    )
  }
})

test('one line of a million characters is cut in linear work', () => {
  for (const unit of ['x', 'x ', '(a) ', '. ', ' ', '|', '1.1'])
    assert.equal(
      squeeze(
        cutClauses(unit.repeat(1_000_000 / unit.length))
          .map((clause) => clause.text)
          .join(''),
      ),
      squeeze(unit.repeat(1_000_000 / unit.length)),
    )
})
