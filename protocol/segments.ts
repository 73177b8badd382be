import { z } from 'zod'
import { canonicalJson, concatBytes, keccak, toJson, type Hex } from './bytes.ts'
import { drawsOf, MAX_RECEIPTS, type EpochFile, type Presence } from './epoch.ts'
import { messageOf } from './errors.ts'
import { address, bytes32, decimal, signedReceipt } from './wire.ts'

/**
 * How an epoch is published: lists of receipts, presence counts and payouts in segments, each a file of its own with a name
 * (the keccak256 of its bytes) and a commitment of the data-availability layer, and one manifest that lists them. The
 * manifest's keccak256 and commitment go on chain. A segment is gzip of canonical JSON: a third to a half of it.
 */

/**
 * JSON of one segment, at most. An EigenDA blob carries 16 MiB, and a Worker has 128 MB for the text, the bytes and the
 * objects of the segments that it has in hand.
 */
export const MAX_SEGMENT_BYTES = 4 * 2 ** 20
/** Bytes of a manifest, at most: about 1,000 segments with EigenDA certificates. */
const MAX_MANIFEST_BYTES = 4 * 2 ** 20

const FORMAT = 'openledger-epoch-2'

const ITEMS = {
  /** Clusters of a contributor in a Datanet version, sorted by version, then contributor. */
  presence: z.object({ root: bytes32, contributor: address, count: z.int().positive() }),
  /** In the epoch's order. */
  receipts: signedReceipt,
  /** Sorted by account. */
  payouts: z.object({ account: address, amount: decimal }),
} as const
export type SegmentKind = keyof typeof ITEMS
export type Item<Kind extends SegmentKind> = z.output<(typeof ITEMS)[Kind]>

const segment = z.object({
  kind: z.enum(['presence', 'receipts', 'payouts']),
  /** Items in it. */
  count: z.int().positive(),
  hash: bytes32,
  commitment: z.templateLiteral(['0x', z.string().regex(/^([0-9a-f]{2})*$/)]),
})
export type Segment = z.output<typeof segment>

const manifest = z
  .object({
    format: z.literal(FORMAT),
    chainId: z.int().positive(),
    settlement: address,
    epoch: z.int().positive(),
    treasuries: z.object({ platform: address, stakers: address }),
    /** Those of one kind in the order of their items. */
    segments: z.array(segment),
  })
  .refine(({ segments }) => countOf(segments, 'receipts') <= MAX_RECEIPTS, {
    error: `more than ${MAX_RECEIPTS} receipts`,
  })
  .refine(({ segments }) => new Set(segments.map(({ hash }) => hash)).size === segments.length, {
    error: 'a segment is listed twice',
  })
export type Manifest = z.output<typeof manifest>

/** Items of a kind in segments. */
export const countOf = (segments: readonly Pick<Segment, 'kind' | 'count'>[], kind: SegmentKind) =>
  segments.reduce((sum, one) => sum + (one.kind === kind ? one.count : 0), 0)

/** Bytes of a manifest. */
export const encodeManifest = ({
  chainId,
  settlement,
  epoch,
  treasuries,
  segments,
}: Omit<Manifest, 'format'>): Uint8Array =>
  new TextEncoder().encode(
    canonicalJson({ format: FORMAT, chainId, settlement, epoch, treasuries, segments }),
  )

/** Reads a manifest that is known by its hash; throws an Error that says what is wrong with it. */
export function decodeManifest(bytes: Uint8Array, dataHash: Hex): Manifest {
  const name = `manifest ${dataHash}`
  requireHash(name, bytes, dataHash)
  if (bytes.length > MAX_MANIFEST_BYTES)
    throw new Error(`${name} is longer than ${MAX_MANIFEST_BYTES} bytes`)
  return parse(name, manifest, bytes)
}

/** An item as it stands in a segment: canonical JSON, amounts as decimal strings. It is ASCII. */
export const encodeItem = (item: Item<SegmentKind>): string => canonical(item)

const canonical = (value: unknown): string => canonicalJson(JSON.parse(toJson(value)))

/** Cuts encoded items into lists whose JSON has at most `maxBytes`, of at least one item each. */
export async function* cut(
  items: Iterable<string> | AsyncIterable<string>,
  maxBytes = MAX_SEGMENT_BYTES,
): AsyncGenerator<string[]> {
  let list: string[] = []
  let size = BRACKETS
  for await (const item of items) {
    if (list.length > 0 && size + item.length + COMMA > maxBytes) {
      yield list
      ;[list, size] = [[], BRACKETS]
    }
    list.push(item)
    size += item.length + COMMA
  }
  if (list.length > 0) yield list
}
const BRACKETS = 2
const COMMA = 1

/** The segment of encoded items. */
export async function encodeSegment(
  kind: SegmentKind,
  items: readonly string[],
): Promise<Omit<Segment, 'commitment'> & { bytes: Uint8Array }> {
  const json = new TextEncoder().encode(`[${items.join()}]`)
  const bytes = await through(new CompressionStream('gzip'), json)
  return { kind, count: items.length, hash: keccak(bytes), bytes }
}

