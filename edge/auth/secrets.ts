import { bytesToHex } from '@noble/hashes/utils.js'

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const KEY_PREFIX = 'ol_live_'
const KEY_RANDOM_CHARS = 32 // 190 bits
const KEY = /^ol_live_[0-9A-Za-z]{32}$/

/** A new API key. */
export function newApiKey(): string {
  let text = KEY_PREFIX
  while (text.length < KEY_PREFIX.length + KEY_RANDOM_CHARS)
    for (const byte of crypto.getRandomValues(new Uint8Array(64)))
      // 248 = 4 * 62: larger bytes would favour the first characters.
      if (byte < 248 && text.length < KEY_PREFIX.length + KEY_RANDOM_CHARS)
        text += BASE62.charAt(byte % 62)
  return text
}

/** Whether text has the form of an API key. */
export const isApiKey = (text: string): boolean => KEY.test(text)

/** SHA-256 of a secret as hex: all that we keep of an API key. Its entropy makes a slow hash pointless. */
export const hashSecret = async (secret: string): Promise<string> =>
  bytesToHex(new Uint8Array(await digest(secret)))

/** Compares two secrets in time that depends on neither. */
export async function secretsEqual(a: string, b: string): Promise<boolean> {
  return crypto.subtle.timingSafeEqual(await digest(a), await digest(b))
}

const digest = (text: string): Promise<ArrayBuffer> =>
  crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))
