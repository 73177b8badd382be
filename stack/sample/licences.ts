import licences from 'spdx-license-list/full.js'
import { keccak } from '#protocol/bytes.ts'

/**
 * The sample's data: clauses of the real licence texts in the npm package `spdx-license-list` (CC0-1.0), each asked
 * for as somebody who reads licences would. Families of licences play the contributors. The same licence text
 * appears under several ids there (GPL-2.0, GPL-2.0-only, GPL-2.0+ ...) and clauses travel between licences, so
 * the duplicates that the pipeline finds are real ones.
 */
export type SampleRecord = { prompt: string; completion: string }
export type SampleContributor = { name: string; records: SampleRecord[] }

type Clause = { id: string; name: string; text: string; heading: string }

/** A licence belongs to the first family whose pattern its id or name matches; the last takes the rest. */
const FAMILIES: { name: string; of: RegExp; first: string[] }[] = [
  {
    name: 'BSD',
    of: /BSD/,
    first: ['BSD-2-Clause', 'BSD-3-Clause', 'BSD-4-Clause', 'BSD-2-Clause-Patent', '0BSD'],
  },
  {
    name: 'MIT and X11',
    of: /^(MIT|X11|ISC|HPND|NTP|SMLNJ|NCSA|Zlib|BSL-1)|Historical Permission|\bMIT\b/,
    first: ['MIT', 'ISC', 'X11', 'Zlib', 'BSL-1.0', 'NCSA', 'HPND'],
  },
  {
    name: 'GNU',
    of: /^(A|L)?GPL|^GFDL|GNU/,
    first: ['GPL-2.0-only', 'GPL-3.0-only', 'LGPL-2.1-only', 'AGPL-3.0-only'],
  },
  {
    name: 'Creative Commons',
    of: /^CC-|^CC0|Creative Commons/,
    first: ['CC-BY-4.0', 'CC-BY-SA-4.0', 'CC0-1.0'],
  },
  {
    name: 'Apache, Eclipse, Mozilla',
    of: /^(Apache|ECL|MPL|NPL|EPL|CDDL|CPL|IPL|CPAL|OSL|AFL|ASWF)|Mozilla|Eclipse|Apache/,
    first: ['Apache-2.0', 'MPL-2.0', 'EPL-2.0', 'CDDL-1.0'],
  },
  {
    name: 'Public sector and data',
    of: /^(EUPL|CECILL|CERN|LiLiQ|OGL|NLOD|DL-DE|etalab|MulanPSL|ODbL|ODC|PDDL|CDLA|NASA|NIST|OGC|CATOSL|C-UDA|O-UDA|OGDL|Unicode|UCAR|COIL)/i,
    first: ['EUPL-1.2', 'CERN-OHL-P-2.0', 'OGL-UK-3.0', 'ODbL-1.0', 'CDLA-Permissive-2.0'],
  },
  {
    name: 'Languages and fonts',
    of: /^(Python|PSF|CNRI|PHP|Ruby|Artistic|Zend|ZPL|TCL|PostgreSQL|OLDAP|Perl|Erl|Haskell|OFL|LPPL|OpenSSL|W3C|Vim|Sleepycat)|font|OpenLDAP/i,
    first: ['Python-2.0', 'Artistic-2.0', 'PHP-3.01', 'OFL-1.1', 'PostgreSQL', 'W3C'],
  },
  { name: 'Vendors and others', of: /./, first: ['Unlicense', 'WTFPL', 'UPL-1.0', 'MS-PL'] },
]

const RECORDS_PER_FAMILY = 200
const MIN_CHARS = 60 // shorter paragraphs are headings
const HEADING = /^[\p{Lu}\d].*[^;,:]$/u // not an item of a list
const MAX_CHARS = 420 // about what fits the sample job's sequence of 128 tokens beside its question

