import { encodeFunctionData } from 'viem'
import { validatorStakingAbi } from '#contracts/validator-staking.ts'
import type { Hex } from '#protocol/bytes.ts'
import { amountOf, type Command, type Context } from '../command.ts'
import { formatOpen } from '../format.ts'
import { readStake, stakingCall, type Stake } from '../staking.ts'
import { requireFunds, sendTransaction } from '../wallet.ts'
import { account, addressOf } from './rewards.ts'

/** Epochs that one transaction collects for: about 60,000 gas each. */
const MAX_EPOCHS = 100

const to = { to: { value: 'ADDRESS', describe: 'who is paid (default: the wallet)' } }

/** What an address has at stake, and what is due to it. */
export const showStake: Command = {
  details: '',
  options: account,
  run: async (context) => {
    const stake = await readStake(await context.settings.network(), addressOf(context))
    context.print(textOf(stake), stake)
    return 0
  },
}

/** Puts $OPEN at stake. */
export const addStake: Command = {
  details: `AMOUNT is in OPEN, such as 1.5. What is staked votes, and attests epochs once it is as old as the settlement window; it can be
lost to proofs. Only the account it is staked for gets it back.`,
  options: account,
  run: async (context) => {
    const { settings, print } = context
    const wei = amountOf(context.input, 'stake add')
    const whose = addressOf(context)
    const network = await settings.network()
    const wallet = await settings.wallet()
    await requireFunds(wallet, wei)
    const call = stakingCall(network.contracts, { functionName: 'stake', args: [whose] })
    const { transactionHash: transaction } = await sendTransaction(wallet, { ...call, value: wei })
    const stake = await readStake(network, whose)
    print(`staked ${formatOpen(wei)} in ${transaction}\n${textOf(stake)}`, { transaction, stake })
    return 0
  },
}

/** Asks for stake back. */
export const leaveStake: Command = {
  details: `AMOUNT is in OPEN, or "all". It no longer votes or attests, can still be slashed, and can be withdrawn after the unbonding delay,
or when the last epoch that was approved with it is active. Asking again starts the delay anew for all that leaves.`,
  options: {},
  run: async (context) => {
    const { settings, input, print } = context
    const all = input.positionals.length === 1 && input.positionals[0] === 'all'
    const asked = all ? null : amountOf(context.input, 'stake leave')
    const wallet = await settings.wallet()
    const network = await settings.network()
    const { staked } = await readStake(network, wallet.account.address)
    const wei = asked ?? staked
    if (wei === 0n || wei > staked) throw new Error(`only ${formatOpen(staked)} is staked`)
    const call = stakingCall(network.contracts, { functionName: 'requestLeave', args: [wei] })
    const { transactionHash: transaction } = await sendTransaction(wallet, call)
    const stake = await readStake(network, wallet.account.address)
    print(`${formatOpen(wei)} leaves\n${textOf(stake)}`, { transaction, stake })
    return 0
  },
}

/** Fetches what has left. */
export const withdrawStake: Command = {
  details: '',
  options: to,
  run: async (context) => {
    const { settings, print } = context
    const payee = addressOf(context, 'to')
    const wallet = await settings.wallet()
    const network = await settings.network()
    const { leaving, withdrawableAt } = await readStake(network, wallet.account.address)
    if (withdrawableAt === null)
      throw new Error('nothing is leaving: ask for it with openledger stake leave AMOUNT')
    const { timestamp } = await network.chain.getBlock()
    if (timestamp < withdrawableAt)
      throw new Error(
        `${formatOpen(leaving)} can be withdrawn from ${timeText(withdrawableAt)} on, not before`,
      )
    const call = stakingCall(network.contracts, { functionName: 'withdraw', args: [payee] })
    const { transactionHash: transaction } = await sendTransaction(wallet, call)
    print(`withdrew ${formatOpen(leaving)} to ${payee} in ${transaction}`, {
      account: wallet.account.address,
      to: payee,
      withdrawn: leaving,
      transaction,
    })
    return 0
  },
}

/** Fetches everything that is due: rewards of approved epochs, and what contracts owe. */
export const collectStake: Command = {
  details: `Rewards are the stakers' part of fees, for epochs that the wallet approved; owed is what challenges won and demands answered
brought. When the staking contract has not been paid its part yet, that is claimed first. Whatever fails, running it again does
what is left. When nothing is due it sends nothing and succeeds.`,
  options: to,
  run: async (context) => {
    const { settings, print } = context
    const payee = addressOf(context, 'to')
    const wallet = await settings.wallet()
    const { account: whose } = wallet
    const { chain, contracts } = await settings.network()
    const { rewards, owed, pending } = await readStake({ chain, contracts }, whose.address)
    const due = sum(rewards)
    const staking = { address: contracts.validatorStaking, abi: validatorStakingAbi } as const
    if (due > (await chain.readContract({ ...staking, functionName: 'rewards' })))
      await claimStakersPart(context)
    const transactions: Hex[] = []
    for (let i = 0; i < rewards.length; i += MAX_EPOCHS) {
      const epochs = rewards.slice(i, i + MAX_EPOCHS).map(({ epoch }) => BigInt(epoch))
      const call = stakingCall(contracts, { functionName: 'collect', args: [epochs, payee] })
      transactions.push((await sendTransaction(wallet, call)).transactionHash)
    }
    for (const { contract } of owed) {
      const data = encodeFunctionData({
        abi: validatorStakingAbi, // `withdrawOwed` is the same in all
        functionName: 'withdrawOwed',
        args: [payee],
      })
      const receipt = await sendTransaction(wallet, { to: contracts[contract], data })
      transactions.push(receipt.transactionHash)
    }
    const text =
      transactions.length === 0
        ? `nothing is due${pending.length === 0 ? '' : `; ${epochsText(pending)} pending`}`
        : `collected ${formatOpen(due)} of rewards and ${formatOpen(sum(owed))} owed, to ${payee}`
    print(text, { to: payee, rewards, owed, transactions })
    return 0
  },
}

/** Has the staking contract paid what active epochs grant it; anybody may send that. */
async function claimStakersPart({ settings }: Context): Promise<void> {
  const { contracts } = await settings.network()
  const { claim } = await settings.guest.rewards(contracts.validatorStaking)
  if (claim?.to !== contracts.attributionSettlement)
    throw new Error("the API knows of no claim for the stakers' part of fees yet: try again later")
  await sendTransaction(await settings.wallet(), claim)
}

function textOf({ staked, leaving, withdrawableAt, owed, rewards, pending }: Stake): string {
  const due = `${formatOpen(sum(rewards))} to collect`
  return [
    `${formatOpen(staked)} staked`,
    `${formatOpen(leaving)} leaving${withdrawableAt === null ? '' : `, to be withdrawn from ${timeText(withdrawableAt)} on`}`,
    rewards.length === 0 ? due : `${due} for ${epochsText(rewards.map(({ epoch }) => epoch))}`,
    `${formatOpen(sum(owed))} owed`,
    ...(pending.length === 0
      ? []
      : [`locked until ${epochsText(pending)} ${pending.length === 1 ? 'is' : 'are'} active`]),
  ].join('\n')
}

const epochsText = (epochs: number[]): string =>
  `${epochs.length === 1 ? 'epoch' : 'epochs'} ${epochs.join(', ')}`

const timeText = (unixSeconds: number): string => new Date(unixSeconds * 1000).toISOString()

const sum = (parts: { wei: bigint }[]): bigint => parts.reduce((total, { wei }) => total + wei, 0n)
