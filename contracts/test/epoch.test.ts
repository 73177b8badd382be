import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { parseEther, type Abi, type ContractFunctionArgs } from 'viem'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { datanetRegistryAbi } from '#contracts/datanet-registry.ts'
import { inferenceVaultAbi } from '#contracts/inference-vault.ts'
import { modelRegistryAbi } from '#contracts/model-registry.ts'
import { keccak, ZERO_HASH, type Hex } from '#protocol/bytes.ts'
import { buildEpoch, type EpochFile } from '#protocol/epoch.ts'
import { epochRoots, payoutsTree } from '#protocol/ledgers.ts'
import { leafHash, merkleTree } from '#protocol/merkle.ts'
import { defaultParameters, PARAMETERS, paramsHash } from '#protocol/parameters.ts'
import { receiptTypedData, type Receipt } from '#protocol/receipt.ts'
import { METHOD_VERSION } from '#protocol/score.ts'
import { deployContracts, type Contracts } from '../script/deploy.ts'
import { CHAIN_ID, devAccount, startAnvil } from './anvil.ts'

const [governor, operator, worker, payer] = [0, 1, 2, 3].map(devAccount) as Account[]
type Account = ReturnType<typeof devAccount>
const contributor = (i: number): Hex => `0x${(0xc0ffee00 + i).toString(16).padStart(40, '0')}`
const treasuries = { platform: contributor(100), stakers: contributor(101) }
const modelOwner = contributor(102)

