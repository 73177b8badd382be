import assert from 'node:assert/strict'
import { epochChallengesAbi } from '#contracts/epoch-challenges.ts'
import type { Hex } from '#protocol/bytes.ts'
import { challengeScore, challengeSpan, type Call, type Disputed } from '#protocol/challenge.ts'
import type { Receipt } from '#protocol/receipt.ts'
import { fairReceipt, challenger, makeWorld, startDispute, type Dispute } from './dispute.ts'

export const refused = (promise: Promise<unknown>, reason: RegExp = /NoFault/) =>
  assert.rejects(promise, reason)

export const withRow = (receipt: Receipt, position: number, change: object): Receipt => ({
  ...receipt,
  rows: receipt.rows.map((row, i) => (i === position ? { ...row, ...change } : row)),
})

/** The call with another argument. */
export const withArg = (call: Call, at: number, value: unknown): Call => ({
  ...call,
  args: [...call.args.slice(0, at), value, ...call.args.slice(at + 1)],
})

export const receiptAt = ({ file, receipt }: Disputed) => file.receipts[receipt]!.receipt

/** A chain with the contracts, honest answers, and how one of their receipts is challenged. Stop it with `it.stop`. */
export async function startChallenging() {
  const it: Dispute = await startDispute()
  const world = makeWorld(40, 64)
  const honest = fairReceipt(world, 'honest')
  /** Three receipts of two payers. */
  const pair = () => [
    fairReceipt(world, 'a'),
    fairReceipt(world, 'b', { fee: 10n ** 14n }),
    fairReceipt(world, 'c', { of: challenger.address }),
  ]
  const challenge = (call: Call) => it.challenge(call)
  const challengeEpoch = (functionName: string, args: readonly unknown[]) =>
    it.challenge({ contract: 'epochChallenges', functionName, args })

  /** The id of the newest demand. */
  const lastDemand = async (): Promise<Hex> => {
    const logs = await it.client.getContractEvents({
      address: it.contracts.epochChallenges,
      abi: epochChallengesAbi,
      eventName: 'Demanded',
      fromBlock: 'earliest',
      strict: true,
    })
    return logs.at(-1)!.args.id
  }

  /** Where a row of the receipt stands in the index. */
  const placeOf = (receipt: Receipt, position: number) =>
    world.rows.findIndex(({ record }) => record === receipt.rows[position]?.record)
  const indexed = (row: number, { rows, vectors } = world) => ({
    rows,
    row,
    vector: vectors[row]!,
  })
  const scoreOfRow = (disputed: Disputed, position: number) =>
    challengeScore(disputed, position, indexed(placeOf(receiptAt(disputed), position)))
  const spanOfRow = (
    disputed: Disputed,
    position: number,
    offset: number,
    answer = world.answer,
  ) => {
    const row = placeOf(receiptAt(disputed), position)
    return challengeSpan(disputed, { position, span: 0, offset }, indexed(row), {
      answer,
      record: world.texts[row]!,
    })
  }

  /** Submits one receipt as epoch 1, then challenges it. */
  const dispute = (
    receipt: Receipt,
    work: (disputed: Disputed) => Promise<unknown>,
    query = world.query,
  ) =>
    it.aside(async () => {
      const file = it.build([receipt], null, query)
      await it.submit(file)
      await work({ file, receipt: 0 })
    })
  return {
    it,
    world,
    honest,
    pair,
    challenge,
    challengeEpoch,
    lastDemand,
    placeOf,
    indexed,
    scoreOfRow,
    spanOfRow,
    dispute,
  }
}
