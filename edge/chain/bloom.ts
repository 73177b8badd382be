import { fromHex, keccak, type Hex } from '#protocol/bytes.ts'

const BLOOM_BITS = 2_048

/**
 * Whether a block header's bloom filter admits an address or topic: false is certain, true may be a coincidence.
 * Ethereum yellow paper, section 4.3.1: three pairs of bytes of the item's keccak256 name three of 2,048 bits.
 */
export function bloomAdmits(logsBloom: Hex, item: Hex): boolean {
  const bloom = fromHex(logsBloom)
  const hash = fromHex(keccak(fromHex(item)))
  return [0, 2, 4].every((i) => {
    const bit = (((hash[i] ?? 0) << 8) | (hash[i + 1] ?? 0)) % BLOOM_BITS
    return ((bloom[bloom.length - 1 - (bit >> 3)] ?? 0) >> (bit & 7)) & 1
  })
}
