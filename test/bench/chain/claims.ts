import { readFileSync } from 'node:fs'
import {
  encodeAbiParameters,
  encodeFunctionData,
  encodePacked,
  erc20Abi,
  parseEther,
  type Abi,
} from 'viem'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { sendTransaction, type WalletOptions } from '#client/wallet.ts'
import { fromHex, keccak, ZERO_ADDRESS, type Hex } from '#protocol/bytes.ts'
import { type EpochFile } from '#protocol/epoch.ts'
import { payoutsTree } from '#protocol/ledgers.ts'
import { figure, type Figure } from '../report.ts'
import { ordered, sorted, treeOf } from './trees.ts'

/**
 * Claims against our settlement and against its peers, like for like: trees of the same size, each paying accounts that
 * only it pays, so that all of them are new to the chain at first; somebody was paid before, so that nobody
 * writes the first word of what claims share. Peers are Uniswap's MerkleDistributor (one drop a contract), as it is in an
 * ERC-20 and with wei in its place, and EigenLayer's RewardsCoordinator (an earner tree over token trees) with wei.
 */

const EPOCHS = 10 // that a batched claim collects at once

type Artifact = { abi: Abi; bytecode: { object: Hex } }
const artifact = (name: string): Artifact => {
  const file = name === 'BenchToken' ? 'UniswapDistributor' : name
  const url = new URL(`../../../contracts/out/${file}.sol/${name}.json`, import.meta.url)
  return JSON.parse(readFileSync(url, 'utf8')) as Artifact
}

/** The second of two settled epochs in which `earner` is paid, both active. */
export type Claimable = {
  settlement: Hex
  first: EpochFile
  second: EpochFile
  /** Position in both files' payouts; the same account. */
  index: number
}

/** Gas of a first and of the next claim, and of collecting ten epochs, per epoch. */
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
  await ours(first, index === 0 ? 1 : 0)
  const [oursFirst, oursAgain] = [await ours(first, index), await ours(second, index)]

  const peers = { wallet, gas, count: first.payouts.length, index }
  const wei = await benchMerkle(peers, 'wei')
  const token = await benchMerkle(peers, 'token')
  const twoLevel = await benchTwoLevel(peers)

  const [FIRST, AGAIN] = ['first claim of an account new to the chain', 'its next claim']
  const batched = `${EPOCHS} epochs in one claim, per epoch`
  return [
    { ...against(FIRST, oursFirst, 'MerkleDistributor in wei', wei.first), goal: wei.first },
    against(FIRST, oursFirst, 'MerkleDistributor in an ERC-20', token.first),
    against(FIRST, oursFirst, 'EigenLayer-style', twoLevel.first),
    {
      ...against(AGAIN, oursAgain, 'MerkleDistributor in wei, next drop', wei.next),
      goal: wei.next,
    },
    against(AGAIN, oursAgain, 'MerkleDistributor in an ERC-20, next drop', token.next),
    against(AGAIN, oursAgain, 'EigenLayer-style', twoLevel.next),
    {
      ...against(
        batched,
        oursAgain / EPOCHS,
        'MerkleDistributor in wei, a claim per drop',
        wei.next,
      ),
      goal: wei.next,
    },
  ]
}

const against = (name: string, ours: number, peer: string, theirs: number): Figure =>
  figure({ name, unit: 'gas', better: 'lower' }, ours, { value: theirs, name: peer })

type Peers = {
  wallet: WalletOptions
  gas: (to: Hex, data: Hex) => Promise<number>
  /** Accounts in a tree, and the position of the one that claims. */
  count: number
  index: number
}
type Claims = { first: number; next: number }

const accountsOf = (peer: string, count: number): Hex[] =>
  Array.from({ length: count }, (_, i) => keccak(`${peer} ${i}`).slice(0, 42) as Hex)

/** Two drops to the same accounts. */
async function benchMerkle(
  { wallet, gas, count, index }: Peers,
  paidIn: 'wei' | 'token',
): Promise<Claims> {
  const amount = 10n ** 12n
  const accounts = accountsOf(paidIn, count)
  const tree = treeOf(
    accounts.map((account, i) =>
      hash(encodePacked(['uint256', 'address', 'uint256'], [BigInt(i), account, amount])),
    ),
    sorted,
  )
  const supply = [{ type: 'address' }, { type: 'uint256' }]
  const token = await deploy(wallet, 'BenchToken', supply, [
    wallet.account.address,
    parseEther('1'),
  ])
  const drop = async () => {
    if (paidIn === 'wei')
      return deploy(wallet, 'FlatDistributor', [{ type: 'bytes32' }], [tree.root], parseEther('1'))
    const types = [{ type: 'address' }, { type: 'bytes32' }]
    const distributor = await deploy(wallet, 'UniswapDistributor', types, [token.at, tree.root])
    const args = [distributor.at, parseEther('0.5')] as const
    await gas(token.at, encodeFunctionData({ abi: erc20Abi, functionName: 'transfer', args }))
    return distributor
  }
  const spent: number[] = []
  for (let i = 0; i < 2; i++) {
    const { abi, at } = await drop()
    const claim = (place: number) =>
      gas(
        at,
        encodeFunctionData({
          abi,
          functionName: 'claim',
          args: [BigInt(place), accounts[place], amount, tree.proof(place)],
        }),
      )
    await claim(index === 0 ? 1 : 0)
    spent.push(await claim(index))
  }
  return { first: spent[0] ?? 0, next: spent[1] ?? 0 }
}

/** Two roots over the same accounts. */
async function benchTwoLevel({ wallet, gas, count, index }: Peers): Promise<Claims> {
  const accounts = accountsOf('earner', count)
  const { abi, at } = await deploy(wallet, 'TwoLevelDistributor', [], [], parseEther('1'))
  const spent: number[] = []
  for (const [round, cumulative] of [10n ** 12n, 2n * 10n ** 12n].entries()) {
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
    spent.push(
      await gas(at, encodeFunctionData({ abi, functionName: 'processClaim', args: [claim] })),
    )
  }
  return { first: spent[0] ?? 0, next: spent[1] ?? 0 }
}

async function deploy(
  wallet: WalletOptions,
  name: string,
  types: { type: string }[],
  values: unknown[],
  value = 0n,
): Promise<{ abi: Abi; at: Hex }> {
  const { abi, bytecode } = artifact(name)
  const data: Hex = `${bytecode.object}${encodeAbiParameters(types, values).slice(2)}`
  const { contractAddress } = await sendTransaction(wallet, { data, value })
  if (!contractAddress) throw new Error(`${name} was not deployed`)
  return { abi, at: contractAddress }
}

const hash = (packed: Hex): Hex => keccak(fromHex(packed))
