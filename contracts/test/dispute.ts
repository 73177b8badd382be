import assert from 'node:assert/strict'
import { parseEther, type Abi } from 'viem'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { keccak, toHex, type Hex } from '#protocol/bytes.ts'
import type { Call } from '#protocol/challenge.ts'
import { buildEpoch, type EpochFile } from '#protocol/epoch.ts'
import { creditsTree, payoutsTree, receiptsTree } from '#protocol/ledgers.ts'
import { influenceRowLeaf, type InfluenceRow } from '#protocol/influence-row.ts'
import { merkleTree } from '#protocol/merkle.ts'
import {
  type ParameterName,
  defaultParameters,
  parameterKey,
  paramsHash,
} from '#protocol/parameters.ts'
import { encodeQuery, receiptTypedData, type Receipt, type ReceiptRow } from '#protocol/receipt.ts'
import {
  allocate,
  citationAmounts,
  dotInt8,
  METHOD_VERSION,
  relativeScore,
  shortlist,
  significance,
  splitFee,
} from '#protocol/score.ts'
import { tokensRoot } from '#protocol/tokens.ts'
import { ABIS } from '../script/create.ts'
import { deployContracts, type Contracts } from '../script/deploy.ts'
import { CHAIN_ID, devAccount, startAnvil } from './anvil.ts'
import { Values } from './vectors.ts'

/** Enough for any call: an estimate would be of a moment before. */
const GAS_LIMIT = 20_000_000n

/** Honest answers of an honest index, on a chain of their own: what dishonest ones are made from. */

export const [governor, operator, worker, payer, challenger, validator] = [0, 1, 2, 3, 4, 5].map(
  devAccount,
) as [Account, Account, Account, Account, Account, Account]
export type Account = ReturnType<typeof devAccount>

export const values = {
  ...defaultParameters(),
  'settlement.window': 1_000n,
}
export const VERSION = keccak('version')
const MODEL_OWNER: Hex = `0x${'0d'.repeat(20)}`
export const contributor = (i: number): Hex =>
  `0x${(0xc0ffee00 + i).toString(16).padStart(40, '0')}`

/** An index of random rows, a query, and the answer's tokens, which repeat row 0's from token 40 on. */
export type World = {
  rows: InfluenceRow[]
  vectors: Int8Array[]
  query: Int8Array
  texts: number[][]
  answer: number[]
  root: Hex
}

export function makeWorld(count: number, dims: number): World {
  const random = new Values(`world ${count} ${dims}`)
  const byte = () => Math.max(-127, Math.min(127, Number(random.int(8))))
  const query = Int8Array.from({ length: dims }, byte)
  const vectors = Array.from({ length: count }, (_, i) =>
    // The first half leans toward the query, the more the earlier.
    Int8Array.from(
      query,
      (x) => (i < count / 2 ? Math.round((x * (count - i)) / count / 2) : 0) + (byte() >> 1),
    ),
  )
  const texts = Array.from({ length: count }, () =>
    Array.from({ length: 100 }, () => Number(random.uint(12))),
  )
  const answer = [
    ...Array.from({ length: 10 }, () => Number(random.uint(12))),
    ...texts[0]!.slice(40, 60),
  ]
  const rows = vectors.map((vector, i): InfluenceRow => ({
    record: keccak(`record ${i}`),
    cluster: keccak(`cluster ${i}`),
    contributor: contributor(i % 7),
    vectorHash: keccak(new Uint8Array(vector)),
    exponent: -3,
    nullMean: -500n,
    nullDeviation: 9_000n,
    self: BigInt(dotInt8(vector, vector)),
    tokensRoot: tokensRoot(texts[i]!),
    tokens: texts[i]!.length,
  }))
  return { rows, vectors, query, texts, answer, root: merkleTree(rows.map(influenceRowLeaf)).root }
}

