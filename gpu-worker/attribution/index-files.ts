/**
 * The influence index as files:
 *   index/rows.json               the rows, one per trained cluster, in the order of the vectors
 *   index/vectors.i8              the rows' int8 vectors, one after the other
 *   index/projection.safetensors  the Cholesky factor of every block; metadata: seed, projected columns, damping and the
 *                                 format of the base under which the gradients were taken, unless it was float32
 */
import { z } from 'zod'
import type { LlamaConfig } from '#engine/models/config.ts'
import type { LoraConfig } from '#engine/models/lora.ts'
import { influenceBlocks, influenceDims, type Block } from '#engine/programs/influence.ts'
import type { QuantFormat } from '#engine/quant.ts'
import { readSafetensors, writeSafetensors } from '#engine/safetensors.ts'
import { requireTensor } from '#engine/tensor.ts'
import { canonicalJson, keccak, type Hex } from '#protocol/bytes.ts'
import { dotInt8 } from '#protocol/score.ts'
import { address, bytes32, decimal } from '#protocol/wire.ts'
import { metadata } from '../safetensors-metadata.ts'
import { bytesOf, DAMPING, indexRoot, vectorOf, type InfluenceIndex } from './influence-index.ts'

export type IndexFiles = { rows: Uint8Array; vectors: Uint8Array; projection: Uint8Array }

/** What the projections of an index follow from. */
export type ProjectionSettings = {
  adapter: Hex
  projected: number
  /** The base's matrices under which the gradients were taken; float32 when absent. Queries must use the same. */
  format?: QuantFormat | undefined
}

const integer = z
  .string()
  .regex(/^(0|-?[1-9][0-9]{0,18})$/)
  .transform(BigInt)
const rowsFile = z.object({
  format: z.literal('openledger-index-rows-1'),
  dims: z.int().positive(),
  rows: z.array(
    z.object({
      record: bytes32,
      cluster: bytes32,
      contributor: address,
      vectorHash: bytes32,
      exponent: z.int().min(-0x8000).max(0x7fff),
      nullMean: integer,
      nullDeviation: decimal,
      self: decimal,
      tokensRoot: bytes32,
      tokens: z.int().min(0),
    }),
  ),
})
const projectionMetadata = z.object({
  format: z.literal('openledger-projection-1'),
  adapter: bytes32,
  projected: z.coerce.number().int().positive(),
  damping: z.coerce.number().positive(),
  format_of_base: z.enum(['int8', 'int4']).optional(),
})

const blockName = ({ module, factor }: Block): string => `${module}.lora_${factor}`

/** Writes an index; equal indexes have equal bytes. `blocks` are those its gradients were made of. */
export function encodeIndex(
  index: InfluenceIndex,
  blocks: readonly Block[],
  { adapter, projected, format }: ProjectionSettings,
): IndexFiles {
  const rows = index.rows.map((row) => ({
    ...row,
    nullMean: row.nullMean.toString(),
    nullDeviation: row.nullDeviation.toString(),
    self: row.self.toString(),
  }))
  const factors = index.whitening.map(({ dim, factor }, i) => {
    const block = blocks[i]
    if (!block) throw new Error('the index has more blocks than the adapter')
    return [blockName(block), { dims: [dim, dim], data: factor }] as const
  })
  return {
    rows: new TextEncoder().encode(
      canonicalJson({ format: 'openledger-index-rows-1', dims: index.dims, rows }),
    ),
    vectors: bytesOf(index.vectors),
    projection: writeSafetensors(new Map(factors), 'F32', {
      format: 'openledger-projection-1',
      adapter,
      projected: String(projected),
      damping: String(DAMPING),
      ...(format && { format_of_base: format }),
    }),
  }
}

export type LoadedIndex = { index: InfluenceIndex; blocks: readonly Block[] } & ProjectionSettings

/**
 * Reads an index and verifies it: the vectors against the hashes and norms of their rows, and the rows' Merkle root
 * against the one on chain. Throws an Error that names what does not hold.
 */
export function decodeIndex(
  files: IndexFiles,
  expected: { root: Hex; adapter: Hex; config: LlamaConfig; lora: LoraConfig },
): LoadedIndex {
  const { rows, dims } = rowsFile.parse(JSON.parse(new TextDecoder().decode(files.rows)))
  const root = indexRoot(rows)
  if (root !== expected.root)
    throw new Error(`index/rows.json has the root ${root}, on chain stands ${expected.root}`)
  const vectors = new Int8Array(
    files.vectors.buffer,
    files.vectors.byteOffset,
    files.vectors.byteLength,
  )
  if (vectors.length !== rows.length * dims)
    throw new Error(`index/vectors.i8 does not hold ${rows.length} vectors of ${dims}`)

  const {
    adapter,
    projected,
    format_of_base: format,
  } = projectionMetadata.parse(metadata(files.projection))
  if (adapter !== expected.adapter)
    throw new Error('index/projection.safetensors belongs to another adapter')
  const blocks = influenceBlocks(expected.config, { lora: expected.lora, projected })
  if (influenceDims(blocks) !== dims)
    throw new Error(`index/rows.json has ${dims} dimensions, the adapter's gradients others`)
  const factors = readSafetensors(files.projection)
  const whitening = blocks.map((block) => {
    const dim = block.rows * block.columns
    const { data, dims: found } = requireTensor(factors, blockName(block))
    if (found.join() !== [dim, dim].join())
      throw new Error(`index/projection.safetensors: ${blockName(block)} has dims [${found}]`)
    return { offset: block.offset, dim, factor: data }
  })

  const index = { rows, vectors, dims, whitening, root }
  rows.forEach((row, i) => {
    const vector = vectorOf(index, i)
    if (keccak(bytesOf(vector)) !== row.vectorHash || BigInt(dotInt8(vector, vector)) !== row.self)
      throw new Error(`index/vectors.i8: vector ${i} is not the one its row commits to`)
  })
  return { index, blocks, adapter, projected, ...(format && { format }) }
}