/** What a clause can be about; of equally frequent topics the earlier is the more telling one. */
const TOPICS: [string, RegExp][] = [
  ['endorsement', /\bendorse|promote products|used in advertising|publicity pertaining/gi],
  ['the governing law', /governed by|jurisdiction|courts? of|applicable law/gi],
  ['new versions of the licence', /(new|revised|later|modified) versions? of (the|this)/gi],
  ['termination', /terminat/gi],
  ['patents', /\bpatent/gi],
  ['trademarks', /trade ?mark|service mark|trade name/gi],
  ['export', /\bexport/gi],
  ['invalid provisions', /unenforceable|held (to be )?invalid|severab/gi],
  ['liability', /\bliab(le|ility)|consequential|damages/gi],
  ['warranty', /warrant|"?as[- ]is"?\b/gi],
  ['binary redistribution', /binary (form|code)|object code|executable form/gi],
  ['source code', /source code|source form|corresponding source/gi],
  ['the copyright notice', /copyright (notice|statement)|retain the above|this notice/gi],
  ['attribution', /attribut|acknowledg|\bcredit/gi],
  ['fees', /\bfees?\b|royalt|charge|free of charge/gi],
  ['sublicensing', /sublicens/gi],
  ['derivative works', /derivative work|adapted material|adaptation/gi],
  ['modification', /modif/gi],
  [
    'definitions',
    /["“”']\w[^"“”']*["“”']?,? (means|shall mean|refers? to)|hereby defined|defined as/gi,
  ],
  ['third parties', /third part/gi],
  ['acceptance', /\baccept/gi],
  ['redistribution', /distribut/gi],
  ['permission', /permission|hereby grants?|right to/gi],
]

/** Every contributor of the sample with its records; the same on every machine. */
export function sampleContributors(perFamily = RECORDS_PER_FAMILY): SampleContributor[] {
  const clauses = new Map<string, Clause[]>(FAMILIES.map(({ name }) => [name, []]))
  for (const [id, { name, licenseText }] of Object.entries(licences)) {
    const family = FAMILIES.find(({ of }) => of.test(id) || of.test(name))
    if (family) clauses.get(family.name)?.push(...cut(id, name, licenseText))
  }
  return FAMILIES.map(({ name, first }) => {
    const shuffled = inTextOrder(clauses.get(name) ?? [])
    const isFirst = ({ id }: Clause) => first.includes(id)
    // The licences everybody knows take up to half, so that there is something to ask about; the rest is a sample.
    const known = shuffled.filter(isFirst).slice(0, perFamily / 2)
    const others = shuffled.filter((clause) => !isFirst(clause))
    return { name, records: [...known, ...others].slice(0, perFamily).map(ask) }
  })
}

/** A shuffle that only the clauses themselves decide. */
const inTextOrder = (clauses: Clause[]): Clause[] =>
  clauses
    .map((clause) => ({ clause, rank: keccak(JSON.stringify(clause)) }))
    .toSorted((a, b) => (a.rank < b.rank ? -1 : 1))
    .map(({ clause }) => clause)

/** Cuts a licence into clauses: its paragraphs, long ones at sentence ends, each with the heading above it. */
function cut(id: string, name: string, text: string): Clause[] {
  const clauses: Clause[] = []
  let heading = ''
  for (const paragraph of text.split(/\n\s*\n/)) {
    const plain = paragraph.replace(/\s+/g, ' ').trim()
    if (plain.length < MIN_CHARS) {
      if (HEADING.test(plain)) heading = plain
      continue
    }
    for (const part of sentencesUpTo(plain, MAX_CHARS))
      if (part.length >= MIN_CHARS) clauses.push({ id, name, text: part, heading })
  }
  return clauses
}

/** Joins whole sentences into parts of at most `limit` characters; a longer sentence stands alone. */
function sentencesUpTo(text: string, limit: number): string[] {
  const parts: string[] = []
  for (const sentence of text.split(/(?<=[a-z)"”]{2}[.;:]) (?=[A-Z("“])/)) {
    const last = parts.at(-1)
    if (last !== undefined && last.length + 1 + sentence.length <= limit)
      parts[parts.length - 1] = `${last} ${sentence}`
    else parts.push(sentence)
  }
  return parts
}

function ask({ name, text, heading }: Clause): SampleRecord {
  // "only" and "or later" are how a work refers to a licence; the text is the same.
  const licence = name.replace(/ (only|or later)$/, '').replace(/["“”]/g, '')
  const the = /^(the|a) /i.test(licence) ? '' : 'the '
  const topic = topicOf(text, heading)
  return {
    prompt: topic
      ? `What does ${the}${licence} say about ${topic}?`
      : `Which clause of ${the}${licence} begins with "${text.split(' ').slice(0, 5).join(' ')}"?`,
    completion: text,
  }
}

const HEADING_WEIGHT = 2 // words of a heading count like so many in the clause

/** The topic whose words are most frequent in a clause and its heading. */
function topicOf(text: string, heading: string): string | undefined {
  const [best] = TOPICS.map(([name, words]) => ({
    name,
    score: count(text, words) + HEADING_WEIGHT * count(heading, words),
  })).toSorted((x, y) => y.score - x.score)
  return best && best.score > 0 ? best.name : undefined
}

const count = (text: string, words: RegExp): number => [...text.matchAll(words)].length
