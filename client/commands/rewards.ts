import { address } from '#protocol/wire.ts'
import type { Hex } from '#protocol/bytes.ts'
import { UsageError, type Command, type Context } from '../command.ts'
import { formatOpen } from '../format.ts'
import { sendTransaction } from '../wallet.ts'

/** The option that names another address than the wallet's. */
export const account = {
  account: { value: 'ADDRESS', describe: 'whose (default: the wallet’s)' },
}

/** What an address has earned. */
export const showRewards: Command = {
  details: '',
  options: account,
  run: async (context) => {
    const rewards = await context.settings.guest.rewards(addressOf(context))
    context.print(
      `${formatOpen(rewards.cumulative)} earned up to epoch ${rewards.epoch}, ${formatOpen(rewards.claimed)} claimed, ` +
        `${formatOpen(rewards.claimable)} claimable, ${formatOpen(rewards.pending)} pending`,
      rewards,
    )
    return 0
  },
}

/** Pays out what an address has earned. */
export const claimRewards: Command = {
  details:
    'The wallet pays the gas; the $OPEN goes to the account. Claiming when nothing is due sends nothing and succeeds.',
  options: { ...account, 'dry-run': { describe: 'print the transaction, send nothing' } },
  run: async (context) => {
    const { settings, input, print } = context
    const whose = addressOf(context)
    const rewards = await settings.guest.rewards(whose)
    if (!rewards.claim) {
      print(`nothing to claim for ${whose}; ${formatOpen(rewards.pending)} pending`, rewards)
      return 0
    }
    const { contracts, chain } = await settings.network()
    // The transaction comes from the API: it may only go where claims go, and is tried before it is sent.
    if (rewards.claim.to !== contracts.attributionSettlement)
      throw new Error(`the API names another contract: ${rewards.claim.to}`)
    if (input.has('dry-run')) {
      print(`to ${rewards.claim.to}\ndata ${rewards.claim.data}`, rewards.claim)
      return 0
    }
    const wallet = await settings.wallet()
    await chain.call({ account: wallet.account, ...rewards.claim })
    const before = await chain.getBalance({ address: whose })
    const { transactionHash: hash } = await sendTransaction(wallet, rewards.claim)
    const after = await chain.getBalance({ address: whose })
    print(`claimed ${formatOpen(rewards.claimable)} for ${whose} in ${hash}`, {
      account: whose,
      claimed: rewards.claimable,
      balance: { before, after },
      transaction: hash,
    })
    return 0
  },
}

/** The address that an option names, else the wallet's; throws a UsageError when there is none. */
export function addressOf({ input, settings }: Context, option = 'account'): Hex {
  const text = input.text(option) ?? settings.account()?.address
  if (text === undefined) throw new UsageError(`name --${option} ADDRESS, or set a wallet key`)
  const parsed = address.safeParse(text)
  if (!parsed.success) throw new UsageError(`--${option} needs an address, not "${text}"`)
  return parsed.data
}
