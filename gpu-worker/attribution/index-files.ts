/**
 * The influence index as files:
 *   index/rows.json               the rows, one per trained cluster, in the order of the vectors
 *   index/vectors.i8              the rows' int8 vectors, one after the other
 *   index/landmarks.i8            the landmarks' int8 features, one after the other
 *   index/projection.safetensors  `factor`, `exponents`, `residual` and its scale of landmarks.ts, `scales` and `directions` of features.ts, the adapter's snapshots
 *                                 as `snapshot.N/` and PEFT's names; metadata: seed, damping and the format of the base under which the
 *                                 gradients were taken, unless it was float32
 */
import { z } from 'zod'
import type { LlamaConfig } from '#engine/models/config.ts'
import { fromPeft, toPeft, type LoraConfig } from '#engine/models/lora.ts'
import { gradientSize, influenceBlocks } from '#engine/programs/influence.ts'
import type { QuantFormat } from '#engine/quant.ts'
import { readSafetensors, safetensorsMetadata, writeSafetensors } from '#engine/safetensors.ts'
import { areWithin, requireTensor, type HostTensor, type TensorMap } from '#engine/tensor.ts'
import { canonicalJson, type Hex } from '#protocol/bytes.ts'
import type { InfluenceRow } from '#protocol/influence-row.ts'
import { dotInt8 } from '#protocol/score.ts'
import { bytes32, indexRowsFile } from '#protocol/wire.ts'
import {
  directionsFor,
  drawSketches,
  FEATURE_DIMS,
  openFeatures,
  type FeatureMap,
  type Features,
} from './features.ts'
import { bytesOf, comparedRows, vectorHash, type ComparedRows } from './index-rows.ts'
import type { InfluenceIndex } from './influence-index.ts'
import { drawsOf, type LandmarkMap } from './landmarks.ts'
import type { Sketch } from './sketch.ts'
import { vectorTable } from './vector-table.ts'

export type IndexFiles = {
  rows: Uint8Array
  vectors: Uint8Array
  landmarks: Uint8Array
  projection: Uint8Array
}

/** The base's matrices under which the gradients were taken; float32 when absent. Queries must use the same. */
type BaseFormat = { format?: QuantFormat | undefined }

const projectionMetadata = z.object({
  format: z.literal('openledger-projection-2'),
  adapter: bytes32,
  feature_dims: z.coerce.number().int().min(FEATURE_DIMS.least).max(FEATURE_DIMS.most),
  damping: z.coerce.number().positive(),
  format_of_base: z.enum(['int8', 'int4']).optional(),
})

/** Writes an index; equal indexes have equal bytes. */
export function encodeIndex(index: InfluenceIndex, { format }: BaseFormat): IndexFiles {
  const { features, landmarks, damping, vectors } = index
  const { dims } = vectors
  const { count, dims: featureDims } = landmarks.table
  const tensors: [string, HostTensor][] = [
    ['factor', { dims: [landmarks.factor.length], data: landmarks.factor }],
    ['exponents', { dims: [count], data: Float32Array.from(landmarks.exponents) }],
    ['residual', { dims: [dims - count, count], data: landmarks.residual }],
    ['residual_scale', { dims: [1], data: Float32Array.of(landmarks.residualScale) }],
    ...features.scales.map((data, i): [string, HostTensor] => [
      `scales.${i}`,
      { dims: [data.length], data },
    ]),
    ...features.directions.map((data, i): [string, HostTensor] => [
      `directions.${i}`,
      { dims: [data.length], data },
    ]),
    ...features.snapshots.flatMap((snapshot, i) =>
      [...toPeft(snapshot)].map(([name, tensor]): [string, HostTensor] => [
        `${snapshotPrefix(i)}${name}`,
        tensor,
      ]),
    ),
  ]
  return {
    rows: encodeRows(index.rows, dims),
    vectors: joined(vectors.count, dims, vectors.vector),
    landmarks: joined(count, featureDims, landmarks.table.vector),
    projection: writeSafetensors(new Map(tensors), 'F32', {
      format: 'openledger-projection-2',
      adapter: features.adapter,
      feature_dims: String(featureDims),
      damping: String(damping),
      ...(format && { format_of_base: format }),
    }),
  }
}

/** The bytes of `index/rows.json`. */
export const encodeRows = (rows: readonly InfluenceRow[], dims: number): Uint8Array =>
  new TextEncoder().encode(
    canonicalJson({
      format: 'openledger-index-rows-1',
      dims,
      rows: rows.map((row) => ({
        ...row,
        nullMean: row.nullMean.toString(),
        nullDeviation: row.nullDeviation.toString(),
        self: row.self.toString(),
      })),
    }),
  )

const snapshotPrefix = (i: number): string => `snapshot.${i}/`

function joined(count: number, dims: number, vector: (row: number) => Int8Array): Uint8Array {
  const bytes = new Uint8Array(count * dims)
  for (let i = 0; i < count; i++) bytes.set(bytesOf(vector(i)), i * dims)
  return bytes
}

/**
 * Reads the rows and verifies them: the vectors against the hashes and norms of their rows, and the rows' Merkle root
 * against the one on chain. Throws an Error that names what does not hold.
 */
