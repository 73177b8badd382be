import { createWalletClient, encodeFunctionData, http, publicActions } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { inferenceVaultAbi } from '#contracts/inference-vault.ts'
import { modelRegistryAbi } from '#contracts/model-registry.ts'
import { canonicalJson, keccak, lowerCase, sha256Hex, type Hex } from '#protocol/bytes.ts'
import { adapterDigest } from '#protocol/model.ts'
import { PARAMETERS } from '#protocol/parameters.ts'
import { ADAPTER_FILES, type AdapterManifest, type BlobRef, type Lease } from '#protocol/wire.ts'
import type { Chain } from './chain.ts'
import { CLAUSES, contributeRecords, contributionIn, createDatanet } from './datanets.ts'
import { workerHeaders } from './gpu-worker.ts'
import { eventually, type Edge } from './harness.ts'
import type { SignedIn } from './wallet.ts'

/** Second of anvil's well-known keys: the first is the operator's, whose nonces are the chain writer's alone. */
const PAYER_KEY: Hex = '0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d'
const WAIT_MS = 60_000

export const BASE = {
  name: 'openledger-5m',
  digest: sha256Hex('the base model of tests'),
  contextLength: 512,
}
export const BASE_PRICE = 10n ** 12n
export const baseOwner = lowerCase(privateKeyToAccount(PAYER_KEY).address)

const walletOf = (chain: Chain) =>
  createWalletClient({
    account: privateKeyToAccount(PAYER_KEY),
    transport: http(chain.rpcUrl),
    cacheTime: 0,
  }).extend(publicActions)

/** Sends a transaction; returns the number of its block. */
async function send(chain: Chain, call: { to: Hex; data: Hex; value?: bigint }): Promise<bigint> {
  const wallet = walletOf(chain)
  const hash = await wallet.sendTransaction({ ...call, chain: null })
  const { status, blockNumber } = await wallet.waitForTransactionReceipt({ hash })
  if (status !== 'success') throw new Error(`transaction ${hash} reverted`)
  return blockNumber
}

/** Registers the tests' base model on chain. */
export const registerBase = (chain: Chain): Promise<bigint> =>
  send(chain, {
    to: chain.contracts.modelRegistry,
    data: encodeFunctionData({
      abi: modelRegistryAbi,
      functionName: 'registerBase',
      args: [BASE.digest, baseOwner, BASE_PRICE, keccak('manifest of the base')],
    }),
    value: PARAMETERS['fee.model'].value,
  })

/** Prepays an account's inference; resolves when the deposit is in the newest block, and counts a bit later. */
export const deposit = (chain: Chain, account: Hex, value: bigint): Promise<bigint> =>
  send(chain, {
    to: chain.contracts.inferenceVault,
    data: encodeFunctionData({ abi: inferenceVaultAbi, functionName: 'deposit', args: [account] }),
    value,
  })

/** Prepays an account's inference; resolves when the deposit is in a safe block, which is when it counts. */
export async function prepay(chain: Chain, account: Hex, value: bigint): Promise<void> {
  const block = await deposit(chain, account, value)
  await eventually(async () => {
    const { number } = await walletOf(chain).getBlock({ blockTag: 'safe' })
    return number >= block
  })
}

export type PublishedVersion = { id: string; version: number; root: Hex; manifest: Hex }

/** A Datanet of an owner with version 1, to which each contributor gave some clauses. */
export async function publishDatanet(
  edge: Edge,
  owner: SignedIn,
  contributors: readonly SignedIn[],
): Promise<PublishedVersion> {
  const id = await createDatanet(edge, owner)
  for (const [i, contributor] of contributors.entries()) {
    const clauses = CLAUSES.filter((_, clause) => clause % contributors.length === i)
    const { id: contribution } = await contributeRecords(edge, contributor, id, clauses)
    await contributionIn(edge, contributor, contribution, ['anchored'])
  }
  const started = await edge.fetch(`/v1/datanets/${id}/versions`, {
    method: 'POST',
    headers: owner.headers,
  })
  if (!started.ok) throw new Error(await started.text())
  return eventually(async () => {
    const response = await edge.fetch(`/v1/datanets/${id}/versions/1`)
    const version = (await response.json()) as { status: string; root: Hex; manifest: Hex }
    if (version.status === 'failed') throw new Error(JSON.stringify(version))
    return (
      version.status === 'published' && {
        id,
        version: 1,
        root: version.root,
        manifest: version.manifest,
      }
    )
  }, WAIT_MS)
}

