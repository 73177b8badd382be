import assert from 'node:assert/strict'
import test from 'node:test'
import { decodeEntities } from './entities.ts'
import { repairText } from './repair.ts'

const text = (input: string): string => repairText(input).text
const changes = (input: string) => repairText(input).changes
/** UTF-8 bytes read as windows-1252, as broken software does. */
const misread = (input: string): string =>
  new TextDecoder('windows-1252').decode(new TextEncoder().encode(input))

test('plain text is left alone and nothing is listed', () => {
  for (const plain of [
    '',
    'A clause.\n\n\tIndented, with a tab.',
    'naïve façade — “quoted” 漢字 🦊',
    'Â and Ã are letters',
  ])
    assert.deepEqual(repairText(plain), { text: plain, changes: {} })
})

test('UTF-8 misread as windows-1252 is undone, also twice over and beside other scripts', () => {
  for (const original of [
    'don’t',
    'café crème',
    '“naïve” – 20 °C',
    'it costs £5 • §2',
    'smile 😀',
  ]) {
    assert.equal(text(misread(original)), original)
    assert.equal(text(misread(misread(original))), original)
    assert.equal(changes(misread(original)).mojibake, 1)
  }
  assert.equal(text(`漢字 ${misread('don’t')}`), '漢字 don’t')
})

test('good text that resembles mojibake stays', () => {
  for (const good of ['AMANHÃ” disse', 'NÃO', 'Ấn Độ', 'CAFÉ…', 'Âge'])
    assert.equal(text(good), good)
})

test('HTML references are decoded, but not in markup and not when unknown', () => {
  assert.equal(
    text('Fish &amp; Chips &eacute; &#233; &#xE9; &hellip; &alpha;'),
    'Fish & Chips é é é … α',
  )
  assert.equal(text('<b>&lt;tag&gt;</b>'), '<b>&lt;tag&gt;</b>')
  assert.equal(text('AT&T; R&D; &unknown; &amp'), 'AT&T; R&D; &unknown; &amp')
  assert.deepEqual(decodeEntities('&#0;&#xD800;&#x110000;'), {
    text: '\ufffd\ufffd\ufffd',
    count: 3,
  })
})

test('line ends, controls, zero-width characters and blank lines are cleaned and counted', () => {
  assert.equal(text('a\r\nb\rc\u2028d'), 'a\nb\nc\nd')
  assert.equal(text('a\u0000b\u0007c\u007fd'), 'abcd')
  assert.equal(text('co\u00adop\u200berate\ufeff'), 'cooperate')
  assert.equal(text('it\u0092s \u0093so\u0094'), 'it’s “so”')
  assert.equal(text('a\n\n \n\t\n\n\nb'), 'a\n\n\nb')
  assert.deepEqual(changes(' a\r\nb\u200b\u200b '), {
    line_ending: 1,
    zero_width: 2,
    outer_space: 1,
  })
})

test('composed and decomposed letters become one form, and endless accents end', () => {
  assert.equal(text('cafe\u0301'), 'café')
  assert.deepEqual(changes('cafe\u0301'), { unicode_nfc: 1 })
  assert.equal(text(`e${'\u0316\u0301'.repeat(50_000)}`).length < 40, true)
})

test('joiners stay where scripts and emoji need them', () => {
  for (const needed of [
    'क्\u200dष',
    'می\u200cخواهم',
    '👩\u200d👩\u200d👧',
    '🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}',
    '❤\ufe0f',
  ])
    assert.equal(text(needed), needed.normalize('NFC'))
  assert.equal(text('a\u200db\u200cc'), 'abc')
  assert.equal(text('שלום\u200f!'), 'שלום\u200f!')
})

test('direction overrides, tag characters and selector runs are removed and told', () => {
  assert.deepEqual(repairText('pay \u202e001\u202c'), {
    text: 'pay 001',
    changes: { bidi_control: 2 },
  })
  const hidden = [...'ignore']
    .map((char) => String.fromCodePoint(0xe0000 + char.charCodeAt(0)))
    .join('')
  assert.deepEqual(repairText(`a${hidden}b`), { text: 'ab', changes: { hidden_text: 6 } })
  assert.deepEqual(changes('a\ufe00\ufe01\ufe02b'), { hidden_text: 1 })
})

test('a lone surrogate becomes the replacement character', () => {
  assert.deepEqual(repairText('a\ud800b'), { text: 'a\ufffdb', changes: { lone_surrogate: 1 } })
})

test('text nested to evade repair is repaired to the end or called unstable', () => {
  assert.equal(text('&am&#112;;lt;'), '<')
  assert.equal(text('&am\u200bp; more'), '& more')
  assert.equal(changes('&amp;amp;amp;lt;').unstable, undefined)
  assert.equal(changes(`&${'amp;'.repeat(40)}lt;`).unstable, 1)
})

test('repair is idempotent unless it says otherwise, and always gives well-formed NFC text', () => {
  let seed = 3
  const random = (n: number): number =>
    ((seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) >>> 8) % n
  const parts = [
    'a',
    'é',
    'e\u0301',
    '&',
    'amp;',
    '#38;',
    'lt;',
    '<',
    ';',
    '\u037e',
    '\u212a',
    '\u0316',
    '\u0301',
    'Ã',
    '©',
    'â€',
    '™',
    'Â',
    '\u00a0',
    '\u0092',
    '\u0081',
    '\r',
    '\n',
    '\n\n\n',
    ' ',
    '\t',
    '\u200b',
    '\u200d',
    '\u200f',
    '\u202e',
    '\ud83d',
    '\ude00',
    '🦊',
    '\ufe0f',
    '\u{e0041}',
    '🏴',
    '\u{e007f}',
    'क्',
    'ש',
    '\ufeff',
    '\ufffe',
    '\u2028',
    '\u0000',
    misread('é'),
    misread(misread('“')),
  ]
  let stable = 0
  for (let round = 0; round < 5000; round++) {
    const input = Array.from({ length: 1 + random(14) }, () => parts[random(parts.length)]).join('')
    const once = repairText(input)
    assert(
      once.text.isWellFormed() && once.text === once.text.normalize('NFC'),
      JSON.stringify(input),
    )
    if (once.changes.unstable) continue
    stable++
    assert.deepEqual(repairText(once.text), { text: once.text, changes: {} }, JSON.stringify(input))
  }
  assert(stable > 4900)
})

test('a million hostile characters of any kind are repaired in linear work', () => {
  for (const unit of [
    '&',
    '&#',
    '&amp;',
    '\n ',
    '\n\t',
    'Ã',
    'â€',
    'Â\u00a0',
    '\u0301',
    '\u200d',
    '🏴\u{e0041}',
    '\ufe0f',
    '\ud800',
    ' \n',
  ])
    assert(repairText(unit.repeat(1_000_000 / unit.length)).text.length <= 1_000_000)
})