/** Reads a segment of a manifest; throws an Error that says what is wrong with it. */
export async function decodeSegment<Kind extends SegmentKind>(
  { kind, count, hash }: Pick<Segment, 'count' | 'hash'> & { kind: Kind },
  bytes: Uint8Array,
): Promise<Item<Kind>[]> {
  const name = `segment ${hash}`
  requireHash(name, bytes, hash)
  let json: Uint8Array
  try {
    json = await through(new DecompressionStream('gzip'), bytes, MAX_SEGMENT_BYTES)
  } catch (error) {
    throw new Error(`${name} cannot be unpacked: ${messageOf(error, MOST_SAID)}`, { cause: error })
  }
  const items = parse(name, z.array(ITEMS[kind]), json) as Item<Kind>[]
  if (items.length !== count) throw new Error(`${name} has ${items.length} ${kind}, not ${count}`)
  return items
}

/** Gets the bytes of a segment. */
export type ReadSegment = (segment: Segment) => Promise<Uint8Array>

/** The segments of a kind with the position of their first item. */
export function segmentsOf<Kind extends SegmentKind, Given extends Pick<Segment, 'kind' | 'count'>>(
  segments: readonly Given[],
  kind: Kind,
): (Given & { kind: Kind; first: number })[] {
  let first = 0
  return segments.flatMap((segment) => {
    if (segment.kind !== kind) return []
    first += segment.count
    return [{ ...segment, kind, first: first - segment.count }]
  })
}

/** All items of a kind. */
export async function readItems<Kind extends SegmentKind>(
  { segments }: Pick<Manifest, 'segments'>,
  kind: Kind,
  read: ReadSegment,
): Promise<Item<Kind>[]> {
  const items: Item<Kind>[] = []
  for (const segment of segmentsOf(segments, kind))
    for (const item of await decodeSegment(segment, await read(segment))) items.push(item)
  return items
}

/** Reads a whole epoch into memory, segment by segment. */
export async function readEpoch(manifest: Manifest, read: ReadSegment): Promise<EpochFile> {
  const { chainId, settlement, epoch, treasuries } = manifest
  const presence = joinPresence(await readItems(manifest, 'presence', read))
  const receipts = await readItems(manifest, 'receipts', read)
  const payouts = await readItems(manifest, 'payouts', read)
  const draws = drawsOf(receipts.map(({ receipt }) => receipt))
  return { chainId, settlement, epoch, treasuries, receipts, presence, payouts, draws }
}

/** The segments of an epoch that is in memory, cut at `maxBytes` of JSON. */
export async function* encodeEpoch(
  { presence, receipts, payouts }: EpochFile,
  maxBytes = MAX_SEGMENT_BYTES,
): AsyncGenerator<Omit<Segment, 'commitment'> & { bytes: Uint8Array }> {
  const lists: Record<SegmentKind, Item<SegmentKind>[]> = {
    presence: splitPresence(presence),
    receipts,
    payouts,
  }
  for (const kind of ['presence', 'receipts', 'payouts'] as const)
    for await (const items of cut(lists[kind].map(encodeItem), maxBytes))
      yield await encodeSegment(kind, items)
}

/** Presence tables as items. */
export const splitPresence = (presence: readonly Presence[]): Item<'presence'>[] =>
  presence.flatMap(({ root, clusters }) =>
    clusters.map(({ contributor, count }) => ({ root, contributor, count })),
  )

/** Presence tables of items. */
export const joinPresence = (items: readonly Item<'presence'>[]): Presence[] =>
  [...Map.groupBy(items, ({ root }) => root)].map(([root, rows]) => ({
    root,
    clusters: rows.map(({ contributor, count }) => ({ contributor, count })),
  }))

function requireHash(name: string, bytes: Uint8Array, hash: Hex): void {
  const found = keccak(bytes)
  if (found !== hash) throw new Error(`${name} has other bytes: their hash is ${found}`)
}

/** JSON in canonical form: what it holds and what it is named by say the same. */
function parse<T>(name: string, schema: z.ZodType<T>, bytes: Uint8Array): T {
  let value: T
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    value = schema.parse(JSON.parse(text))
  } catch (error) {
    throw new Error(`${name} cannot be read: ${messageOf(error, MOST_SAID)}`, { cause: error })
  }
  if (canonical(value) !== text) throw new Error(`${name} is not in canonical form`)
  return value
}

/** Sends bytes through a stream; throws a RangeError as soon as more than `limit` come out. */
async function through(
  stream: CompressionStream | DecompressionStream,
  bytes: Uint8Array,
  limit = Infinity,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let size = 0
  const reader = new Blob([bytes as Uint8Array<ArrayBuffer>])
    .stream()
    .pipeThrough(stream)
    .getReader()
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    size += next.value.length
    if (size > limit) {
      await reader.cancel()
      throw new RangeError(`it is longer than ${limit} bytes`)
    }
    parts.push(next.value)
  }
  return concatBytes(...parts)
}

/** Characters of what a schema says: of a long list that is as long. */
const MOST_SAID = 300
