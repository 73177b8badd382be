import { keccak_256 } from '@noble/hashes/sha3.js'
import { utf8ToBytes } from '@noble/hashes/utils.js'
import type { TypedDataDomain } from 'viem'
import { concatBytes, fromHex, keccak, type Hex } from './bytes.ts'

/**
 * ABI words and EIP-712 hashes of the few types that receipts and leaves are made of. viem does the same for every type
 * there is and takes several times as long, which an epoch of 10,000 receipts feels; the tests hold the two together.
 */
export type StructTypes = Readonly<
  Record<string, readonly Readonly<{ name: string; type: string }>[]>
>

/** EIP-712 domain of our contracts that check signatures. */
export const domainOf = (chainId: number, verifyingContract: Hex) =>
  ({ name: 'OpenLedger', version: '1', chainId, verifyingContract }) satisfies TypedDataDomain

export const DOMAIN_TYPES = {
  EIP712Domain: [
    { name: 'name', type: 'string' },
    { name: 'version', type: 'string' },
    { name: 'chainId', type: 'uint256' },
    { name: 'verifyingContract', type: 'address' },
  ],
} as const satisfies StructTypes

const WORD = 32

/** abi.encode of values of one word each; throws a RangeError when a value does not fit its type. */
export function encodeWords(types: readonly string[], values: readonly unknown[]): Uint8Array {
  const words = new Uint8Array(WORD * types.length)
  types.forEach((type, i) => writeWord(words, i, type, values[i]))
  return words
}

function writeWord(words: Uint8Array, index: number, type: string, value: unknown): void {
  const end = WORD * (index + 1)
  if (type === 'bytes32' || type === 'address') {
    const bytes = fromHex(value as Hex)
    if (bytes.length !== (type === 'address' ? 20 : WORD)) throw misfit(type, value)
    words.set(bytes, end - bytes.length)
  } else if (type === 'bool') words[end - 1] = value ? 1 : 0
  else writeInteger(words, end, integerOf(type, value))
}

/** A value of `uintN` or `intN`, as its two's complement. */
function integerOf(type: string, value: unknown): bigint {
  const [, unsigned, bits] = /^(u?)int(\d+)$/.exec(type) ?? []
  if (bits === undefined) throw new RangeError(`no word is a ${type}`)
  const integer = BigInt(value as bigint | number)
  const fits = unsigned
    ? BigInt.asUintN(Number(bits), integer)
    : BigInt.asIntN(Number(bits), integer)
  if (fits !== integer) throw misfit(type, value)
  return BigInt.asUintN(8 * WORD, integer)
}

function writeInteger(words: Uint8Array, end: number, integer: bigint): void {
  const view = new DataView(words.buffer)
  for (let at = end - 8, rest = integer; rest > 0n; at -= 8, rest >>= 64n)
    view.setBigUint64(at, BigInt.asUintN(64, rest))
}

const misfit = (type: string, value: unknown) => new RangeError(`${String(value)} is no ${type}`)

/** EIP-712 hash of a struct (eips.ethereum.org/EIPS/eip-712, hashStruct). Throws a RangeError on what does not fit. */
export function structHash(types: StructTypes, name: string, data: object): Uint8Array {
  const fields = types[name] ?? []
  const words = new Uint8Array(WORD * (fields.length + 1))
  words.set(typeHash(types, name))
  fields.forEach((field, i) => {
    const value = (data as Record<string, unknown>)[field.name]
    if (isAtom(types, field.type)) writeWord(words, i + 1, field.type, value)
    else words.set(hashOf(types, field.type, value), WORD * (i + 1))
  })
  return keccak_256(words)
}

/** The hash that stands for a list, a struct, bytes or text. */
function hashOf(types: StructTypes, type: string, value: unknown): Uint8Array {
  if (type === 'bytes') return keccak_256(fromHex(value as Hex))
  if (type === 'string') return keccak_256(utf8ToBytes(value as string))
  if (!type.endsWith('[]')) return structHash(types, type, value as object)
  const item = type.slice(0, -2)
  const items = value as readonly unknown[]
  return keccak_256(
    isAtom(types, item)
      ? encodeWords(Array<string>(items.length).fill(item), items)
      : concatBytes(...items.map((one) => hashOf(types, item, one))),
  )
}

const isAtom = (types: StructTypes, type: string): boolean =>
  type !== 'bytes' && type !== 'string' && !type.endsWith('[]') && !(type in types)

const typeHashes = new WeakMap<StructTypes, Map<string, Uint8Array>>()

function typeHash(types: StructTypes, name: string): Uint8Array {
  const known = typeHashes.get(types) ?? new Map<string, Uint8Array>()
  typeHashes.set(types, known)
  const hash = known.get(name) ?? fromHex(keccak(encodeType(types, name)))
  known.set(name, hash)
  return hash
}

/** The struct, then those it is made of, by name. */
function encodeType(types: StructTypes, name: string): string {
  const used = new Set<string>()
  const visit = (struct: string) => {
    if (used.has(struct)) return
    used.add(struct)
    for (const { type } of types[struct] ?? []) {
      const item = type.replaceAll('[]', '')
      if (item in types) visit(item)
    }
  }
  visit(name)
  used.delete(name)
  return [name, ...[...used].toSorted()]
    .map((struct) => {
      const fields = (types[struct] ?? []).map((field) => `${field.type} ${field.name}`)
      return `${struct}(${fields.join(',')})`
    })
    .join('')
}