/** The true scores of a row. */
export function scoreOf({ rows, vectors, query }: World, i: number) {
  const { self, nullMean, nullDeviation } = rows[i]!
  const dot = BigInt(dotInt8(vectors[i]!, query))
  const relative = relativeScore(dot, self, BigInt(dotInt8(query, query)))
  return {
    influence: relative - nullMean,
    significance: significance(relative, { mean: nullMean, deviation: nullDeviation }),
  }
}

/** A fair receipt of the world, all of whose parts follow from each other; `change` makes it another before that. */
export function fairReceipt(
  world: World,
  id: string,
  change: { skip?: number[]; of?: Hex; fee?: bigint; cited?: number } = {},
): Receipt {
  const fee = change.fee ?? 10n ** 15n + 7n
  const cited = change.cited ?? 3
  const { contributors, ...split } = splitFee(fee, values, cited)
  const amounts = citationAmounts(split.retrieval, cited)
  const candidates = world.rows.flatMap(({ record, cluster, contributor: by }, i) =>
    change.skip?.includes(i)
      ? []
      : [{ record, cluster, contributor: by, ...scoreOf(world, i), text: i === 0 ? 90_000n : 0n }],
  )
  const information = { covered: 90_000n, total: 150_000n }
  const { rows, floor } = shortlist(candidates, values)
  const fair = allocate(contributors, rows, information, values)
  const spans = [{ outputStart: 10, recordStart: 40, length: 20 }]
  return {
    requestId: keccak(id),
    payer: change.of ?? payer.address,
    base: keccak('base'),
    adapter: keccak('adapter'),
    indexRoot: world.root,
    datanets: [VERSION],
    paramsHash: paramsHash(values),
    methodVersion: METHOD_VERSION,
    promptHash: keccak('prompt'),
    outputHash: keccak('output'),
    outputRoot: tokensRoot(world.answer),
    outputTokens: world.answer.length,
    queryHash: keccak(new Uint8Array(world.query)),
    promptTokens: 10,
    completionTokens: world.answer.length,
    fee,
    ...split,
    modelOwner: MODEL_OWNER,
    ...information,
    floor,
    rows: fair.rows.map(({ weight: _weight, ...row }): ReceiptRow => ({
      ...row,
      spans: row.text > 0n ? spans : [],
    })),
    unattributed: fair.unattributed,
    citations: amounts.map((amount, i) => ({
      cluster: keccak(`cited cluster ${i}`),
      record: keccak(`cited record ${i}`),
      contributor: contributor(i + 5),
      datanet: VERSION,
      amount,
    })),
    stored: true,
    worker: worker.address,
    time: 1_800_000_000n,
  }
}

export type Dispute = Awaited<ReturnType<typeof startDispute>>

