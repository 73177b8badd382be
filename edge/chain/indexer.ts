import { DurableObject } from 'cloudflare:workers'
import type { PublicClient } from 'viem'
import { openTally } from '#protocol/epoch.ts'
import { messageOf } from '#protocol/errors.ts'
import { log } from '../log.ts'
import {
  extendIndex,
  knownBlock,
  knownNumbers,
  moveHeads,
  postSafe,
  readHead,
  rollBack,
  type Head,
} from '../db/chain-index.ts'
import { snapshot, withLedger, type LedgerSql } from '../db/ledger.ts'
import { settingsOf, type Env, type Settings } from '../env.ts'
import { datanetsOf } from '../datanets/homes.ts'
import type { SettledEpoch } from '../db/postings.ts'
import { presenceOf, readManifest, receiptSegments, type Part } from '../settlement/epoch-files.ts'
import { chainClient } from './client.ts'
import { decodeLogs, watchedAddresses } from './logs.ts'
import { hashOf, readHeads, readRange, RPC_STATES, RpcFault, type Heads } from './read-blocks.ts'

const RANGE_BLOCKS = 1_000 // common limit of eth_getLogs
const TAIL_BLOCKS = 50 // every header of these is read
const RANGES_PER_ROUND = 20
const STALE_SECONDS = 120
const MAX_BACKOFF_MS = 15_000
/**
 * Rounds in a row in which a node has to deny what was final. A node that lags or lies for a moment changes nothing; a
 * local chain that was restored from an older state really has lost those blocks.
 */
const CONFLICT_ROUNDS = 10

/** What the index follows, or what keeps it from following. */
export const INDEX_STATES = [
  'starting',
  'following',
  ...RPC_STATES,
  'ledger-unavailable',
  'failed',
] as const
export type IndexState = (typeof INDEX_STATES)[number]

export type IndexStatus = {
  state: IndexState
  /** Why it is not following; null when it is. */
  error: string | null
  /** Unix milliseconds of the last complete round; null before the first. */
  checkedAt: number | null
  /** Seconds by which our clock is ahead of the newest block. */
  lagSeconds: number | null
}

/** The one indexer of a deployment. */
export const chainIndexer = ({ INDEXER }: Pick<Env, 'INDEXER'>) => INDEXER.getByName('chain')

/**
 * Follows the chain: reads new blocks and the contracts' logs into Postgres, takes back what a reorg took off the
 * chain, and posts what is safe into the ledger. It keeps nothing itself, so it may die at any point.
 */
export class ChainIndexer extends DurableObject<Env> {
  #status: IndexStatus = { state: 'starting', error: null, checkedAt: null, lagSeconds: null }
  #failures = 0
  #conflicts = 0

  status(): IndexStatus {
    return this.#status
  }

  /** Runs a round soon. */
  async poke(): Promise<void> {
    const set = await this.ctx.storage.getAlarm()
    if (set === null || set > Date.now()) await this.ctx.storage.setAlarm(Date.now())
  }

