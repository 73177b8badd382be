import { readFileSync, statSync } from 'node:fs'
import { createPublicClient, defineChain, http, type Chain, type PublicClient } from 'viem'
import { privateKeyToAccount, type PrivateKeyAccount } from 'viem/accounts'
import { z } from 'zod'
import { address, bytes32 } from '#protocol/wire.ts'
import type { Checked } from './checking.ts'
import { UsageError } from './command.ts'
import { createHttp } from './http.ts'
import { createClient, logIn, type Client } from './openledger.ts'
import type { Login } from './schema.ts'
import type { WalletOptions } from './wallet.ts'

/** Addresses of a deployment. */
export const contracts = z.looseObject({
  parameters: address,
  datanetRegistry: address,
  modelRegistry: address,
  inferenceVault: address,
  attributionSettlement: address,
  validatorStaking: address,
  receiptChallenges: address,
  epochChallenges: address,
})
export type Contracts = z.infer<typeof contracts>

/** Where everything is, and who calls. Nothing is read or asked before it is needed. */
export type Settings = {
  edgeUrl: string
  rpcUrl: string
  daUrl: string
  /** Chain and contracts: from the user's own file, else from the API. */
  network: () => Promise<Network>
  /** The API as nobody, for what is public. */
  guest: Client
  /** The API with a key when there is one: what is public, and what is the caller's own. */
  anyone: () => Promise<Client>
  /** What receipts and epochs are checked against; with texts when there is a key to read them. */
  checked: () => Promise<Checked>
  /** The API with OPENLEDGER_API_KEY, or signed in with the wallet. */
  client: () => Promise<Client>
  /** Signs in with the wallet; throws a UsageError when there is none. */
  logIn: () => Promise<Login>
  /** The wallet of OPENLEDGER_WALLET_KEY or OPENLEDGER_WALLET_KEY_FILE; null when neither is set. */
  account: () => PrivateKeyAccount | null
  /** The wallet with a chain to send to; throws a UsageError when there is none. */
  wallet: () => Promise<WalletOptions>
}

export type Network = { chainId: number; contracts: Contracts; chain: PublicClient; viem: Chain }

/** Where the local stack listens. */
export const DEFAULTS = {
  edge: 'http://127.0.0.1:8787',
  rpc: 'http://127.0.0.1:8545',
  da: 'http://127.0.0.1:3100',
}
const networkView = z.object({ chain_id: z.int().positive(), contracts })
const contractsFile = z.object({ chainId: z.int().positive(), contracts })
const POLL_MS = 500

type Environment = Record<string, string | undefined>

/** Reads settings from options, then the environment, then the local stack's defaults. */
export function readSettings(
  option: (name: string) => string | undefined,
  env: Environment,
): Settings {
  const url = (name: keyof typeof DEFAULTS) => {
    const text = option(name) ?? env[`OPENLEDGER_${name.toUpperCase()}`] ?? DEFAULTS[name]
    if (!URL.canParse(text) || !/^https?:/.test(text))
      throw new UsageError(`--${name} needs an http or https URL, not "${text}"`)
    return text.replace(/\/+$/, '')
  }
  const [edgeUrl, rpcUrl, daUrl] = [url('edge'), url('rpc'), url('da')]
  const guest = createClient({ baseUrl: edgeUrl })
  const account = once(() => accountOf(env))
  const network = once(() =>
    openNetwork({ edgeUrl, rpcUrl }, option('contracts') ?? env['OPENLEDGER_CONTRACTS']),
  )
  const session = once(async () => {
    const wallet = account()
    if (!wallet)
      throw new UsageError(
        'set OPENLEDGER_API_KEY, or OPENLEDGER_WALLET_KEY to sign in with a wallet',
      )
    return logIn({ baseUrl: edgeUrl }, wallet)
  })
  const hasKey = () => Boolean(env['OPENLEDGER_API_KEY'] || account())
  const apiKey = async () => env['OPENLEDGER_API_KEY'] || (await session()).api_key
  const client = once(async () => createClient({ baseUrl: edgeUrl, apiKey: await apiKey() }))
  return {
    edgeUrl,
    rpcUrl,
    daUrl,
    guest,
    account,
    logIn: session,
    network,
    checked: async () => ({
      ...(await network()),
      daUrl,
      edgeUrl,
      ...(hasKey() && { apiKey: await apiKey() }),
    }),
    client,
    anyone: async () => (hasKey() ? client() : guest),
    wallet: async () => {
      const wallet = account()
      if (!wallet)
        throw new UsageError(
          'set OPENLEDGER_WALLET_KEY, or OPENLEDGER_WALLET_KEY_FILE to a file that only you can read',
        )
      const { viem, chain } = await network()
      return { account: wallet, chain: viem, rpcUrl, reader: chain }
    },
  }
}

async function openNetwork(
  { edgeUrl, rpcUrl }: { edgeUrl: string; rpcUrl: string },
  file: string | undefined,
): Promise<Network> {
  const { chainId, contracts: addresses } =
    file === undefined ? await askNetwork(edgeUrl) : readContracts(file)
  const viem = defineChain({
    id: chainId,
    name: 'OpenLedger',
    nativeCurrency: { name: 'OpenLedger', symbol: 'OPEN', decimals: 18 },
    rpcUrls: { default: { http: [rpcUrl] } },
  })
  const chain = createPublicClient({
    chain: viem,
    transport: http(rpcUrl),
    pollingInterval: POLL_MS,
    cacheTime: 0,
  })
  const found = await chain.getChainId()
  if (found !== chainId) throw new UsageError(`${rpcUrl} is chain ${found}, not ${chainId}`)
  return { chainId, contracts: addresses, chain, viem }
}

async function askNetwork(edgeUrl: string) {
  const { chain_id: chainId, ...rest } = await createHttp({ baseUrl: edgeUrl }).json(
    'GET',
    '/v1/network',
    networkView,
  )
  return { chainId, ...rest }
}

function readContracts(path: string) {
  try {
    return contractsFile.parse(JSON.parse(readFileSync(path, 'utf8')))
  } catch (cause) {
    throw new UsageError(`${path} is not a deployment file with chainId and contracts`, { cause })
  }
}

/** Private keys never come as arguments, which every user of the machine can read. */
function accountOf(env: Environment): PrivateKeyAccount | null {
  const path = env['OPENLEDGER_WALLET_KEY_FILE']
  const text = env['OPENLEDGER_WALLET_KEY'] ?? (path === undefined ? undefined : readSecret(path))
  if (text === undefined) return null
  const key = bytes32.safeParse(text.trim())
  if (!key.success) throw new UsageError('the wallet key is not 0x and 64 hex digits')
  return privateKeyToAccount(key.data)
}

const OTHERS = 0o077

function readSecret(path: string): string {
  const stats = statSync(path, { throwIfNoEntry: false })
  if (!stats) throw new UsageError(`OPENLEDGER_WALLET_KEY_FILE: there is no file ${path}`)
  if (stats.mode & OTHERS)
    throw new UsageError(`${path} can be read by others than its owner: chmod 600 ${path}`)
  return readFileSync(path, 'utf8')
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined
  return () => (made ??= { value: make() }).value
}
