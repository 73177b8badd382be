import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { curationAbi } from '#contracts/curation.ts'
import { parametersAbi } from '#contracts/parameters.ts'
import { LEAF_TYPES, leafHash, merkleTree, orderedTree, type LeafKind } from '#protocol/merkle.ts'
import { listHash, openReceipt, openRow } from '#protocol/opening.ts'
import { nextPenalty, VERDICT, voteCommitment } from '#protocol/curation.ts'
import { defaultParameters, parameterKey, paramsHash, PPM } from '#protocol/parameters.ts'
import { receiptHash } from '#protocol/receipt.ts'
import { deployContracts, type Contracts } from '../script/deploy.ts'
import { root } from '../script/foundry.ts'
import { CHAIN_ID, devAccount, startAnvil } from './anvil.ts'
import { deployVectors, randomReceipt, Values, type Vectors } from './vectors.ts'

const governor = devAccount(0)

describe('TypeScript and Solidity agree', () => {
  let chain: Awaited<ReturnType<typeof startAnvil>>
  let contracts: Contracts
  let vectors: Vectors

  before(async () => {
    chain = await startAnvil()
    contracts = await deployContracts({
      rpcUrl: chain.rpcUrl,
      chainId: CHAIN_ID,
      deployerKey: governor.key,
      operator: devAccount(1).address,
      submitter: devAccount(2).address,
      handOver: false,
      quickParameters: true,
    })
    vectors = await deployVectors(chain)
  })
  after(() => chain.stop())

  const ask: Vectors['ask'] = (functionName, args) => vectors.ask(functionName, args)

  test('on the interface: committed ABIs and bytecode are what the contracts compile to', () => {
    const script = join(root, 'contracts/script/generate-abi.ts')
    const checked = spawnSync(process.execPath, [script, '--check'], { encoding: 'utf8' })
    assert.equal(checked.status, 0, checked.stderr)
  })

  for (const kind of Object.keys(LEAF_TYPES) as LeafKind[])
    test(`on leaves of kind ${kind}`, async () => {
      const values = new Values(kind)
      for (let i = 0; i < 12; i++) {
        const columns = LEAF_TYPES[kind].map((type) => values.of(type))
        assert.equal(await ask(kind, columns), leafHash(kind, columns))
      }
    })

  test('on proofs: every leaf of a payouts tree verifies on chain, and no other amount does', async () => {
    const values = new Values('proofs')
    for (const size of [1, 2, 3, 6, 33]) {
      const payouts = Array.from({ length: size }, () => [values.address(), values.uint(256)])
      const leaves = payouts.map((payout) => leafHash('payout', payout))
      const tree = merkleTree(leaves)
      for (const [i, leaf] of leaves.entries()) {
        const proof = tree.proof(leaf)
        assert.equal(await ask('verify', [proof, tree.root, leaf]), true)
        const other = leafHash('payout', [payouts[i]![0], (payouts[i]![1] as bigint) ^ 1n])
        assert.equal(await ask('verify', [proof, tree.root, other]), false)
      }
      const ordered = orderedTree(leaves)
      for (const [i, leaf] of leaves.entries()) {
        const at = (index: number, proof = ordered.proof(i)) =>
          ask('verifyOrdered', [proof, ordered.root, leaf, index, size])
        assert.equal(await at(i), true)
        for (const wrong of [(i + 1) % size, size + i])
          if (wrong !== i) assert.ok(!(await at(wrong)))
        assert.equal(await at(i, [...ordered.proof(i), leaf]), false)
        if (size > 1) assert.equal(await at(i, ordered.proof(i).slice(1)), false)
      }
    }
  })

  test('on the EIP-712 hash of a receipt, in the domain that the settlement contract publishes', async () => {
    const settlement = contracts.attributionSettlement
    const values = new Values('receipts')
    const receipts = Array.from({ length: 24 }, () => randomReceipt(values))
    assert.ok(receipts.some((receipt) => receipt.rows.some((row) => row.spans.length > 1)))
    assert.ok(receipts.some((receipt) => receipt.rows.length === 0))
    assert.ok(receipts.some((receipt) => receipt.citations.length > 1))
    for (const receipt of receipts) {
      const head = openReceipt(receipt)
      assert.equal(
        await ask('receiptHash', [settlement, head]),
        receiptHash(receipt, { chainId: CHAIN_ID, settlement }),
      )
      assert.equal(await ask('rowsHash', [receipt.rows.map(openRow)]), head.rowsHash)
      assert.equal(await ask('citationsHash', [receipt.citations]), head.citationsHash)
      assert.equal(await ask('listHash', [receipt.datanets]), listHash(receipt.datanets))
      for (const row of receipt.rows)
        assert.equal(await ask('spansHash', [row.spans]), openRow(row).spansHash)
    }
  })

  test('on the hash of the governed numbers, before and after a change', async () => {
    const parameters = { address: contracts.parameters, abi: parametersAbi } as const
    const onChain = () => chain.client.readContract({ ...parameters, functionName: 'paramsHash' })
    assert.equal(await onChain(), paramsHash(defaultParameters()))
    const hash = await chain.client.writeContract({
      ...parameters,
      functionName: 'set',
      args: [parameterKey('attribution.topK'), 20n],
      account: governor.account,
      chain: null,
    })
    await chain.client.waitForTransactionReceipt({ hash })
    assert.equal(await onChain(), paramsHash({ ...defaultParameters(), 'attribution.topK': 20n }))
  })

  test('on penalties', async () => {
    const values = new Values('penalties')
    for (let i = 0; i < 40; i++) {
      const [penalty, outcome, weight] = [0, 1, 2].map(() => values.uint(64) % (PPM + 1n))
      assert.equal(
        await ask('nextPenalty', [penalty, outcome, weight]),
        nextPenalty(penalty!, outcome!, weight!),
      )
    }
  })

  test('on what a reviewer commits', async () => {
    const values = new Values('votes')
    const { curation } = contracts
    const vote = {
      chainId: CHAIN_ID,
      curation,
      caseId: values.uint(256),
      round: 2,
      reviewer: values.address(),
      verdict: VERDICT.dismiss,
      evidence: values.hash(),
      salt: values.hash(),
    }
    const { caseId, round, reviewer, verdict, evidence, salt } = vote
    const onChain = await chain.client.readContract({
      address: curation,
      abi: curationAbi,
      functionName: 'commitmentOf',
      args: [caseId, round, reviewer, verdict, evidence, salt],
    })
    assert.equal(onChain, voteCommitment(vote))
  })

  test('on the settlement contract of a receipt domain', async () => {
    const [, name, version, chainId, verifyingContract] = await chain.client.readContract({
      address: contracts.attributionSettlement,
      abi: attributionSettlementAbi,
      functionName: 'eip712Domain',
    })
    assert.deepEqual(
      [name, version, chainId, verifyingContract.toLowerCase()],
      ['OpenLedger', '1', BigInt(CHAIN_ID), contracts.attributionSettlement],
    )
  })
})
