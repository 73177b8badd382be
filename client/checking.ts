import type { PublicClient } from 'viem'
import {
  openChainFacts,
  type ChainAddresses,
  type ChainFacts,
} from '#gpu-worker/validator/chain-facts.ts'
import { openPublishedFiles, type PublishedFiles } from '#gpu-worker/validator/published-files.ts'
import {
  openValidator,
  type Validator,
  type ValidatorOptions,
} from '#gpu-worker/validator/validator.ts'
import type { ReExecution } from '#gpu-worker/validator/re-execute.ts'
import type { Hex } from '#protocol/bytes.ts'
import { ID_PREFIX } from '#protocol/ids.ts'
import type { KeptTexts } from '#protocol/generation.ts'
import { ApiError, createClient, type Client } from './openledger.ts'

/** Where what is to be checked stands. */
export type Checked = {
  chain: PublicClient
  chainId: number
  contracts: ChainAddresses
  daUrl: string
  edgeUrl: string
  /** Of the payer or of a validator, who may read texts; without one they are not asked for. */
  apiKey?: string | undefined
}

export type CheckingOptions = Pick<ValidatorOptions, 'sample' | 'onProgress'> & {
  /** Directory of the base model with which gradients are computed again. */
  modelDir?: string | undefined
}

export type Checking = {
  facts: ChainFacts
  files: PublishedFiles
  validator: Validator
  release: () => Promise<void>
}

/** Everything that checks receipts and epochs, believing neither the edge nor the worker. */
export function openChecking(
  { chain, chainId, contracts, daUrl, edgeUrl, apiKey }: Checked,
  { modelDir, ...options }: CheckingOptions = {},
): Checking {
  const facts = openChainFacts(chain, contracts)
  const files = openPublishedFiles({ daUrl, edgeUrl, ...(apiKey && { apiKey }) })
  const reExecution = modelDir === undefined ? null : modelIn(modelDir, files)
  const client = apiKey ? createClient({ baseUrl: edgeUrl, apiKey }) : null
  return {
    facts,
    files,
    validator: openValidator({
      facts,
      files,
      domain: { chainId, settlement: contracts.attributionSettlement },
      ...(client && { texts: (requestId: Hex) => textsOf(client, requestId) }),
      ...(reExecution && { reExecution }),
      ...options,
    }),
    release: async () => reExecution?.release(),
  }
}

/** The engine and the model are loaded when the first gradient is asked for. */
function modelIn(directory: string, files: PublishedFiles): ReExecution {
  let opened: Promise<ReExecution> | null = null
  const open = async (): Promise<ReExecution> => {
    const { openReExecution } = await import('#gpu-worker/validator/re-execute.ts')
    const { loadBaseModel } = await import('#gpu-worker/base-model.ts')
    return openReExecution({ base: await loadBaseModel(directory), files, session: {} })
  }
  return {
    run: async (...args) => (await (opened ??= open())).run(...args),
    release: async () => (await opened)?.release(),
  }
}

const TEXTS_TIMEOUT_MS = 60_000

/** Null when the texts are not for us, were not kept, or are erased. */
async function textsOf(client: Client, requestId: Hex): Promise<KeptTexts | null> {
  try {
    const signal = AbortSignal.timeout(TEXTS_TIMEOUT_MS)
    return await client.texts(ID_PREFIX.receipt + requestId.slice(2), signal)
  } catch (error) {
    if (error instanceof ApiError && [403, 404, 410].includes(error.status)) return null
    throw error
  }
}
