import { claimTypedData } from '#protocol/claim.ts'
import { address } from '#protocol/wire.ts'
import type { Hex } from '#protocol/bytes.ts'
import { UsageError, type Command, type Context, type Input } from '../command.ts'
import { formatOpen, parseOpen } from '../format.ts'
import { until } from '../openledger.ts'
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
  details: `The wallet pays the gas; the $OPEN goes to the account. Claiming when nothing is due sends nothing and succeeds.
With --relayed the wallet only signs, and needs no $OPEN: the API's operator sends the claim, and keeps the fee that the
API quotes out of what is paid, never more than --max-fee.`,
  options: {
    ...account,
    'dry-run': { describe: 'print what would be sent or signed, and stop' },
    relayed: { describe: 'sign only; the operator sends it for a fee' },
    'max-fee': { value: 'OPEN', describe: 'with --relayed: the most the operator may keep' },
  },
  run: async (context) => {
    const whose = addressOf(context)
    const rewards = await context.settings.guest.rewards(whose)
    const { claim, claimable, pending } = rewards
    if (!claim)
      context.print(`nothing to claim for ${whose}; ${formatOpen(pending)} pending`, rewards)
    else if (context.input.has('relayed')) await relay(context, whose)
    else await send(context, { whose, claim, claimable })
    return 0
  },
}

/** Has the wallet send the claim and pay its gas. */
async function send(
  { settings, input, print }: Context,
  { whose, claim, claimable }: { whose: Hex; claim: { to: Hex; data: Hex }; claimable: bigint },
): Promise<void> {
  const { contracts, chain } = await settings.network()
  // The transaction comes from the API: it may only go where claims go, and is tried before it is sent.
  if (claim.to !== contracts.attributionSettlement)
    throw new Error(`the API names another contract: ${claim.to}`)
  if (input.has('dry-run')) return print(`to ${claim.to}\ndata ${claim.data}`, claim)
  const wallet = await settings.wallet()
  await chain.call({ account: wallet.account, ...claim })
  const before = await chain.getBalance({ address: whose })
  const { transactionHash: hash } = await sendTransaction(wallet, claim)
  const after = await chain.getBalance({ address: whose })
  print(`claimed ${formatOpen(claimable)} for ${whose} in ${hash}`, {
    account: whose,
    claimed: claimable,
    balance: { before, after },
    transaction: hash,
  })
}

const RELAYED_WITHIN_MS = 120_000
/** Who asks for a larger part than one in so many gets it by --max-fee only: the fee is what the API says it is. */
const USUAL_FEE_PART = 10n

/** Has the wallet sign the claim and the operator send it. */
async function relay({ settings, input, print }: Context, whose: Hex): Promise<void> {
  const wallet = settings.account()
  if (wallet?.address.toLowerCase() !== whose)
    throw new UsageError(`--relayed needs the wallet of ${whose}: set OPENLEDGER_WALLET_KEY`)
  const { chainId, contracts } = await settings.network()
  const { claimable, fee, typed_data: quoted } = await settings.guest.claimQuote(whose)
  const allowed = openOf(input, 'max-fee')
  const maxFee = allowed ?? quoted.message.maxFee
  if (allowed === undefined && maxFee * USUAL_FEE_PART > claimable)
    throw new UsageError(
      `the operator asks for ${formatOpen(fee)} of ${formatOpen(claimable)}, and wants up to ${formatOpen(maxFee)} to be signed: name --max-fee to allow it, or claim when there is more`,
    )
  // Of the quote only numbers are taken: the wallet is paid, whatever the API says.
  const claim = { ...quoted.message, account: whose, to: whose, maxFee }
  if (input.has('dry-run'))
    return print(
      `${formatOpen(claimable)} for ${whose}, less a fee of ${formatOpen(fee)} now and ${formatOpen(maxFee)} at most`,
      claim,
    )
  const signature = await wallet.signTypedData(
    claimTypedData(claim, { chainId, settlement: contracts.attributionSettlement }),
  )
  const { id } = await settings.guest.relayClaim({ claim, signature })
  const done = await until(
    () => settings.guest.relayedClaim(id),
    ({ status }) => !['queued', 'sent'].includes(status),
    { timeoutMs: RELAYED_WITHIN_MS },
  )
  if (done.status === 'failed') throw new Error(`the claim failed: ${done.reason}`)
  print(
    `claimed ${formatOpen(claimable)} for ${whose} in ${done.tx_hash}, of which the operator kept ${formatOpen(done.fee)}`,
    { account: whose, claimed: claimable, fee: done.fee, transaction: done.tx_hash },
  )
}

function openOf(input: Input, name: string): bigint | undefined {
  const text = input.text(name)
  if (text === undefined) return undefined
  const wei = parseOpen(text)
  if (wei === null) throw new UsageError(`--${name} needs an amount in OPEN, not "${text}"`)
  return wei
}

/** The address that an option names, else the wallet's; throws a UsageError when there is none. */
export function addressOf({ input, settings }: Context, option = 'account'): Hex {
  const text = input.text(option) ?? settings.account()?.address
  if (text === undefined) throw new UsageError(`name --${option} ADDRESS, or set a wallet key`)
  const parsed = address.safeParse(text)
  if (!parsed.success) throw new UsageError(`--${option} needs an address, not "${text}"`)
  return parsed.data
}
