/** What an id names; the prefix says it, so ids of different kinds can never be confused. */
export const ID_PREFIX = {
  account: 'acct_',
  apiKey: 'key_',
  datanet: 'dn_',
  contribution: 'ctr_',
  version: 'dnv_',
  model: 'mdl_',
  job: 'ftjob-',
  event: 'ftevent-',
  lease: 'lse_',
  worker: 'wrk_',
  request: 'req_',
  receipt: 'rcp_',
} as const

export type IdKind = keyof typeof ID_PREFIX

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz' // Crockford's base 32
const TIME_CHARS = 10 // 50 bits of milliseconds
const RANDOM_CHARS = 16 // 80 random bits

/** A new id: kind prefix, 10 characters of time, 16 random ones. Ids of a kind sort by creation time. */
export function newId(kind: IdKind, nowMs: number = Date.now()): string {
  let time = ''
  for (let rest = nowMs, i = 0; i < TIME_CHARS; i++, rest = Math.floor(rest / 32))
    time = ALPHABET.charAt(rest % 32) + time
  const random = crypto.getRandomValues(new Uint8Array(RANDOM_CHARS))
  return ID_PREFIX[kind] + time + Array.from(random, (byte) => ALPHABET.charAt(byte & 31)).join('')
}

/** Whether text is a well-formed id of the kind. */
export function isId(kind: IdKind, text: string): boolean {
  const prefix = ID_PREFIX[kind]
  return text.startsWith(prefix) && /^[0-9a-hjkmnp-tv-z]{26}$/.test(text.slice(prefix.length))
}
