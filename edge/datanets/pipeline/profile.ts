import type { ReasonCode, Verdict } from './reasons.ts'

/**
 * What a Datanet asks of its records. Everything here is a hard gate or a threshold of one; all else that the pipeline
 * measures is a stored signal. The profile is part of the pipeline hash.
 */
export type Profile = {
  name: string
  /** ISO 639-3 codes; empty takes every language. */
  languages: string[]
  /** Least relative score of an allowed language (see language.ts). */
  minLanguageScore: number
  /** Shorter texts with a low score go to review, longer ones are rejected. */
  languageCertainChars: number
  minChars: number
  minWords: number
  maxWords: number
  meanWordLength: [least: number, most: number]
  maxWordLength: number
  /** Most U+FFFD per character. */
  maxReplacementChars: number
  /** Gopher's repetition limits are multiplied by these, and apply only from `repetitionMinWords` words on. */
  repetitionFactor: number
  /** The same for repeated 5- to 10-grams, of which long good answers have many. */
  ngramRepetitionFactor: number
  repetitionMinWords: number
  /** More patient identifiers than this in one record go to review. */
  maxPatientIds: number
  /** More redactions of any kind than this in one record go to review. */
  maxRedactions: number
  /** Jaccard similarity of word 5-grams from which a record is a near duplicate, and from which it is discounted. */
  nearDuplicate: number
  /** Share of words in common 5-grams, of either record, from which both are one cluster however the changes are spread. */
  sameClusterWords: number
  overlapJaccard: number
  /** Containment of 13-word windows in others' records that suggests plagiarism, and that in any which discounts. */
  plagiarismContainment: number
  overlapContainment: number
  /** Share of what the record says that models had said before from which it is taken for their output. */
  modelOutput: number
  /** Other verdicts for reason codes than the table gives. */
  verdicts: Partial<Record<ReasonCode, Verdict>>
}

/**
 * For domain text in English: contracts, answers, reports. Measured on CUAD, MedQuAD, PubMedQA and TAT-QA, where web
 * limits would drop good records: two words may be a clause, tables have few letters, templates repeat.
 */
export const DEFAULT_PROFILE: Profile = {
  name: 'domain-en',
  languages: ['eng'],
  minLanguageScore: 0.85,
  languageCertainChars: 100,
  minChars: 20,
  minWords: 1,
  maxWords: 100_000,
  meanWordLength: [2, 15],
  maxWordLength: 1_000,
  maxReplacementChars: 0.005,
  repetitionFactor: 2,
  ngramRepetitionFactor: 4, // at 2, 196 good answers of MedQuAD would go, at 4, 22
  repetitionMinWords: 100,
  maxPatientIds: 3,
  maxRedactions: 20,
  nearDuplicate: 0.8,
  sameClusterWords: 0.9, // of CUAD's clauses 0.3 % join another's cluster by it, of MedQuAD's answers 1.4 %
  overlapJaccard: 0.5,
  plagiarismContainment: 0.8,
  overlapContainment: 0.3,
  modelOutput: 0.5,
  verdicts: {},
}
