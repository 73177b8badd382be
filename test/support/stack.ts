import { join } from 'node:path'
import { parseEther } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { openChecking, type Checking } from '#client/checking.ts'
import { createClient, logIn, until } from '#client/openledger.ts'
import { deposit, sendTransaction } from '#client/wallet.ts'
import { DEV } from '#stack/accounts.ts'
import { chainReader, localChain } from '#stack/chain.ts'
import { showProgress } from '#client/progress.ts'
import { createCast, type Cast, type Person } from '#stack/sample/cast.ts'
import { sampleContributors } from '#stack/sample/licences.ts'
import { samplePlan, type Plan } from '#stack/sample/plan.ts'
import { startStack, type Stack } from '#stack/stack.ts'
import { scratchFolder } from './scratch.ts'

/** The real stack on ports and state of its own, for journey tests. */
export type TestStack = {
  stack: Stack
  /** What the stack told its user. */
  said: string[]
  stop: () => Promise<void>
}

/** Starts it on fresh state. `portBase` must differ between test files, which may run side by side. */
export async function startTestStack(portBase: number): Promise<TestStack> {
  const said: string[] = []
  const stack = await startStack({
    stateDir: join(scratchFolder(), 'state'),
    fresh: true,
    portBase,
    epochSeconds: 3,
    say: (line) => {
      said.push(line)
      console.log(`# ${line}`)
    },
    onFatal: (error) => {
      throw error
    },
  })
  return {
    stack,
    said,
    stop: () => stack.stop(),
  }
}

/** Progress lines as TAP comments. */
const testProgress = showProgress({ write: (text) => console.log(`# ${text.trimEnd()}`) })

/** The sample, small enough for a test: few records, learnt by heart, and asked for by their own questions. */
export function smallPlan(perFamily: number): Plan {
  const contributors = sampleContributors(perFamily)
  return {
    ...samplePlan(1),
    contributors: contributors.map(({ name, records }) => ({
      name,
      files: [
        {
          type: 'application/x-ndjson',
          body: records.map((record) => `${JSON.stringify(record)}\n`).join(''),
        },
      ],
    })),
    hyperparameters: { epochs: 12, learningRate: 5e-3, sequenceLength: 96 },
    questions: contributors
      .slice(0, 3)
      .flatMap(
        ({ records }) => records.find(({ prompt }) => prompt.startsWith('What'))?.prompt ?? [],
      ),
  }
}

/** Contributors and a funded consumer, signed in with new wallets. */
export const testCast = (stack: Stack, plan: Plan): Promise<Cast> =>
  createCast(stack, testProgress, plan, { wallets: {}, runs: 1 })

/** Somebody new with a key; `funds` in $OPEN go into the vault. */
export async function newPerson(stack: Stack, funds?: string): Promise<Person> {
  const wallet = privateKeyToAccount(generatePrivateKey())
  const { address, api_key: apiKey } = await logIn({ baseUrl: stack.urls.edge }, wallet)
  const client = createClient({ baseUrl: stack.urls.edge, apiKey })
  if (funds !== undefined) {
    const rpcUrl = stack.urls.chain
    const faucet = {
      account: DEV.faucet,
      chain: localChain(rpcUrl),
      rpcUrl,
      reader: chainReader(rpcUrl),
    }
    await sendTransaction(faucet, { to: address, value: parseEther('0.1') })
    await deposit(faucet, {
      vault: stack.contracts.inferenceVault,
      beneficiary: address,
      amount: parseEther(funds),
    })
    await until(
      async () => (await client.account()).balance.available,
      (available) => available > 0n,
    )
  }
  return { name: 'somebody', wallet, address, apiKey, client }
}

/** What checks the receipts and epochs of a stack, believing nobody; reads texts with a key. */
export const checkingOf = (stack: Stack, apiKey?: string): Checking =>
  openChecking({
    chain: chainReader(stack.urls.chain),
    chainId: stack.chainId,
    contracts: stack.contracts,
    daUrl: stack.urls.da,
    edgeUrl: stack.urls.edge,
    apiKey,
  })
