import { readFileSync } from 'node:fs'
import { encodeAbiParameters, encodeFunctionData, encodePacked, parseEther, type Abi } from 'viem'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { sendTransaction, type WalletOptions } from '#client/wallet.ts'
import { fromHex, keccak, ZERO_ADDRESS, type Hex } from '#protocol/bytes.ts'
import { type EpochFile } from '#protocol/epoch.ts'
import { payoutsTree } from '#protocol/ledgers.ts'
import { figure, type Figure } from '../report.ts'
import { ordered, sorted, treeOf } from './trees.ts'

/**
 * Claims against our settlement, against a distributor like Uniswap's (one drop) and one like EigenLayer's (earner
 * tree over token trees), all paying native wei to the same fresh accounts out of trees of the same size.
 */

const EPOCHS = 10 // that a batched claim collects at once

type Artifact = { abi: Abi; bytecode: { object: Hex } }
const artifact = (name: string): Artifact =>
  JSON.parse(
    readFileSync(
      new URL(`../../../contracts/out/${name}.sol/${name}.json`, import.meta.url),
      'utf8',
    ),
  ) as Artifact

/** The second of two settled epochs in which `earner` is paid, both active. */
export type Claimable = {
  settlement: Hex
  first: EpochFile
  second: EpochFile
  /** Position in both files' payouts; the same account. */
  index: number
}

/** Gas of a first and of a repeated claim, and of collecting ten epochs, per epoch. */
export async function benchClaims(
  wallet: WalletOptions,
  { settlement, first, second, index }: Claimable,
): Promise<Figure[]> {
  const gas = async (to: Hex, data: Hex) =>
    Number((await sendTransaction(wallet, { to, data })).gasUsed)
  const ours = (file: EpochFile, at: number) => {
    const payout = file.payouts[at]
    if (!payout) throw new Error(`the epoch has no payout ${at}`)
    return gas(
      settlement,
      encodeFunctionData({
        abi: attributionSettlementAbi,
        functionName: 'claim',
        args: [
          payout.account,
          payout.amount,
          BigInt(file.epoch),
          BigInt(at),
          payoutsTree(file).proof(at),
        ],
      }),
    )
  }
  // Somebody else first: the first claim of all also writes what every later one only changes.
  await ours(first, index === 0 ? 1 : 0)
  const oursFirst = await ours(first, index)
  const oursAgain = await ours(second, index)

  const accounts = first.payouts.map((_, i) => keccak(`earner ${i}`).slice(0, 42) as Hex)
  const flat = await benchFlat(wallet, accounts, index, gas)
  const twoLevel = await benchTwoLevel(wallet, accounts, index, gas)
  return [
    goal(
      figure(of('first claim of an account'), oursFirst, {
        value: flat,
        name: 'MerkleDistributor',
      }),
      flat,
    ),
    figure(of('first claim of an account'), oursFirst, {
      value: twoLevel.first,
      name: 'EigenLayer-style',
    }),
    goal(
      figure(of('repeated claim'), oursAgain, {
        value: flat,
        name: 'MerkleDistributor, next drop',
      }),
      flat,
    ),
    figure(of('repeated claim'), oursAgain, { value: twoLevel.again, name: 'EigenLayer-style' }),
    figure(of(`claim of ${EPOCHS} epochs at once, per epoch`), oursAgain / EPOCHS, {
      value: flat,
      name: 'MerkleDistributor, one claim per drop',
    }),
  ]
}

const of = (name: string) => ({ name, unit: 'gas', better: 'lower' }) as const
const goal = (it: Figure, value: number): Figure => ({ ...it, goal: value })

type Gas = (to: Hex, data: Hex) => Promise<number>

async function benchFlat(
  wallet: WalletOptions,
  accounts: readonly Hex[],
  index: number,
  gas: Gas,
): Promise<number> {
  const amount = 10n ** 12n
  const tree = treeOf(
    accounts.map((account, i) =>
      hash(encodePacked(['uint256', 'address', 'uint256'], [BigInt(i), account, amount])),
    ),
    sorted,
  )
  const { abi, at } = await deploy(wallet, 'FlatDistributor', [{ type: 'bytes32' }], [tree.root])
  const claim = (i: number) =>
    gas(
      at,
      encodeFunctionData({
        abi,
        functionName: 'claim',
        args: [BigInt(i), accounts[i], amount, tree.proof(i)],
      }),
    )
  await claim(index === 0 ? 1 : 0) // its bitmap word is shared, as ours has shared words
  return claim(index)
}

async function benchTwoLevel(
  wallet: WalletOptions,
  accounts: readonly Hex[],
  index: number,
  gas: Gas,
): Promise<{ first: number; again: number }> {
  const { abi, at } = await deploy(wallet, 'TwoLevelDistributor', [], [])
  const rounds = [1n, 2n].map((n) => n * 10n ** 12n)
  const gases: number[] = []
  for (const [round, cumulative] of rounds.entries()) {
    const token = hash(encodePacked(['uint8', 'address', 'uint256'], [1, ZERO_ADDRESS, cumulative]))
    const tree = treeOf(
      accounts.map((account) =>
        hash(encodePacked(['uint8', 'address', 'bytes32'], [0, account, token])),
      ),
      ordered,
    )
    await gas(at, encodeFunctionData({ abi, functionName: 'submitRoot', args: [tree.root] }))
    const claim = {
      rootIndex: round,
      earnerIndex: index,
      earnerProof: tree.proof(index),
      earner: accounts[index],
      tokenIndex: 0,
      tokenProof: [],
      leaf: { token: ZERO_ADDRESS, cumulative },
    }
    gases.push(
      await gas(at, encodeFunctionData({ abi, functionName: 'processClaim', args: [claim] })),
    )
  }
  return { first: gases[0] ?? 0, again: gases[1] ?? 0 }
}

async function deploy(
  wallet: WalletOptions,
  name: string,
  types: { type: string }[],
  values: unknown[],
): Promise<{ abi: Abi; at: Hex }> {
  const { abi, bytecode } = artifact(name)
  const data: Hex = `${bytecode.object}${encodeAbiParameters(types, values).slice(2)}`
  const { contractAddress } = await sendTransaction(wallet, { data, value: parseEther('1') })
  if (!contractAddress) throw new Error(`${name} was not deployed`)
  return { abi, at: contractAddress }
}

const hash = (packed: Hex): Hex => keccak(fromHex(packed))
