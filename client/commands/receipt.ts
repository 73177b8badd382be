import { readFileSync } from 'node:fs'
import { verifyReceipt } from '#gpu-worker/validator/verify-receipt.ts'
import { attributionTable } from '../attribution-table.ts'
import { onlyArgument, UsageError, type Command } from '../command.ts'
import { formatOpen } from '../format.ts'
import type { ReceiptView } from '../openledger.ts'
import { textTable } from '../table.ts'
import { openChecking } from '../checking.ts'

/** What an answer cost and who is paid for it. */
export const showReceipt: Command = {
  details:
    'Receipts are public; what the records say, and the words that the answer shares with them, is shown to its payer only.',
  options: {},
  run: async ({ settings, input, print }) => {
    const view = await (
      await settings.anyone()
    ).receipt(onlyArgument(input, 'receipt', 'receipt ID'))
    print(`${attributionTable(view, view.explanation)}\n\n${stateOf(view)}`, view)
    return 0
  },
}

/** Checks a receipt against the chain. */
export const verify: Command = {
  details: `Nothing is believed: the signature, the sums, the price, the split, the rows and their scores are computed again from the
chain and the published index, and the Merkle proof leads to the root of the epoch on chain. With the key of the
payer or of a validator the texts are compared too; with --model the gradient is computed again. Exit code 1 when
anything does not hold.`,
  options: {
    answer: { value: 'FILE', describe: 'the answer as you got it' },
    model: { value: 'DIR', describe: 'directory of the base model, to compute the gradient again' },
  },
  run: async ({ settings, input, print, progress }) => {
    const id = onlyArgument(input, 'receipt verify', 'receipt ID')
    const view = await settings.guest.receipt(id)
    const step = progress.step('Verifying')
    const checking = openChecking(await settings.checked(), {
      modelDir: input.text('model'),
    })
    try {
      const path = input.text('answer')
      const checks = await verifyReceipt(checking, view, {
        ...(path !== undefined && { outputText: readAnswer(path) }),
        ...(view.epoch !== null && { settled: await settings.guest.receiptProof(id) }),
      })
      const failed = checks.filter(({ holds }) => !holds)
      if (failed.length === 0) step.done(`${checks.length} checks hold`)
      else step.fail(`${failed.length} of ${checks.length} checks do not hold`)
      print(
        [
          textTable([
            ['', 'check', 'found'],
            ...checks.map(({ name, holds, detail }) => [holds ? '✓' : '✗', name, detail]),
          ]),
          `  ${stateOf(view)}`,
        ].join('\n'),
        { id, status: view.status, epoch: view.epoch, holds: failed.length === 0, checks },
      )
      return failed.length === 0 ? 0 : 1
    } finally {
      await checking.release()
    }
  },
}

const stateOf = ({ receipt, status, epoch }: ReceiptView): string =>
  `${formatOpen(receipt.fee)}, ${status}${epoch === null ? '' : ` in epoch ${epoch}`}`

function readAnswer(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new UsageError(`--answer: ${path} cannot be read`, { cause })
  }
}