/** A chain with the contracts, a payer with funds, and the shortest ways to use them. */
export async function startDispute() {
  const chain = await startAnvil()
  const contracts: Contracts = await deployContracts({
    rpcUrl: chain.rpcUrl,
    chainId: CHAIN_ID,
    deployerKey: governor.key,
    operator: operator.address,
    submitter: operator.address,
    parameters: values,
    handOver: false,
    quickParameters: true,
  })
  const settlement = contracts.attributionSettlement
  const { client } = chain

  /** Sends a transaction; resolves to its gas. Throws the decoded reason of a revert. */
  async function send(
    from: Account,
    contract: keyof Contracts,
    functionName: string,
    args: readonly unknown[],
    value = 0n,
  ): Promise<bigint> {
    const call = { address: contracts[contract], abi: ABIS[contract] as Abi, functionName, args }
    const { request } = await client.simulateContract({ ...call, account: from.account, value })
    const hash = await client.writeContract({ ...request, gas: GAS_LIMIT })
    const { status, gasUsed } = await client.waitForTransactionReceipt({ hash })
    assert.equal(status, 'success')
    return gasUsed
  }
  /** Sends a challenge, as it was built. */
  const challenge = ({ contract, functionName, args, value }: Call): Promise<bigint> =>
    send(challenger, contract, functionName, args, value)
  const read = (contract: keyof Contracts, functionName: string, args: readonly unknown[] = []) =>
    client.readContract({
      address: contracts[contract],
      abi: ABIS[contract] as Abi,
      functionName,
      args,
    })

  await send(payer, 'inferenceVault', 'deposit', [payer.address], parseEther('10'))
  await send(payer, 'inferenceVault', 'deposit', [challenger.address], parseEther('10'))

  /** `query` is what all receipts publish as theirs. */
  const build = (
    receipts: Receipt[],
    previous: EpochFile | null = null,
    query: Int8Array = new Int8Array(),
  ): EpochFile =>
    buildEpoch(new Map(previous?.payouts.map(({ account, amount }) => [account, amount])), {
      chainId: CHAIN_ID,
      settlement,
      epoch: (previous?.epoch ?? 0) + 1,
      treasuries: { platform: contracts.openTimelock, stakers: contracts.validatorStaking },
      receipts: receipts.map((receipt) => ({
        receipt,
        signature: '0x',
        query: encodeQuery(query),
      })),
      presence: [...new Set([VERSION, ...receipts.flatMap(({ datanets }) => datanets)])].map(
        (root) => ({ root, clusters: [{ contributor: contributor(50), count: 1 }] }),
      ),
    })

  /** Submits an epoch whose parts may come from different files. */
  function submit(
    file: EpochFile,
    parts: {
      credits?: EpochFile
      payouts?: EpochFile
      draws?: EpochFile['draws']
    } = {},
  ) {
    const receipts = receiptsTree(file)
    const credits = creditsTree(parts.credits ?? file)
    const payouts = payoutsTree(parts.payouts ?? file)
    const draws = parts.draws ?? file.draws
    const submission = {
      epoch: BigInt(file.epoch),
      receiptsRoot: receipts.root,
      creditsRoot: credits.root,
      payoutsRoot: payouts.root,
      receipts: receipts.leaves.length,
      credits: credits.leaves.length,
      payouts: payouts.leaves.length,
      total: draws.reduce((sum, draw) => sum + draw.amount, 0n),
      dataHash: keccak(`file ${Math.random()}`),
      commitment: '0x01',
      paramsHash: paramsHash(values),
    }
    return send(operator, 'attributionSettlement', 'submitEpoch', [submission, draws])
  }

  const sign = (receipt: Receipt): Promise<Hex> =>
    worker.account.signTypedData(receiptTypedData(receipt, { chainId: CHAIN_ID, settlement }))

  /** Runs work, then takes the chain back to where it was. */
  async function aside<T>(work: () => Promise<T>): Promise<T> {
    const id = await client.snapshot()
    try {
      return await work()
    } finally {
      await client.revert({ id })
    }
  }

  /** What is true after a challenge has succeeded: the epoch is gone, the bond is halved out. */
  async function assertSlashed(epoch: number, by: Account = challenger) {
    const status = await client.readContract({
      address: settlement,
      abi: attributionSettlementAbi,
      functionName: 'statusOf',
      args: [BigInt(epoch)],
    })
    assert.equal(status, 3, 'disabled')
    const { bond } = (await read('attributionSettlement', 'submitterOf', [operator.address])) as {
      bond: bigint
    }
    assert.equal(bond, 0n)
    const half = values['settlement.bond'] / 2n
    assert.equal(await read('attributionSettlement', 'owed', [by.address]), half)
    assert.equal(await read('attributionSettlement', 'owed', [contracts.openTimelock]), half)
  }

  const govern = (name: ParameterName, value: bigint) =>
    send(governor, 'parameters', 'set', [parameterKey(name), value])

  return {
    ...chain,
    govern,
    contracts,
    send,
    challenge,
    read,
    build,
    submit,
    sign,
    aside,
    assertSlashed,
  }
}

export const bytesOf = (vector: Int8Array): Hex => toHex(new Uint8Array(vector))
