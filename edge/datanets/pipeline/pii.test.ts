import assert from 'node:assert/strict'
import test from 'node:test'
import { redact } from './pii.ts'
import { isCardNumber, isIban, isNhsNumber } from './recognizers.ts'
import { entropy, findSecrets } from './secrets.ts'

const redacted = (text: string): string => redact(text, 'text').text
const unchanged = (text: string): void => assert.equal(redacted(text), text)

test('addresses of persons go, those of offices, agencies and examples stay', () => {
  assert.equal(
    redacted('Write to jane.roe+x@mail.example-corp.co.uk, please.'),
    'Write to [EMAIL], please.',
  )
  for (const kept of [
    'info@acme.com',
    'records@nih.gov',
    'a@example.com',
    'me@host.example',
    'user@localhost',
  ])
    unchanged(kept)
})

test('private telephones go; toll-free lines, references and impossible numbers stay', () => {
  for (const phone of [
    '(212) 555-0187',
    '212-555-0187',
    '+1 212 555 0187',
    '1-212-555-0187',
    '+44 20 7946 0958',
    '+4930123456',
  ])
    assert.equal(redacted(`Call ${phone} now`), 'Call [PHONE] now')
  for (const kept of [
    'Call 1-800-555-0199',
    'ISBN 212-555-0187',
    'order #212-555-0187',
    '112-555-0187',
    '3.212-555-01874',
    'see https://x.org/212-555-0187',
  ])
    unchanged(kept)
})

test('section numbers are no addresses; public addresses in context are', () => {
  assert.equal(redacted('The server IP is 93.184.216.34.'), 'The server IP is [IP].')
  assert.equal(redacted('ping 2a00:1450:4001:81b::200e now'), 'ping [IP] now')
  for (const kept of [
    'Section 11.1.1.4 on servers',
    'enzyme EC 3.1.1.11',
    'version 1.2.3.4 of the server',
    'host 192.168.0.1',
    'IP 999.1.1.1',
    'at 12:30:45 the server',
    'server fe80::1',
  ])
    unchanged(kept)
})

test('cards need a valid number and a word that says card', () => {
  assert.equal(redacted('Visa card 4111 1111 1111 1111 exp 04/27'), 'Visa card [CARD] exp 04/27')
  unchanged('Reference 4111 1111 1111 1111')
  unchanged('card 4111 1111 1111 1112')
  assert(
    isCardNumber('378282246310005') &&
      !isCardNumber('378282246310006') &&
      !isCardNumber('0000000000000000'),
  )
})

test('national numbers, accounts and patient identifiers are validated', () => {
  assert.equal(redacted('SSN 078-05-1120'), 'SSN [SSN]')
  unchanged('666-05-1120 000-12-3456 078-00-1120')
  assert.equal(redacted('to GB82 WEST 1234 5698 7654 32 today'), 'to [IBAN] today')
  unchanged('to GB82 WEST 1234 5698 7654 33 today')
  assert(isIban('DE89370400440532013000') && !isIban('DE8937040044053201300'))
  assert.equal(redacted('MRN: 00123456, DOB: 04/07/1976'), 'MRN: [PATIENT_ID], DOB: [PATIENT_ID]')
  assert.equal(redacted('NHS No: 943 476 5919'), 'NHS No: [PATIENT_ID]')
  unchanged('NHS England runs it; patient ID cards; NHS No: 143 476 5918')
  assert(isNhsNumber('9434765919') && !isNhsNumber('9434765918'))
})

test('spans point at the placeholders and keep no value', () => {
  const { text, spans } = redact('Ask bob@corp.io or ann@corp.io.', 'messages[0].content')
  assert.deepEqual(
    spans.map((span) => [span.field, text.slice(span.start, span.end), span.originalLength]),
    [
      ['messages[0].content', '[EMAIL]', 11],
      ['messages[0].content', '[EMAIL]', 11],
    ],
  )
  assert.doesNotMatch(JSON.stringify(spans), /corp/)
})

test('redaction leaves nothing to redact', () => {
  const once = redacted(
    'a@b.cc 212-555-0187 card 4111111111111111 GB82WEST12345698765432 SSN 078-05-1120 MRN 123456',
  )
  assert.equal(redacted(once), once)
})

test('credentials are found by issuer and randomness', () => {
  // Put together here, so that no scanner of this repository takes them for leaked ones.
  const random = 'q7Zp2Kd9XvB4mT8sLw3Ry6Hc1Nf5Gj0aUeQiOxYt'
  const secrets = [
    `AKIA${'Q7ZP2KD9XVB4MT8S'}`,
    `ghp_${random.slice(0, 36)}`,
    `sk-${random}`,
    `xoxb-${random.slice(0, 24)}`,
    `AIza${random.slice(0, 35)}`,
    `hf_${random.slice(0, 34)}`,
    `ol_live_${random.slice(0, 32)}`,
    `eyJ${random.slice(0, 20)}.eyJ${random.slice(5, 30)}.${random}`,
    `-----BEGIN RSA PRIVATE KEY-----\n${random}\n-----END RSA PRIVATE KEY-----`,
    `private key: 0x${'9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'}`,
  ]
  for (const secret of secrets) {
    const { text, spans } = redact(`before ${secret} after`, 'text')
    assert.deepEqual(
      spans.map((span) => span.type),
      ['SECRET'],
      secret,
    )
    assert.doesNotMatch(text, /[A-Za-z0-9]{20}/, secret)
  }
  for (const kept of [
    'sk-xxxxxxxxxxxxxxxxxxxxxxxx',
    `hash 0x${'9f86d081'.repeat(8)}`,
    'AKIA is a prefix',
    'task-management-and-more-hyphens',
  ])
    assert.deepEqual(findSecrets(kept), [], kept)
})

test('seed phrases are those whose checksum holds', () => {
  // Trezor's BIP-39 vectors.
  const phrases = [
    'legal winner thank year wave sausage worth useful legal winner thank yellow',
    'letter advice cage absurd amount doctor acoustic avoid letter advice cage above',
    'gravity machine north sort system female filter attitude volume fold club stay feature office ecology stable narrow fog',
    'hamster diagram private dutch cause delay private meat slide toddler razor book happy fancy gospel tennis maple dilemma loan word shrug inflict delay length',
  ]
  for (const phrase of phrases) {
    assert.equal(redacted(`Keep it: ${phrase} OK.`), 'Keep it: [SECRET] OK.')
  }
  for (const phrase of phrases.slice(0, 2)) unchanged(phrase.replace(/ \w+$/, ' zebra')) // another last word, another checksum
  unchanged(`${'abandon '.repeat(11)}about`) // known to all
})

test('entropy of equally likely characters is the logarithm of their number', () => {
  assert.equal(entropy('aaaa'), 0)
  assert.equal(entropy('abcd'), 2)
  assert.equal(entropy('0123456789abcdef'), 4)
})

test('a million hostile characters are searched in linear work', () => {
  for (const unit of [
    'a@',
    'a.a@',
    '1',
    '1 ',
    '1-',
    '(123) ',
    '1.',
    'a:',
    'GB82',
    'GB82 ',
    'MRN ',
    'MRN: 1',
    'eyJ',
    'eyJa.',
    '-----BEGIN PRIVATE KEY-----',
    'abc ',
    'abandon ',
    'sk-',
    'a',
  ])
    assert(redact(unit.repeat(1_000_000 / unit.length), 'text').text.length > 0)
})