export function decodeRows(files: Pick<IndexFiles, 'rows' | 'vectors'>, root: Hex): ComparedRows {
  const { rows, dims } = indexRowsFile.parse(JSON.parse(new TextDecoder().decode(files.rows)))
  if (files.vectors.length !== rows.length * dims)
    throw new Error(`index/vectors.i8 does not hold ${rows.length} vectors of ${dims}`)
  const index = comparedRows(rows, int8(files.vectors), dims)
  if (index.root !== root)
    throw new Error(`index/rows.json has the root ${index.root}, on chain stands ${root}`)
  rows.forEach((row, i) => {
    const vector = index.vectors.vector(i)
    if (vectorHash(vector) !== row.vectorHash || BigInt(dotInt8(vector, vector)) !== row.self)
      throw new Error(`index/vectors.i8: vector ${i} is not the one its row commits to`)
  })
  return index
}

const int8 = ({ buffer, byteOffset, byteLength }: Uint8Array): Int8Array =>
  new Int8Array(buffer, byteOffset, byteLength)

export type LoadedIndex = BaseFormat & {
  index: InfluenceIndex
  /** Makes the features of queries. */
  features: Features
}

/** What files must belong to. */
export type IndexOwner = { root: Hex; adapter: Hex; config: LlamaConfig; lora: LoraConfig }

/** A whole index, verified, as plain data that one thread can hand to another. */
export type IndexParts = BaseFormat & {
  rows: InfluenceRow[]
  root: Hex
  /** [rows, dims], [landmarks, features.dims] */
  vectors: Int8Array
  dims: number
  landmarkVectors: Int8Array
  landmarks: Omit<LandmarkMap, 'table'>
  damping: number
  features: FeatureMap
  sketches: Sketch[]
}

/** Reads a whole index and verifies it as `decodeRows` does. Throws an Error that names what does not hold. */
export const decodeIndex = (files: IndexFiles, owner: IndexOwner): LoadedIndex =>
  openIndex(readIndex(files, owner), owner)

/** The slow half of `decodeIndex`. */
export function readIndex(files: IndexFiles, expected: IndexOwner): IndexParts {
  const compared = decodeRows(files, expected.root)
  const { dims } = compared.vectors
  const settings = projectionMetadata.parse(safetensorsMetadata(files.projection))
  if (settings.adapter !== expected.adapter)
    throw new Error('index/projection.safetensors belongs to another adapter')
  const featureDims = settings.feature_dims
  const tensors = readSafetensors(files.projection)
  const count = requireTensor(tensors, 'exponents').data.length
  if (count > dims || files.landmarks.length !== count * featureDims)
    throw new Error(`index/landmarks.i8 does not hold ${count} features of ${featureDims}`)
  const numbers = (name: string, length: number): Float32Array => {
    const { data } = requireTensor(tensors, name)
    if (data.length !== length || !areWithin(data))
      throw new Error(`index/projection.safetensors: "${name}" is not ${length} finite numbers`)
    return data
  }
  const blocks = influenceBlocks(expected.config, expected.lora)
  const size = gradientSize(blocks)
  const snapshots = snapshotsOf(tensors, expected)
  const features: FeatureMap = {
    adapter: settings.adapter,
    dims: featureDims,
    snapshots,
    scales: snapshots.map((_, i) => numbers(`scales.${i}`, blocks.length)),
    directions: snapshots.map((_, i) => numbers(`directions.${i}`, directionsFor(size) * size)),
  }
  const landmarks = {
    exponents: Int16Array.from(numbers('exponents', count)),
    factor: numbers('factor', (count * (count + 1)) / 2),
    residual: numbers('residual', (dims - count) * count),
    residualScale: numbers('residual_scale', 1)[0] ?? 0,
    ...drawsOf(settings.adapter, featureDims, { landmarks: count, outside: dims - count }),
  }
  const format = settings.format_of_base
  return {
    rows: compared.rows,
    root: compared.root,
    vectors: int8(files.vectors),
    dims,
    landmarkVectors: int8(files.landmarks),
    landmarks,
    damping: settings.damping,
    features,
    sketches: drawSketches(blocks, features),
    ...(format && { format }),
  }
}

/** The quick half: puts vectors where the scan reads them. */
export function openIndex(
  parts: IndexParts,
  { config, lora }: Pick<IndexOwner, 'config' | 'lora'>,
): LoadedIndex {
  const { rows, root, vectors, dims, landmarkVectors, features, sketches, damping, format } = parts
  const table = vectorTable(landmarkVectors, features.dims)
  return {
    index: {
      ...comparedRows(rows, vectors, dims, root),
      features,
      landmarks: { ...parts.landmarks, table },
      damping,
    },
    features: openFeatures(influenceBlocks(config, lora), features, sketches),
    ...(format && { format }),
  }
}

function snapshotsOf(
  tensors: TensorMap,
  { config, lora }: { config: LlamaConfig; lora: LoraConfig },
): TensorMap[] {
  const snapshots: TensorMap[] = []
  for (;;) {
    const prefix = snapshotPrefix(snapshots.length)
    const own = [...tensors].filter(([name]) => name.startsWith(prefix))
    if (own.length === 0) break
    const named = new Map(own.map(([name, tensor]) => [name.slice(prefix.length), tensor]))
    snapshots.push(fromPeft(config, lora, named))
  }
  if (snapshots.length === 0) throw new Error('index/projection.safetensors has no snapshot')
  return snapshots
}
