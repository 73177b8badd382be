/**
 * Undoes UTF-8 that was read as windows-1252 ("donâ€™t", "cafÃ©"), after ftfy (https://ftfy.readthedocs.io): a line
 * is decoded again only when it shows sequences that real text hardly ever has, and the result is kept only when it
 * shows fewer of them.
 */

/** Windows-1252's characters for bytes 0x80 to 0x9f; the five holes map to themselves, as WHATWG decodes them. */
const HIGH = '€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ'
const BYTE_OF: ReadonlyMap<string, number> = new Map([...HIGH].map((char, i) => [char, 0x80 + i]))

// No quotes or dashes after "Ã": "AMANHÃ”" ends a quotation in good Portuguese.
const SUSPECT = /Ã[\u0080-\u00bfƒ‚‰Š‹ŒŽš›œžŸ]|â€|â„¢|â‚¬|Å¸|Ëœ|Â[\u00a0-\u00bf]|ðŸ|ï»¿|Î[±-¿]Ï/g
/** One mojibake sequence of two to four characters, for lines that hold real non-Latin text beside it. */
const SEQUENCE =
  /Ã[\u0080-\u00bf]|Â[\u00a0-\u00bf]|â€[\u0080-\u00bf‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ¦]|â„¢|ðŸ[\u0080-\u00bf‘’“”•–—˜™š›œžŸ€]{2}/g

/** Text can be misread more than once; deeper than this is not looked. */
const MAX_LAYERS = 3

/** The text with such lines repaired, and how many lines were. Control characters must still be in: they are bytes. */
export function fixMojibake(text: string): { text: string; count: number } {
  if (text.search(SUSPECT) < 0) return { text, count: 0 }
  let count = 0
  const lines = text.split('\n').map((line) => {
    const fixed = fixLine(line)
    if (fixed !== line) count++
    return fixed
  })
  return { text: lines.join('\n'), count }
}

function fixLine(line: string): string {
  let best = line
  for (let layer = 0; layer < MAX_LAYERS; layer++) {
    const badness = suspects(best)
    if (badness === 0) break
    const fixed = redecode(best) ?? best.replace(SEQUENCE, (part) => redecode(part) ?? part)
    if (suspects(fixed) >= badness) break
    best = fixed
  }
  return best
}

/** C1 control characters are windows-1252 punctuation that was read as Latin-1; the unassigned five stay. */
export function fixC1(text: string): { text: string; count: number } {
  let count = 0
  const fixed = text.replace(/[\u0080-\u009f]/g, (control) => {
    const char = HIGH.charAt(control.charCodeAt(0) - 0x80)
    if (char !== control) count++
    return char
  })
  return { text: fixed, count }
}

const suspects = (line: string): number => line.match(SUSPECT)?.length ?? 0

/** The line's windows-1252 bytes read as UTF-8, or null when it has other characters or the bytes are not UTF-8. */
function redecode(line: string): string | null {
  const bytes = new Uint8Array(line.length)
  for (let i = 0; i < line.length; i++) {
    const code = line.charCodeAt(i)
    const byte = code < 0x100 ? code : BYTE_OF.get(line.charAt(i))
    if (byte === undefined) return null
    bytes[i] = byte
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return null // not UTF-8: the line stays, or its sequences are tried one by one
  }
}