describe('epochs built by protocol/epoch.ts', () => {
  let chain: Awaited<ReturnType<typeof startAnvil>>
  let contracts: Contracts
  const version = merkleTree(
    [1, 2, 3].map((i) => leafHash('record', [keccak(`r${i}`), keccak(`c${i}`), contributor(i)])),
  ).root
  const epochs: EpochFile[] = []

  before(async () => {
    chain = await startAnvil()
    contracts = await deployContracts({
      rpcUrl: chain.rpcUrl,
      chainId: CHAIN_ID,
      deployerKey: governor!.key,
      operator: operator!.address,
      submitter: operator!.address,
    })
  })
  after(() => chain.stop())

  /** Sends a transaction and waits for it; throws the decoded reason of a revert. */
  async function write(
    from: Account,
    address: Hex,
    abi: Abi,
    functionName: string,
    args: ContractFunctionArgs<Abi>,
    value = 0n,
  ) {
    const { request } = await chain.client.simulateContract({
      account: from.account,
      address,
      abi,
      functionName,
      args,
      value,
    })
    const hash = await chain.client.writeContract(request)
    const { status } = await chain.client.waitForTransactionReceipt({ hash })
    assert.equal(status, 'success')
  }

  async function receiptOf(id: string, fee: bigint): Promise<Receipt> {
    const part = fee / 10n
    const rows = [1, 2].map((i) => ({
      cluster: keccak(`c${i}`),
      record: keccak(`r${i}`),
      contributor: contributor(i),
      influence: 1_000n,
      significance: 3_000n,
      text: 0n,
      spans: [],
      amount: part * BigInt(i),
    }))
    const sum = part + 2n * part + 2n * part + 3n * part
    return {
      requestId: keccak(id),
      payer: payer!.address,
      base: keccak('base'),
      adapter: keccak('adapter'),
      indexRoot: keccak('index'),
      datanets: [version],
      paramsHash: paramsHash(defaultParameters()),
      methodVersion: METHOD_VERSION,
      promptHash: keccak('prompt'),
      outputHash: keccak('output'),
      outputRoot: keccak('tokens'),
      outputTokens: 20,
      queryHash: keccak('query'),
      promptTokens: 10,
      completionTokens: 20,
      fee,
      platform: part,
      model: 2n * part,
      stakers: 2n * part,
      retrieval: 0n,
      modelOwner,
      covered: 0n,
      total: 1_000n,
      floor: 0n,
      rows,
      unattributed: fee - sum,
      citations: [],
      stored: false,
      worker: worker!.address,
      time: 1_800_000_000n,
    }
  }

  async function submit(fees: bigint[]): Promise<EpochFile> {
    const settlement = contracts.attributionSettlement
    const number = epochs.length + 1
    const receipts = await Promise.all(
      fees.map(async (fee, i) => {
        const receipt = await receiptOf(`${number}/${i}`, fee)
        const typed = receiptTypedData(receipt, { chainId: CHAIN_ID, settlement })
        return { receipt, signature: await worker!.account.signTypedData(typed), query: '' }
      }),
    )
    const previous = new Map(epochs.at(-1)?.payouts.map(({ account, amount }) => [account, amount]))
    const clusters = [1, 2, 3].map((i) => ({ contributor: contributor(i), count: i }))
    const file = buildEpoch(previous, {
      chainId: CHAIN_ID,
      settlement,
      epoch: number,
      treasuries,
      receipts,
      presence: [{ root: version, clusters }],
    })
    const roots = epochRoots(file)
    const submission = {
      epoch: BigInt(number),
      ...roots,
      dataHash: keccak('the manifest'),
      commitment: '0x010003c0ffee',
      paramsHash: paramsHash(defaultParameters()),
    }
    await write(operator!, settlement, attributionSettlementAbi, 'submitEpoch', [
      submission,
      file.draws,
    ])
    epochs.push(file)
    return file
  }

  const claim = (file: EpochFile, account: Hex) => {
    const index = file.payouts.findIndex((payout) => payout.account === account)
    const { amount } = file.payouts[index]!
    return write(governor!, contracts.attributionSettlement, attributionSettlementAbi, 'claim', [
      account,
      amount,
      BigInt(file.epoch),
      BigInt(index),
      payoutsTree(file).proof(index),
    ])
  }

  const wait = async (name: 'settlement.window' | 'vault.withdrawDelay') => {
    await chain.client.increaseTime({ seconds: Number(PARAMETERS[name].value) })
    await chain.client.mine({ blocks: 1 })
  }

  test('a Datanet, its version, a base and an adapter are registered for the default fees', async () => {
    const { datanetRegistry, modelRegistry } = contracts
    const datanet = keccak('dn_1')
    const fee = PARAMETERS['fee.datanet'].value
    const created = [datanet, contributor(1), keccak('metadata'), keccak('CC-BY-4.0'), 0]
    await write(operator!, datanetRegistry, datanetRegistryAbi, 'createDatanet', created, fee)
    const batch = [datanet, keccak('ctr_1'), version, 3, contributor(1), keccak('pipeline')]
    const bond = PARAMETERS['bond.contribution'].value
    await write(operator!, datanetRegistry, datanetRegistryAbi, 'anchorBatch', batch, bond)
    const published = [datanet, 1, version, keccak('manifest'), 3]
    await write(operator!, datanetRegistry, datanetRegistryAbi, 'publishVersion', published)
    const modelFee = PARAMETERS['fee.model'].value
    const base = [keccak('base'), modelOwner, 10n ** 12n, keccak('manifest')]
    await write(operator!, modelRegistry, modelRegistryAbi, 'registerBase', base, modelFee)
    const adapter = {
      digest: keccak('adapter'),
      base: keccak('base'),
      indexRoot: keccak('index'),
      manifestHash: keccak('manifest'),
      owner: modelOwner,
      pricePerToken: 10n ** 12n,
      datanetRoots: [version],
    }
    await write(operator!, modelRegistry, modelRegistryAbi, 'registerAdapter', [adapter], modelFee)
    const registered = await chain.client.readContract({
      address: modelRegistry,
      abi: modelRegistryAbi,
      functionName: 'adapterOf',
      args: [keccak('adapter')],
    })
    assert.deepEqual(registered.datanetRoots, [version])
    assert.equal(registered.pricePerToken, 10n ** 12n)
  })

  test('pay every account exactly its share, over two epochs, and leave the bond alone', async () => {
    const { inferenceVault, attributionSettlement } = contracts
    const deposit = [payer!.address]
    await write(payer!, inferenceVault, inferenceVaultAbi, 'deposit', deposit, parseEther('1'))
    const first = await submit([1_000_000_000_000_007n, 1_234_567_890_123n])
    await assert.rejects(claim(first, modelOwner), /EpochNotActive/)
    await wait('settlement.window')
    await claim(first, modelOwner)
    await assert.rejects(claim(first, modelOwner), /NothingToClaim/)

    const second = await submit([999_999_999_999_999n])
    await wait('settlement.window')
    for (const { account, amount } of second.payouts) {
      await claim(second, account)
      assert.equal(await chain.client.getBalance({ address: account }), amount)
    }
    const fees = [first, second].flatMap((file) => file.draws.map((draw) => draw.amount))
    const spent = fees.reduce((a, b) => a + b)
    assert.equal(
      second.payouts.reduce((sum, payout) => sum + payout.amount, 0n),
      spent,
    )
    assert.equal(
      await chain.client.getBalance({ address: inferenceVault }),
      parseEther('1') - spent,
    )
    assert.equal(
      await chain.client.getBalance({ address: attributionSettlement }),
      PARAMETERS['settlement.bond'].value,
    )
  })

  test('of unpaid receipts settle with the zero root', async () => {
    assert.equal(payoutsTree({ payouts: [] }).root, ZERO_HASH)
    const file = await submit([0n])
    assert.deepEqual(file.draws, [])
  })

  test('a requested withdrawal is paid after the default delay', async () => {
    const { inferenceVault } = contracts
    await write(payer!, inferenceVault, inferenceVaultAbi, 'requestWithdrawal', [1_000n])
    await assert.rejects(
      write(payer!, inferenceVault, inferenceVaultAbi, 'withdraw', [contributor(200)]),
      /WithdrawalNotAvailable/,
    )
    await wait('vault.withdrawDelay')
    await write(payer!, inferenceVault, inferenceVaultAbi, 'withdraw', [contributor(200)])
    assert.equal(await chain.client.getBalance({ address: contributor(200) }), 1_000n)
  })
})
