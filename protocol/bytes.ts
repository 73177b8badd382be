import { sha256 } from '@noble/hashes/sha2.js'
import { keccak_256 } from '@noble/hashes/sha3.js'
import { bytesToHex, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js'

/** `0x`-prefixed lower-case hex. */
export type Hex = `0x${string}`

export const ZERO_HASH: Hex = `0x${'00'.repeat(32)}`
export const ZERO_ADDRESS: Hex = `0x${'00'.repeat(20)}`

/** Encodes bytes as `0x` hex. */
export const toHex = (bytes: Uint8Array): Hex => `0x${bytesToHex(bytes)}`

/** Decodes `0x` hex to bytes; throws on malformed hex. */
export const fromHex = (hex: Hex): Uint8Array => hexToBytes(hex.slice(2))

/** Hex in lower case, as addresses and hashes are kept and compared; viem and nodes mix the cases of addresses. */
export const lowerCase = (hex: Hex): Hex => hex.toLowerCase() as Hex

const asBytes = (data: Uint8Array | string): Uint8Array =>
  typeof data === 'string' ? utf8ToBytes(data) : data

/** SHA-256 of bytes or of a string's UTF-8: names files and models. */
export const sha256Hex = (data: Uint8Array | string): Hex => toHex(sha256(asBytes(data)))

/** Keccak-256 of bytes or of a string's UTF-8: names whatever a contract must recompute. */
export const keccak = (data: Uint8Array | string): Hex => toHex(keccak_256(asBytes(data)))

/** For JSON.stringify: amounts are decimal strings on the wire, in files and in logs. */
export const bigintAsDecimal = (_key: string, value: unknown): unknown =>
  typeof value === 'bigint' ? value.toString() : value

/** JSON of values that may hold bigints. */
export const toJson = (value: unknown, indent?: number): string =>
  JSON.stringify(value, bigintAsDecimal, indent)

/** Concatenates byte arrays. */
export function concatBytes(...parts: Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((n, part) => n + part.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

/**
 * Canonical JSON (RFC 8785): keys sorted by UTF-16 code unit, no white space, `undefined` members dropped.
 * Throws on what JSON cannot carry (non-finite numbers, bigint, lone surrogates, cycles by stack depth).
 */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value === 'string') return canonicalString(value)
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new TypeError('canonical JSON has no non-finite numbers')
    return JSON.stringify(value)
  }
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item ?? null)).join(',')}]`
  if (typeof value === 'object') {
    const members = Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, member]) => `${canonicalString(key)}:${canonicalJson(member)}`)
    return `{${members.join(',')}}`
  }
  throw new TypeError(`canonical JSON cannot carry a ${typeof value}`)
}

function canonicalString(text: string): string {
  if (!text.isWellFormed()) throw new TypeError('canonical JSON has no lone surrogates')
  return JSON.stringify(text)
}