/** Asks for a job; the response as it is. */
export const postJob = (
  edge: Edge,
  owner: SignedIn,
  body: Record<string, unknown>,
): Promise<Response> =>
  edge.fetch('/v1/fine_tuning/jobs', {
    method: 'POST',
    headers: owner.headers,
    body: JSON.stringify({ model: BASE.name, ...body }),
  })

/** What a gpu-worker says to the edge; the response as it is. */
export const asWorker = (edge: Edge, path: string, body: unknown = {}): Promise<Response> =>
  edge.fetch(path, { method: 'POST', headers: workerHeaders, body: JSON.stringify(body) })

/** A lease, or null when there is no job. */
export async function takeLease(edge: Edge, workerId: string): Promise<Lease | null> {
  const response = await asWorker(edge, `/v1/workers/${workerId}/leases`)
  if (response.status === 204) return null
  if (!response.ok) throw new Error(await response.text())
  return (await response.json()) as Lease
}

/** Stores bytes as a gpu-worker does. */
export async function putBlob(edge: Edge, bytes: string): Promise<BlobRef> {
  const sha256 = sha256Hex(bytes)
  const response = await edge.fetch(`/v1/blobs/${sha256}`, {
    method: 'PUT',
    headers: { ...workerHeaders, 'content-type': 'application/octet-stream' },
    body: bytes,
  })
  if (!response.ok) throw new Error(await response.text())
  return { sha256, bytes: new TextEncoder().encode(bytes).length }
}

/** The manifest of a job's adapter whose files are in the store; their content depends on the job alone. */
export async function makeAdapter(
  edge: Edge,
  { job }: Pick<Lease, 'job'>,
): Promise<AdapterManifest> {
  const config = canonicalJson({ peft_type: 'LORA', r: job.method.rank, seed: job.method.seed })
  const weights = `weights of ${canonicalJson({ datanets: job.datanets, method: job.method })}`
  const contents = ADAPTER_FILES.map((name) =>
    name === 'adapter_config.json'
      ? config
      : name === 'adapter_model.safetensors'
        ? weights
        : `${name} of ${weights}`,
  )
  const refs = await Promise.all(contents.map((content) => putBlob(edge, content)))
  const digest = adapterDigest({
    weights: sha256Hex(weights),
    config: sha256Hex(config),
    base: job.base.digest,
  })
  return {
    format: 'openledger-adapter-1',
    digest,
    base: job.base,
    owner: job.owner,
    slug: job.slug,
    jobId: job.jobId,
    datanets: job.datanets,
    indexRoot: keccak(`index of ${weights}`),
    files: Object.fromEntries(
      ADAPTER_FILES.map((name, i) => [name, refs[i]]),
    ) as AdapterManifest['files'],
    training: { steps: 10, tokens: 1_234, initialValidationLoss: 3, validationLoss: 2 },
  }
}

/** Hands a manifest in under a lease; the response as it is. */
export async function complete(
  edge: Edge,
  leaseId: string,
  manifest: AdapterManifest,
): Promise<Response> {
  const ref = await putBlob(edge, canonicalJson(manifest))
  return asWorker(edge, `/v1/leases/${leaseId}/complete`, { manifest: ref })
}

export type JobView = {
  id: string
  status: string
  fine_tuned_model: string | null
  trained_tokens: number | null
  error: { code: string; message: string } | null
  openledger: { adapter_digest: Hex | null; attempts: number; phase: string | null }
}

export async function readJob(edge: Edge, owner: SignedIn, id: string): Promise<JobView> {
  const response = await edge.fetch(`/v1/fine_tuning/jobs/${id}`, { headers: owner.headers })
  if (!response.ok) throw new Error(await response.text())
  return (await response.json()) as JobView
}

/** Waits until a job has ended. */
export const jobEnded = (edge: Edge, owner: SignedIn, id: string): Promise<JobView> =>
  eventually(async () => {
    const job = await readJob(edge, owner, id)
    return ['succeeded', 'failed', 'cancelled'].includes(job.status) && job
  }, WAIT_MS)
