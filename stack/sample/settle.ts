import { auditEpochs } from '#client/audit.ts'
import { until, type ReceiptView } from '#client/openledger.ts'
import { verifyReceipt } from '#client/verify.ts'
import { sendTransaction } from '#client/wallet.ts'
import { formatOpen } from '#client/format.ts'
import type { Asked } from './ask.ts'
import type { Cast } from './cast.ts'
import { expect } from './journey-error.ts'

const SETTLE_TIMEOUT_MS = 90_000
const STAGES: ReceiptView['status'][] = ['open', 'batched', 'submitted', 'settled', 'safe', 'final']

/** Waits until the receipts are final, verifies them without trusting anyone, pays a contributor out, compares ledger and chain. */
export async function settle(cast: Cast, answers: Asked[]): Promise<void> {
  const receipts = await awaitFinal(cast, answers)
  await verify(cast, answers, receipts)
  await recomputeEpochs(cast, receipts)
  await claim(cast)
  await reconcile(cast)
}

async function awaitFinal({ consumer, progress }: Cast, answers: Asked[]): Promise<ReceiptView[]> {
  const step = progress.step('Settlement')
  const receipts: ReceiptView[] = []
  for (const [i, { receipt }] of answers.entries()) {
    const final = await until(
      () => consumer.client.receipt(receipt.id),
      ({ status }) => {
        step.update((i + STAGES.indexOf(status)) / (answers.length + STAGES.length), status)
        return status === 'final'
      },
      { timeoutMs: SETTLE_TIMEOUT_MS },
    )
    receipts.push(final)
  }
  const fees = receipts.reduce((n, { receipt }) => n + receipt.fee, 0n)
  const epochs = [...new Set(receipts.map(({ epoch }) => epoch))]
  step.done(
    `${receipts.length} receipts, ${formatOpen(fees)}, final in epoch${epochs.length === 1 ? '' : 's'} ${epochs.join(', ')}`,
  )
  return receipts
}

async function verify(cast: Cast, answers: Asked[], receipts: ReceiptView[]): Promise<void> {
  const { consumer, progress, chain, stack } = cast
  const step = progress.step('Verify receipts')
  const names = new Set<string>()
  for (const [i, view] of receipts.entries()) {
    const settled = await consumer.client.receiptProof(view.id)
    const answer = answers[i]?.answer
    const checks = await verifyReceipt(view, {
      chain,
      contracts: stack.contracts,
      settled,
      ...(answer && { outputText: answer.text }),
    })
    for (const { name, holds, detail } of checks) {
      expect(holds, 'Verify receipts', `${view.id}: ${name} does not hold: ${detail}`)
      names.add(name)
    }
    step.update((i + 1) / receipts.length, view.id)
  }
  step.done(`${[...names].join(', ')} hold for all ${receipts.length}`)
}

async function recomputeEpochs(cast: Cast, receipts: ReceiptView[]): Promise<void> {
  const { progress, chain, stack } = cast
  const step = progress.step('Recompute epochs')
  const audited = await auditEpochs({
    chain,
    settlement: stack.contracts.attributionSettlement,
    daUrl: stack.urls.da,
  })
  for (const { id, receipt } of receipts) {
    const times = audited
      .flatMap(({ file }) => file.receipts)
      .filter((settled) => settled.receipt.requestId === receipt.requestId).length
    expect(times === 1, 'Recompute epochs', `${id} was settled ${times} times`)
  }
  const total = audited.reduce((n, epoch) => n + epoch.total, 0n)
  step.done(`${audited.length} from DA to the roots on chain, ${formatOpen(total)} in all`)
}

async function claim(cast: Cast): Promise<void> {
  const { progress, chain, contributors, faucet } = cast
  const step = progress.step('Claim')
  // The chain's clock is its newest block's, which lags behind ours by up to a block.
  const earners = await until(
    () =>
      Promise.all(
        contributors.map(async (person) => {
          const { claimable } = await person.client.rewards(person.address)
          return { person, claimable }
        }),
      ),
    (all) => all.some(({ claimable }) => claimable > 0n),
    { everyMs: 1_000 },
  )
  const [best] = earners.toSorted((a, b) => (a.claimable > b.claimable ? -1 : 1))
  expect(best !== undefined, 'Claim', 'nobody has contributed')

  const { person } = best
  const rewards = await person.client.rewards(person.address)
  expect(rewards.claim !== null, 'Claim', `${person.name} gets no claim transaction`)
  const before = await chain.getBalance({ address: person.address })
  // Anybody may send it and pays its gas; the $OPEN goes to the contributor.
  await sendTransaction(faucet, rewards.claim)
  const after = await chain.getBalance({ address: person.address })
  expect(
    after - before === rewards.claimable,
    'Claim',
    `${person.name}’s balance grew by ${after - before} wei, not by ${rewards.claimable}`,
  )
  const left = await until(
    () => person.client.rewards(person.address),
    ({ claimed }) => claimed > rewards.claimed,
  )
  expect(
    left.claimed === rewards.claimed + rewards.claimable,
    'Claim',
    `${left.claimed} wei count as claimed, not ${rewards.claimed + rewards.claimable}`,
  )
  step.done(`${person.name}: ${formatOpen(before)} → ${formatOpen(after)}, exactly its share`)
}

async function reconcile({ consumer, progress }: Cast): Promise<void> {
  const step = progress.step('Ledger and chain')
  const state = await until(
    () => consumer.client.reconciliation(),
    ({ balanced, epoch, chain }) => balanced && epoch === chain.last_epoch,
    { timeoutMs: SETTLE_TIMEOUT_MS },
  )
  expect(
    state.ledger.drawn === state.chain.drawn && state.ledger.credited === state.chain.drawn,
    'Ledger and chain',
    `the ledger has ${state.ledger.drawn} wei drawn and ${state.ledger.credited} credited, the chain ${state.chain.drawn}`,
  )
  step.done(`agree to the wei up to epoch ${state.epoch}: ${state.chain.drawn} wei`)
}
