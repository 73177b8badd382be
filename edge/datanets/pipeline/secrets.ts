import { english } from 'viem/accounts'
import { sha256 } from '@noble/hashes/sha2.js'

/** Credentials, by issuers' prefixes. Each match must also look random. */
export const SECRET_PATTERNS: readonly RegExp[] = [
  /\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/g, // AWS access key id
  /\bgh[pousr]_[A-Za-z0-9]{36,255}\b/g,
  /\bgithub_pat_[A-Za-z0-9_]{50,255}\b/g,
  /\bsk-[A-Za-z0-9_-]{20,200}/g, // OpenAI, Anthropic
  /\b[rs]k_live_[A-Za-z0-9]{20,200}\b/g, // Stripe
  /\bxox[abeprs]-[A-Za-z0-9-]{10,200}/g, // Slack
  /\bAIza[0-9A-Za-z_-]{35}/g, // Google
  /\bglpat-[A-Za-z0-9_-]{20,64}/g, // GitLab
  /\bnpm_[A-Za-z0-9]{36}\b/g,
  /\bhf_[A-Za-z0-9]{30,64}\b/g, // Hugging Face
  /\bol_(?:live|test)_[A-Za-z0-9]{32}\b/g, // our own
  /\beyJ[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{10,2000}\.[A-Za-z0-9_-]{10,2000}/g, // JWT
]
export const PRIVATE_KEY_BLOCK =
  /-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----(?:[A-Za-z0-9+/=:,\s.-]{0,8000}?-----END [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----)?/g
/** 32 bytes of hex are as often a hash as a key: a word nearby decides. */
export const HEX_KEY = /\b(?:0x)?[0-9a-fA-F]{64}\b/g
export const HEX_KEY_CONTEXT =
  /\b(?:private[ _-]?key|priv[ _-]?key|secret|seed|signing key|wallet key)\b/i
const SECRET_HINT =
  /AKIA|ASIA|gh[pousr]_|github_pat_|sk-|[rs]k_live_|xox|AIza|glpat-|npm_|hf_|ol_(?:live|test)_|eyJ|-----BEGIN|[0-9a-fA-F]{64}/
const HEX_CONTEXT_CHARS = 60
/** Bits per character. Words and placeholders ("sk-your-key-here-xxxx") stay below, random base64 lies near 5. */
const MIN_ENTROPY = 3.5

/** Where secrets stand in a text, by kind of secret; spans may overlap. */
export function findSecrets(text: string): { start: number; end: number }[] {
  const found: { start: number; end: number }[] = []
  if (SECRET_HINT.test(text)) {
    for (const pattern of SECRET_PATTERNS)
      for (const match of text.matchAll(pattern))
        if (entropy(match[0]) > MIN_ENTROPY)
          found.push({ start: match.index, end: match.index + match[0].length })
    for (const match of text.matchAll(PRIVATE_KEY_BLOCK))
      found.push({ start: match.index, end: match.index + match[0].length })
    for (const match of text.matchAll(HEX_KEY)) {
      const context = text.slice(Math.max(0, match.index - HEX_CONTEXT_CHARS), match.index)
      if (HEX_KEY_CONTEXT.test(context) && entropy(match[0]) > 3)
        found.push({ start: match.index, end: match.index + match[0].length })
    }
  }
  return found.concat(findSeedPhrases(text))
}

/** Shannon entropy of the characters, in bits per character. */
export function entropy(text: string): number {
  const counts = new Map<string, number>()
  for (const char of text) counts.set(char, (counts.get(char) ?? 0) + 1)
  let bits = 0
  for (const count of counts.values())
    bits -= (count / text.length) * Math.log2(count / text.length)
  return bits
}

const WORD_INDEX: ReadonlyMap<string, number> = new Map(english.map((word, i) => [word, i]))
const SEED_LENGTHS = [24, 21, 18, 15, 12] as const
/** A random phrase repeats hardly a word; published test phrases ("abandon abandon ...") are no secrets. */
const MIN_DISTINCT_WORDS = 8
/** Checksums computed per text: who leaks a phrase does not wrap it in thousands of list words. */
const MAX_CHECKSUMS = 1_000
/** Twelve words of three to eight letters in a row: rare in prose, where "of" and "a" interrupt. */
const SEED_HINT = /(?:\b[a-z]{3,8}[ \n,]{1,3}){11}[a-z]{3,8}\b/

/** BIP-39 phrases: 12 to 24 words of the English list, mostly different, whose checksum holds. */
function findSeedPhrases(text: string): { start: number; end: number }[] {
  if (!SEED_HINT.test(text)) return []
  const found: { start: number; end: number }[] = []
  let run: { index: number; start: number; end: number }[] = []
  let checksums = 0
  // Where a phrase begins in a longer run is a guess of one in sixteen: the whole run goes.
  const close = (): void => {
    const holds = run.some((_, at) =>
      SEED_LENGTHS.some((length) => {
        const phrase = run.slice(at, at + length).map((word) => word.index)
        if (phrase.length < length || new Set(phrase).size < MIN_DISTINCT_WORDS) return false
        return ++checksums <= MAX_CHECKSUMS && hasChecksum(phrase)
      }),
    )
    const [first, last] = [run[0], run.at(-1)]
    if (holds && first && last) found.push({ start: first.start, end: last.end })
    run = []
  }
  for (const match of text.matchAll(/[A-Za-z]{1,64}/g)) {
    const index = WORD_INDEX.get(match[0])
    if (index === undefined) close()
    else run.push({ index, start: match.index, end: match.index + match[0].length })
  }
  close()
  return found
}

/** BIP-39: the last words/3 bits are the first bits of the SHA-256 of the others. */
function hasChecksum(indices: readonly number[]): boolean {
  const bits = indices.map((index) => index.toString(2).padStart(11, '0')).join('')
  const checksumBits = indices.length / 3
  const entropyBits = bits.slice(0, -checksumBits)
  const bytes = Uint8Array.from({ length: entropyBits.length / 8 }, (_, i) =>
    parseInt(entropyBits.slice(8 * i, 8 * i + 8), 2),
  )
  const digest = (sha256(bytes)[0] ?? 0).toString(2).padStart(8, '0')
  return digest.slice(0, checksumBits) === bits.slice(-checksumBits)
}
