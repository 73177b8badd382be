import { until, type ReceiptView } from '#client/openledger.ts'
import { openChecking, type Checking } from '#client/checking.ts'
import { sendTransaction } from '#client/wallet.ts'
import { formatOpen } from '#client/format.ts'
import { verifyReceipt } from '#gpu-worker/validator/verify-receipt.ts'
import { auditEpochs } from '#gpu-worker/validator/watch.ts'
import { MODEL_DIR } from '../gpu-worker.ts'
import type { Asked } from './ask.ts'
import type { Cast } from './cast.ts'
import { expect } from './journey-error.ts'

const SETTLE_TIMEOUT_MS = 90_000
const STAGES: ReceiptView['status'][] = ['open', 'batched', 'submitted', 'settled', 'safe', 'final']

/**
 * Computes gradients again while the texts are kept, waits until the receipts are final, verifies them and their epochs
 * without trusting anyone, pays a contributor out, compares ledger and chain.
 */
export async function settle(cast: Cast, answers: Asked[]): Promise<void> {
  const { chain, stack, consumer } = cast
  const checking = openChecking(
    {
      chain,
      chainId: stack.chainId,
      contracts: stack.contracts,
      daUrl: stack.urls.da,
      edgeUrl: stack.urls.edge,
      apiKey: consumer.apiKey,
    },
    { modelDir: MODEL_DIR },
  )
  try {
    await reExecute(cast, checking, answers)
    const receipts = await awaitFinal(cast, answers)
    await verify(cast, checking, { answers, receipts })
    await recomputeEpochs(cast, checking, receipts)
  } finally {
    await checking.release()
  }
  await claim(cast)
  await reconcile(cast)
}

/** Runs an answer of the tuned model again: its owner and payer may read texts and weights. */
async function reExecute(
  { progress }: Cast,
  { validator }: Checking,
  answers: Asked[],
): Promise<void> {
  const step = progress.step('Re-execution')
  const receipt = answers.findLast((asked) => asked.receipt.receipt.rows.length > 0)?.receipt
  if (!receipt) return step.done('no answer has an attribution')
  const checks = await validator.receipt(receipt)
  const failed = checks.find(({ holds }) => !holds)
  expect(!failed, 'Re-execution', `${receipt.id}: ${failed?.name} does not hold: ${failed?.detail}`)
  const gradient = checks.find(({ name }) => name === 'gradient')
  step.done(
    gradient ? `gradient computed again: ${gradient.detail}` : 'the texts are erased already',
  )
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

async function verify(
  { consumer, progress }: Cast,
  checking: Checking,
  { answers, receipts }: { answers: Asked[]; receipts: ReceiptView[] },
): Promise<void> {
  const step = progress.step('Verify receipts')
  const names = new Set<string>()
  for (const [i, view] of receipts.entries()) {
    const settled = await consumer.client.receiptProof(view.id)
    const outputText = answers[i]?.answer.text
    const checks = await verifyReceipt(checking, view, {
      settled,
      ...(outputText !== undefined && { outputText }),
    })
    for (const { name, holds, detail } of checks) {
      expect(holds, 'Verify receipts', `${view.id}: ${name} does not hold: ${detail}`)
      names.add(name)
    }
    step.update((i + 1) / receipts.length, view.id)
  }
  step.done(`${[...names].join(', ')} hold for all ${receipts.length}`)
}

async function recomputeEpochs(
  { progress }: Cast,
  checking: Checking,
  receipts: ReceiptView[],
): Promise<void> {
  const step = progress.step('Recompute epochs')
  const audited = await auditEpochs(checking)
  for (const { report } of audited) {
    const [fault] = report.findings
    expect(!fault, 'Recompute epochs', `epoch ${report.epoch}: ${fault?.name}: ${fault?.detail}`)
  }
  for (const { id, receipt } of receipts) {
    const times = audited
      .flatMap(({ file }) => file?.receipts ?? [])
      .filter((settled) => settled.receipt.requestId === receipt.requestId).length
    expect(times === 1, 'Recompute epochs', `${id} was settled ${times} times`)
  }
  const total = audited.reduce((n, { report }) => n + report.total, 0n)
  const checks = audited.reduce((n, { report }) => n + report.checks, 0)
  step.done(
    `${audited.length} from DA to the roots on chain, ${checks} checks, ${formatOpen(total)} in all`,
  )
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
