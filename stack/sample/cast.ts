import { parseEther, type LocalAccount, type PublicClient } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { createClient, logIn, until, type Client } from '#client/openledger.ts'
import { deposit, sendTransaction, type WalletOptions } from '#client/wallet.ts'
import type { Hex } from '#protocol/bytes.ts'
import { DEV } from '../accounts.ts'
import { chainReader, localChain } from '../chain.ts'
import { formatOpen } from '#client/format.ts'
import type { Progress } from '#client/progress.ts'
import type { Stack } from '../stack.ts'
import { expect } from './journey-error.ts'
import type { Plan } from './plan.ts'
import { walletKey, type SampleState } from './sample-state.ts'

/** Somebody with a wallet, signed in. */
export type Person = {
  name: string
  wallet: LocalAccount
  address: Hex
  apiKey: string
  client: Client
}

/** Who takes part in a journey, and what they need to reach. */
export type Cast = {
  stack: Stack
  progress: Progress
  chain: PublicClient
  contributors: Person[]
  /** Builds the Datanet and the model, and asks it. */
  consumer: Person
  /** A wallet with funds that sends what anybody may send. */
  faucet: WalletOptions
}

const CONSUMER_FUNDS = parseEther('2') // for gas and the deposit
const DEPOSIT = parseEther('1')

/** Signs everybody in with a wallet of their own, and has the consumer pay into the vault. */
export async function createCast(
  stack: Stack,
  progress: Progress,
  plan: Plan,
  state: SampleState,
): Promise<Cast> {
  const step = progress.step('Wallets')
  const rpcUrl = stack.urls.chain
  const chain = chainReader(rpcUrl)
  const walletOf = (account: WalletOptions['account']): WalletOptions => ({
    account,
    chain: localChain(rpcUrl),
    rpcUrl,
    reader: chain,
  })
  const signIn = async (name: string): Promise<Person> => {
    const wallet = privateKeyToAccount(walletKey(state, name))
    const { address, api_key: apiKey } = await logIn({ baseUrl: stack.urls.edge }, wallet)
    const client = createClient({ baseUrl: stack.urls.edge, apiKey })
    return { name, wallet, address, apiKey, client }
  }
  const contributors: Person[] = []
  for (const { name } of plan.contributors) {
    contributors.push(await signIn(name))
    step.update(contributors.length / (plan.contributors.length + 2), name)
  }
  const consumer = await signIn('consumer')

  const before = (await consumer.client.account()).balance
  const faucet = walletOf(DEV.faucet)
  await sendTransaction(faucet, { to: consumer.address, value: CONSUMER_FUNDS })
  await deposit(walletOf(consumer.wallet), {
    vault: stack.contracts.inferenceVault,
    beneficiary: consumer.address,
    amount: DEPOSIT,
  })
  const balance = await until(
    async () => (await consumer.client.account()).balance,
    ({ deposited }) => deposited !== before.deposited,
  )
  expect(
    balance.deposited - before.deposited === DEPOSIT,
    'Wallets',
    `the vault shows ${balance.deposited - before.deposited} wei more, not ${DEPOSIT}`,
  )
  step.done(
    `${contributors.length} contributor${contributors.length === 1 ? '' : 's'}, a consumer with ${formatOpen(balance.deposited)} in the vault`,
  )
  return { stack, progress, chain, contributors, consumer, faucet }
}
