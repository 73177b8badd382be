import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Abi, ContractFunctionArgs } from 'viem'
import { datanetRegistryAbi } from '#contracts/datanet-registry.ts'
import { modelRegistryAbi } from '#contracts/model-registry.ts'
import { keccak, type Hex } from '#protocol/bytes.ts'
import type { KeptTexts } from '#protocol/generation.ts'
import { PARAMETERS } from '#protocol/parameters.ts'
import type { RevocationLog } from '#protocol/revocations.ts'
import type { Contracts } from '../../contracts/script/deploy.ts'
import type { SyntheticAdapter } from './synthetic.ts'

/** Address, ABI, function, arguments and wei of a transaction. */
export type Transaction = [Hex, Abi, string, ContractFunctionArgs<Abi>, bigint?]

const fee = (name: 'fee.datanet' | 'fee.model' | 'bond.contribution'): bigint =>
  PARAMETERS[name].value

/** A Datanet with one version, the base and the adapter, on chain. */
export async function register(
  { datanetRegistry, modelRegistry }: Contracts,
  adapter: SyntheticAdapter,
  {
    contributor,
    pricePerToken,
    write,
  }: {
    contributor: Hex
    pricePerToken: bigint
    write: (...call: Transaction) => Promise<unknown>
  },
): Promise<void> {
  const datanet = keccak(adapter.datanet.id)
  const { root } = adapter.datanet
  const count = adapter.leaves.length
  const batch = [datanet, keccak('ctr_1'), root, count, contributor, keccak('pipeline')]
  await write(
    datanetRegistry,
    datanetRegistryAbi,
    'createDatanet',
    [datanet, contributor, keccak('metadata'), keccak('CC0-1.0'), 0],
    fee('fee.datanet'),
  )
  await write(datanetRegistry, datanetRegistryAbi, 'anchorBatch', batch, fee('bond.contribution'))
  await write(datanetRegistry, datanetRegistryAbi, 'publishVersion', [
    datanet,
    1,
    root,
    keccak('manifest'),
    count,
  ])
  await write(
    modelRegistry,
    modelRegistryAbi,
    'registerBase',
    [adapter.base, adapter.owner, pricePerToken, keccak('manifest')],
    fee('fee.model'),
  )
  await write(
    modelRegistry,
    modelRegistryAbi,
    'registerAdapter',
    [
      {
        digest: adapter.digest,
        base: adapter.base,
        indexRoot: adapter.indexRoot,
        manifestHash: adapter.manifestHash,
        owner: adapter.owner,
        pricePerToken,
        datanetRoots: [root],
      },
    ],
    fee('fee.model'),
  )
}

/** What an edge publishes for validators. */
export async function publish(
  adapter: SyntheticAdapter,
  {
    texts,
    revocations,
    apiKey,
  }: { texts: ReadonlyMap<Hex, KeptTexts>; revocations: RevocationLog; apiKey: string },
): Promise<{ url: string; server: Server }> {
  const answer = (
    { pathname, searchParams }: URL,
    authorization: string | undefined,
  ): Uint8Array | object | null => {
    const [, , kind, id, what, last] = pathname.split('/')
    if (kind === 'revocations')
      return {
        data: revocations.entries.slice(Number(searchParams.get('after'))),
        has_more: false,
      }
    if (kind === 'adapters' && id === adapter.digest && what === 'files')
      return adapter.files.get(last as Hex) ?? null
    if (kind === 'datanets' && id === adapter.datanet.id)
      return { data: adapter.leaves, has_more: false, last_id: null }
    if (kind === 'receipts' && what === 'texts' && authorization === `Bearer ${apiKey}`) {
      const kept = texts.get(`0x${id?.slice(4)}`)
      return kept ? { id, ...kept } : null
    }
    return null
  }
  const server = createServer((request, response) => {
    const found = answer(new URL(request.url ?? '/', 'http://edge'), request.headers.authorization)
    response.writeHead(found ? 200 : 404)
    response.end(found instanceof Uint8Array ? found : JSON.stringify(found))
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server }
}
