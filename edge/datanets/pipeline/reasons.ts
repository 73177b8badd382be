/** How a record ends. `accepted` carries a novelty between 0 and 1. */
export type Verdict = 'accepted' | 'needs_review' | 'rejected'

type Reason = { verdict: Verdict; meaning: string; isFixed?: true }

/**
 * Every reason code, the verdict it leads to by default and its one-line meaning. A Datanet's profile may change the
 * verdict of a code, never its meaning, and not where `isFixed`: those records have no content to publish, must not be
 * published, or are there already. A record's verdict is the most severe among its reasons.
 */
export const REASONS = {
  MALFORMED_ROW: {
    verdict: 'rejected',
    isFixed: true,
    meaning: 'The row is not valid in its file format.',
  },
  SCHEMA_MISMATCH: {
    verdict: 'rejected',
    isFixed: true,
    meaning: 'The row has no text, no prompt with completion and no messages.',
  },
  RECORD_TOO_LARGE: {
    verdict: 'rejected',
    isFixed: true,
    meaning: 'The row is longer than a record may be.',
  },
  UNSAFE_STRUCTURE: {
    verdict: 'rejected',
    isFixed: true,
    meaning: 'The row is nested too deeply, holds too many values, or uses a reserved key.',
  },
  EMPTY: { verdict: 'rejected', isFixed: true, meaning: 'A required field has no words.' },
  TOO_SHORT: {
    verdict: 'rejected',
    meaning: 'The record has fewer characters or words than asked.',
  },
  TOO_LONG: { verdict: 'rejected', meaning: 'The record has more words than allowed.' },
  WORD_LENGTH: {
    verdict: 'rejected',
    meaning: 'The words are too short or too long on average, or one is over the limit: not prose.',
  },
  REPETITIVE: { verdict: 'rejected', meaning: 'Most of the record repeats itself.' },
  LOREM_IPSUM: { verdict: 'rejected', meaning: 'The record holds placeholder text.' },
  ENCODING_DAMAGED: {
    verdict: 'rejected',
    meaning: 'Too many replacement characters: the text was damaged before it came here.',
  },
  LANGUAGE_NOT_ALLOWED: {
    verdict: 'rejected',
    meaning: 'The language is none that this Datanet takes.',
  },
  LANGUAGE_UNCERTAIN: {
    verdict: 'needs_review',
    meaning: 'The text is short and does not look like a language that this Datanet takes.',
  },
  SECRET_FOUND: {
    verdict: 'rejected',
    isFixed: true,
    meaning: 'The record holds a credential, a private key or a seed phrase.',
  },
  PII_REDACTED: { verdict: 'accepted', meaning: 'Personal data was replaced by placeholders.' },
  PII_REVIEW: {
    verdict: 'needs_review',
    meaning: 'The record holds a national identity number or many personal identifiers.',
  },
  BIDI_CONTROL: {
    verdict: 'needs_review',
    meaning: 'Direction overrides were removed: they can hide what a text says.',
  },
  HIDDEN_TEXT: {
    verdict: 'needs_review',
    meaning: 'Invisible characters that can carry hidden text were removed.',
  },
  UNSTABLE_TEXT: {
    verdict: 'needs_review',
    meaning: 'The text kept changing under repair: it is nested to evade it.',
  },
  PROMPT_INJECTION: {
    verdict: 'needs_review',
    meaning: 'The text tells a model to drop its instructions.',
  },
  CONTROL_TOKENS: {
    verdict: 'needs_review',
    meaning: 'The text holds chat template markers that a model reads as structure.',
  },
  DUPLICATE_EXACT: {
    verdict: 'rejected',
    isFixed: true,
    meaning: 'An earlier record says the same up to case, punctuation and white space.',
  },
  DUPLICATE_NEAR: {
    verdict: 'rejected',
    meaning: 'An earlier record shares nearly all word sequences with this one.',
  },
  PLAGIARISM_SUSPECT: {
    verdict: 'needs_review',
    meaning: 'Most of the record is contained in earlier records of other contributors.',
  },
  MODEL_OUTPUT: {
    verdict: 'needs_review',
    meaning: 'Most of what no earlier record holds of it, our models had answered before.',
  },
  PARTIAL_OVERLAP: {
    verdict: 'accepted',
    meaning: 'Part of the record is contained in earlier ones: its novelty is less than 1.',
  },
} as const satisfies Record<string, Reason>

export type ReasonCode = keyof typeof REASONS

const SEVERITY = { accepted: 0, needs_review: 1, rejected: 2 } as const satisfies Record<
  Verdict,
  number
>

/** The most severe verdict among the reasons' own, after the profile's overrides; `accepted` when there are none. */
export function verdictOf(
  reasons: readonly ReasonCode[],
  overrides: Partial<Record<ReasonCode, Verdict>> = {},
): Verdict {
  let worst: Verdict = 'accepted'
  for (const reason of reasons) {
    const { verdict: usual, isFixed }: Reason = REASONS[reason]
    const verdict = isFixed ? usual : (overrides[reason] ?? usual)
    if (SEVERITY[verdict] > SEVERITY[worst]) worst = verdict
  }
  return worst
}
