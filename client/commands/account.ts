import { amountOf, type Command } from '../command.ts'
import { formatOpen } from '../format.ts'
import { deposit, requireFunds } from '../wallet.ts'
import { account, addressOf } from './rewards.ts'

/** Signs in and prints a key. */
export const login: Command = {
  details: `Signs a message with the wallet and prints an API key of every scope, good for thirty days:

  export OPENLEDGER_API_KEY=$(openledger login)

Without OPENLEDGER_API_KEY every command signs in by itself, and each time a key is made.`,
  options: {},
  run: async ({ settings, print }) => {
    const session = await settings.logIn()
    print(session.api_key, session)
    return 0
  },
}

/** Who is calling, and what is there to spend. */
export const showAccount: Command = {
  details: '',
  options: {},
  run: async ({ settings, print }) => {
    const found = await (await settings.client()).account()
    const { deposited, pending, held, available } = found.balance
    print(
      [
        `${found.address}, ${found.id}`,
        `${formatOpen(available)} to spend: ${formatOpen(deposited)} deposited, ${formatOpen(held)} held for answers that are not settled`,
        ...(pending > 0n ? [`${formatOpen(pending)} more when its block is safe`] : []),
      ].join('\n'),
      found,
    )
    return 0
  },
}

/** Pays $OPEN in, to call models with. */
export const depositFunds: Command = {
  details: `AMOUNT is in OPEN, such as 1.5, and comes from the wallet. It can be spent when its block is safe; openledger account
shows that.`,
  options: account,
  run: async (context) => {
    const { settings, print } = context
    const amount = amountOf(context.input, 'account deposit')
    const beneficiary = addressOf(context)
    const { contracts } = await settings.network()
    const wallet = await settings.wallet()
    await requireFunds(wallet, amount)
    const { transactionHash: transaction } = await deposit(wallet, {
      vault: contracts.inferenceVault,
      beneficiary,
      amount,
    })
    print(`deposited ${formatOpen(amount)} for ${beneficiary} in ${transaction}`, {
      account: beneficiary,
      deposited: amount,
      transaction,
    })
    return 0
  },
}
