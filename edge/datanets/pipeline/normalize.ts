/** Text as duplicates are compared: what differs only in case, accents, punctuation or white space becomes equal. */

const NON_ASCII = /[\u0080-\uffff]/
/** Scripts written without spaces: each character counts as a word. */
const UNSPACED =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/gu

/**
 * Lower case, compatibility forms decomposed, accents dropped, everything but letters and digits one space. Punctuation
 * becomes a space, not nothing, so words never glue. Digits stay: records that differ in a number are different facts.
 */
export function simplify(text: string): string {
  const lower = text.toLowerCase()
  if (!NON_ASCII.test(lower)) return lower.replace(/[^a-z0-9]+/g, ' ').trim()
  return lower
    .normalize('NFKD')
    .toLowerCase() // decomposition can uncover capitals ("℡", "Ⅷ")
    .replace(/\p{Mn}+/gu, '')
    .replace(/[^\p{L}\p{N}\p{Mc}]+/gu, ' ')
    .replace(UNSPACED, ' $& ')
    .replace(/ {2,}/g, ' ')
    .trim()
}