  override async alarm(): Promise<void> {
    const settings = settingsOf(this.env)
    let more = false
    try {
      more = await this.#round(settings)
      this.#failures = 0
      this.#conflicts = 0
    } catch (error) {
      this.#failed(error)
    }
    const pause = settings.INDEX_SECONDS * 1_000
    const backoff = Math.min(
      pause * 2 ** Math.min(this.#failures, 8),
      Math.max(pause, MAX_BACKOFF_MS),
    )
    await this.ctx.storage.setAlarm(Date.now() + (more ? 0 : this.#failures > 0 ? backoff : pause))
  }

  #failed(error: unknown): void {
    this.#failures++
    const state =
      error instanceof RpcFault ? error.state : isPostgres(error) ? 'ledger-unavailable' : 'failed'
    const message = messageOf(error, 500)
    this.#status = { ...this.#status, state, error: message }
    log('warn', { during: 'ChainIndexer', state, failures: this.#failures, error })
  }

  /** True when there is more to read at once. */
  async #round(settings: Settings): Promise<boolean> {
    const client = chainClient(settings)
    const heads = await readHeads(client, settings.CHAIN_ID)
    return withLedger(this.env, async (sql) => {
      const head = await this.#agree(client, sql, { heads, base: settings.START_BLOCK - 1 })
      const indexed = await follow(client, sql, { settings, heads, head })
      await postSafe(sql, (hash, commitment) => readSettled(this.env, { hash, commitment }))
      this.#status = {
        state: 'following',
        error: null,
        checkedAt: Date.now(),
        lagSeconds: Math.round(Date.now() / 1_000 - heads.time),
      }
      const lag = this.#status.lagSeconds ?? 0
      if (lag > STALE_SECONDS) throw new RpcFault('stale', `the newest block is ${lag} seconds old`)
      return indexed < heads.latest
    })
  }

  /** Rolls the index back to where the node agrees with it; throws while it cannot tell. */
  async #agree(
    client: PublicClient,
    sql: LedgerSql,
    { heads, base }: { heads: Heads; base: number },
  ): Promise<Head | null> {
    const head = await snapshot(sql, readHead)
    if (!head) return null
    const upTo = Math.min(head.indexed, heads.latest)
    const common = (await commonBlock(client, sql, upTo)) ?? base
    if (common === head.indexed) return head
    const disputed = common < head.final || heads.latest < head.final
    if (disputed && ++this.#conflicts < CONFLICT_ROUNDS)
      throw new RpcFault(
        heads.latest < head.final ? 'stale' : 'conflict',
        `block ${head.final} was final; the node is at ${heads.latest} and agrees up to ${common}`,
      )
    // A node that lags behind another one denies nothing.
    if (!disputed && common === heads.latest)
      throw new RpcFault('stale', `the node is at ${heads.latest}, behind ${head.indexed}`)
    const reversed = await rollBack(sql, common)
    log('warn', { during: 'ChainIndexer', reorg: true, from: head.indexed, to: common, reversed })
    return snapshot(sql, readHead)
  }
}

/** An epoch as it is posted: gone through twice, so that only a segment of it is in memory at a time. */
async function readSettled(env: Env, part: Part): Promise<SettledEpoch> {
  const manifest = await readManifest(env, part)
  const tally = openTally(manifest.treasuries)
  for await (const receipts of receiptSegments(env, manifest))
    for (const { receipt } of receipts) tally.add(receipt)
  const { earned } = tally.close(await presenceOf(env, manifest))
  return {
    credits: new Map([...earned].map(([account, { wei }]) => [account, wei])),
    async *receipts() {
      for await (const receipts of receiptSegments(env, manifest))
        yield { receipts, datanetOf: await datanetsOf(env, receipts) }
    },
  }
}

/** The highest known block, up to `upTo`, that the node has under the same hash; null when there is none. */
async function commonBlock(
  client: PublicClient,
  sql: LedgerSql,
  upTo: number,
): Promise<number | null> {
  const agrees = async (number: number) => {
    const known = await snapshot(sql, (tx) => knownBlock(tx, number, number))
    return known !== null && (await hashOf(client, number)) === known.hash
  }
  const tip = await snapshot(sql, (tx) => knownBlock(tx, 0, upTo))
  if (!tip) return null
  if (await agrees(tip.number)) return tip.number
  // A block vouches for all before it, so the last one in common is found by halving.
  const numbers = (await snapshot(sql, knownNumbers)).filter((number) => number < tip.number)
  let [low, high] = [0, numbers.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (await agrees(numbers[middle] ?? 0)) low = middle + 1
    else high = middle
  }
  return numbers[low - 1] ?? null
}

/** Reads on from where the index is; returns where it is then. */
async function follow(
  client: PublicClient,
  sql: LedgerSql,
  { settings, heads, head }: { settings: Settings; heads: Heads; head: Head | null },
): Promise<number> {
  const addresses = watchedAddresses(settings)
  let indexed = head?.indexed ?? settings.START_BLOCK - 1
  if (head && indexed === heads.latest) await moveHeads(sql, heads)
  for (let ranges = 0; indexed < heads.latest && ranges < RANGES_PER_ROUND; ranges++) {
    const from = indexed + 1
    const whole = heads.final < from + TAIL_BLOCKS
    const to = Math.min(
      heads.latest,
      whole ? indexed + TAIL_BLOCKS : Math.min(indexed + RANGE_BLOCKS, heads.final),
    )
    const last = await snapshot(sql, (tx) => knownBlock(tx, from - 1, from - 1))
    const { blocks, logs } = await readRange(client, {
      from,
      to,
      addresses,
      parent: last?.hash ?? null,
      whole,
    })
    await extendIndex(sql, {
      heads: {
        ...heads,
        latest: to,
        safe: Math.min(heads.safe, to),
        final: Math.min(heads.final, to),
      },
      from,
      to,
      blocks,
      logs: decodeLogs(logs, settings),
    })
    indexed = to
  }
  return indexed
}

const isPostgres = (error: unknown): boolean =>
  error instanceof Error && (error.name === 'PostgresError' || 'code' in error)
