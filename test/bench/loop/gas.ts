import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encodeFunctionData, parseEther } from 'viem'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { deposit, sendTransaction } from '#client/wallet.ts'
import { keccak, toHex, type Hex } from '#protocol/bytes.ts'
import { buildEpoch, epochRoots, payoutsTree } from '#protocol/epoch.ts'
import { defaultParameters, paramsHash } from '#protocol/parameters.ts'
import { DEV } from '#stack/accounts.ts'
import { CHAIN_ID, chainPart, chainReader, localChain } from '#stack/chain.ts'
import { createSupervisor } from '#stack/processes.ts'
import { deployContracts } from '../../../contracts/script/deploy.ts'
import { figure, type Figure } from '../report.ts'
import { madeReceipts } from './receipts.ts'

const RECEIPTS = 1_000 // EPOCH_MAX_RECEIPTS
const PAYERS = 20
const COMMITMENT_BYTES = 640 // about what an EigenDA V2 certificate takes

/** What an epoch costs on chain per receipt, and what a claim costs. */
export async function benchGas({ port }: { port: number }): Promise<Figure[]> {
  const dir = mkdtempSync(join(tmpdir(), 'openledger-gas-'))
  const supervisor = createSupervisor({
    logDir: dir,
    say: (line) => process.stderr.write(`${line}\n`),
    onFatal: (error) => {
      throw error
    },
  })
  try {
    await supervisor.run(chainPart(dir, port))
    return await measure(`http://127.0.0.1:${port}`)
  } finally {
    await supervisor.stopAll()
    rmSync(dir, { recursive: true, force: true })
  }
}

async function measure(rpcUrl: string): Promise<Figure[]> {
  const reader = chainReader(rpcUrl)
  const account = DEV.governance
  const wallet = { account, chain: localChain(rpcUrl), rpcUrl, reader }
  const values = { ...defaultParameters(), 'settlement.window': 1n }
  const { attributionSettlement, inferenceVault, openTimelock, validatorStaking } =
    await deployContracts({
      rpcUrl,
      chainId: CHAIN_ID,
      deployerKey: toHex(account.getHdKey().privateKey ?? new Uint8Array()),
      operator: account.address,
      submitter: account.address,
      parameters: values,
    })
  const payers = Array.from({ length: PAYERS }, (_, i) => keccak(`payer ${i}`).slice(0, 42) as Hex)
  for (const payer of payers)
    await deposit(wallet, { vault: inferenceVault, beneficiary: payer, amount: parseEther('1') })

  const file = buildEpoch(new Map(), {
    chainId: CHAIN_ID,
    settlement: attributionSettlement,
    epoch: 1,
    treasuries: { platform: openTimelock, stakers: validatorStaking },
    receipts: madeReceipts(RECEIPTS, payers, paramsHash(values)),
    presence: [
      {
        root: keccak('version'),
        clusters: [{ contributor: keccak('contributor 0').slice(0, 42) as Hex, count: 1 }],
      },
    ],
  })
  const roots = epochRoots(file)
  const submission = {
    ...roots,
    epoch: 1n,
    paramsHash: paramsHash(values),
    commitment: toHex(new Uint8Array(COMMITMENT_BYTES).fill(0xab)),
  }
  const { gasUsed } = await sendTransaction(wallet, {
    to: attributionSettlement,
    data: encodeFunctionData({
      abi: attributionSettlementAbi,
      functionName: 'submitEpoch',
      args: [submission, file.draws],
    }),
  })
  const [earner] = file.payouts
  if (!earner) throw new Error('the epoch pays nobody')
  await new Promise((resolve) => setTimeout(resolve, 2_500)) // until the epoch is active
  const claim = await sendTransaction(wallet, {
    to: attributionSettlement,
    data: encodeFunctionData({
      abi: attributionSettlementAbi,
      functionName: 'claim',
      args: [earner.account, earner.amount, 1n, 0n, payoutsTree(file).proof(0)],
    }),
  })
  return [
    figure(
      {
        name: `gas per receipt (${RECEIPTS} in an epoch, ${PAYERS} payers)`,
        unit: 'gas',
        better: 'lower',
      },
      Number(gasUsed) / RECEIPTS,
    ),
    figure({ name: 'gas per claim', unit: 'gas', better: 'lower' }, Number(claim.gasUsed)),
  ]
}
