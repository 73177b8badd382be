import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { createPublicClient, http, type Chain, type PublicClient, type Transport } from 'viem'
import { fromHex, type Hex } from '#protocol/bytes.ts'
import { writeFileAtomic } from './files.ts'
import type { PartSpec } from './processes.ts'
import { DISK_FULL_ADVICE, isDiskFull, StackError } from './stack-error.ts'

export const CHAIN_ID = 901612 // never the id of a live chain

/** viem's description of the local L2, whose native token is $OPEN. */
export const localChain = (rpcUrl: string): Chain => ({
  id: CHAIN_ID,
  name: 'OpenLedger local',
  nativeCurrency: { name: 'OpenLedger', symbol: 'OPEN', decimals: 18 },
  rpcUrls: { default: { http: [rpcUrl] } },
})

/** A read-only client of the local chain. */
export const chainReader = (rpcUrl: string): PublicClient<Transport, Chain> =>
  createPublicClient({
    chain: localChain(rpcUrl),
    transport: http(rpcUrl),
    pollingInterval: 250,
    cacheTime: 0,
  })

const stateFile = (dir: string) => join(dir, 'state.json')

/** The chain part: anvil, continuing from the state that `keepChainState` last wrote. */
export function chainPart(dir: string, port: number): PartSpec {
  const reader = chainReader(`http://127.0.0.1:${port}`)
  return {
    name: 'chain',
    // A shell, because a chain that is started again must load the state as it is then, not as it is now.
    command: 'sh',
    args: [
      '-c',
      '[ -s "$STATE" ] && exec "$0" "$@" --load-state "$STATE"; exec "$0" "$@"',
      anvilBinary(),
      '--network=optimism',
      '--slots-in-an-epoch=4',
      `--chain-id=${CHAIN_ID}`,
      '--block-time=1',
      '--host=127.0.0.1',
      `--port=${port}`,
    ],
    env: { STATE: stateFile(dir) },
    ports: [port],
    ready: async () => (await reader.getChainId()) === CHAIN_ID,
  }
}

/** anvil from npm where npm has it for this platform, else from PATH. */
function anvilBinary(): string {
  const require = createRequire(import.meta.url)
  try {
    return require.resolve(`@foundry-rs/anvil-${process.platform}-${npmArch()}/bin/anvil`)
  } catch {
    const onPath = (process.env['PATH'] ?? '').split(':').map((dir) => join(dir, 'anvil'))
    const found = onPath.find((path) => existsSync(path))
    if (found) return found
    throw new StackError(
      'chain',
      `no anvil for ${process.platform} ${process.arch}: install Foundry 1.7 (https://getfoundry.sh) and put anvil on PATH`,
    )
  }
}

const npmArch = () => (process.arch === 'x64' ? 'amd64' : process.arch)

export type ChainKeeper = {
  /** Stops watching and writes the state a last time. */
  close: () => Promise<void>
}

const KEEP_POLL_MS = 200

/**
 * Writes the chain's state to disk after every block that changed it, so that `kill -9` loses at most the block of
 * the last 200 ms. anvil's own --state-interval writes the file in place, and a kill in the middle would lose it all.
 */
export function keepChainState(
  dir: string,
  rpcUrl: string,
  say: (line: string) => void,
): ChainKeeper {
  const reader = chainReader(rpcUrl)
  let seen = -1n // last block looked at
  let closed = false
  let busy: Promise<void> = Promise.resolve()

  const keep = async (always: boolean) => {
    const newest = await reader.getBlockNumber()
    let changed = always || newest < seen || !existsSync(stateFile(dir))
    for (let n = seen < 0n || newest < seen ? newest : seen + 1n; !changed && n <= newest; n++)
      changed = (await reader.getBlockTransactionCount({ blockNumber: n })) > 0
    if (changed) {
      const dumped = (await reader.request({ method: 'anvil_dumpState' } as never)) as Hex
      writeFileAtomic(stateFile(dir), gunzipSync(fromHex(dumped)))
    }
    seen = newest
  }
  const attempt = async (always = false) => {
    try {
      await keep(always)
    } catch (error) {
      if (isDiskFull(error)) say(`chain: its state cannot be saved: ${DISK_FULL_ADVICE}`)
      // Otherwise the chain is down; the supervisor says so and starts it again.
    }
  }
  const loop = async () => {
    await attempt()
    if (!closed) timer = setTimeout(() => (busy = loop()), KEEP_POLL_MS)
  }
  let timer = setTimeout(() => (busy = loop()), KEEP_POLL_MS)

  return {
    close: async () => {
      closed = true
      clearTimeout(timer)
      await busy
      await attempt(true)
    },
  }
}
