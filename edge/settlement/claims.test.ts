import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { parseEther, parseEventLogs } from 'viem'
import { generatePrivateKey, privateKeyToAccount, type PrivateKeyAccount } from 'viem/accounts'
import { attributionSettlementAbi } from '#contracts/attribution-settlement.ts'
import { lowerCase, toJson, type Hex } from '#protocol/bytes.ts'
import { claimMessage, claimTypedData, type Claim } from '#protocol/claim.ts'
import { openledger, valueOf } from '../../test/support/command.ts'
import { RICH_KEY } from '../testing/chain.ts'
import { eventually } from '../testing/harness.ts'
import {
  PATIENT_MS,
  SENDS,
  startSettlement,
  timesOf,
  type Settlement,
} from '../testing/settlement.ts'

const operator = privateKeyToAccount(RICH_KEY).address
let it: Settlement
let payer: Hex
before(async () => {
  it = await startSettlement()
  payer = it.newAddress()
  await it.deposit(payer, parseEther('1'))
})
after(() => it?.stop())

type ClaimView = {
  id: string
  status: string
  fee: string
  tx_hash: Hex | null
  reason: string | null
}
type Quote = { claimable: string; fee: string; typed_data: { message: unknown } }

/** An account without a wei that has earned something, and its claim as the API words it. */
async function newEarner(
  privateKey = generatePrivateKey(),
): Promise<{ account: PrivateKeyAccount; claim: Claim; quote: Quote }> {
  const account = privateKeyToAccount(privateKey)
  const receipt = await it.newReceipt(payer, lowerCase(account.address))
  await it.append(receipt)
  await it.done(receipt)
  const quote = await eventually(async () => {
    const response = await it.edge.fetch(`/v1/rewards/${account.address}/claim`)
    return response.status === 200 && ((await response.json()) as Quote)
  }, PATIENT_MS)
  assert.equal(await it.anvil.getBalance({ address: account.address }), 0n)
  return { account, quote, claim: claimMessage.parse(quote.typed_data.message) }
}

const sign = (account: PrivateKeyAccount, claim: Claim): Promise<Hex> =>
  account.signTypedData(
    claimTypedData(claim, {
      chainId: 901612,
      settlement: it.chain.contracts.attributionSettlement,
    }),
  )

async function handIn(claim: Claim, signature: Hex): Promise<{ status: number; body: unknown }> {
  const response = await it.edge.fetch('/v1/rewards/claims', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: toJson({ claim, signature }),
  })
  return { status: response.status, body: await response.json() }
}

async function accepted(account: PrivateKeyAccount, claim: Claim): Promise<ClaimView> {
  const { status, body } = await handIn(claim, await sign(account, claim))
  assert.equal(status, 202, JSON.stringify(body))
  return body as ClaimView
}

const claimOf = async (id: string) =>
  (await it.json(`/v1/rewards/claims/${id}`)) as unknown as ClaimView
const reaches = (id: string, ...statuses: string[]) =>
  eventually(async () => {
    const now = await claimOf(id)
    return statuses.includes(now.status) && now
  }, PATIENT_MS)

/** That the claim's transaction paid its account once, and cost the operator no more than the fee. */
async function assertPaid(
  { tx_hash, fee }: Pick<ClaimView, 'tx_hash' | 'fee'>,
  claim: Claim,
): Promise<void> {
  const receipt = await it.anvil.getTransactionReceipt({ hash: tx_hash! })
  const [claimed, ...others] = parseEventLogs({
    abi: attributionSettlementAbi,
    eventName: 'Claimed',
    logs: receipt.logs,
  })
  assert.equal(others.length, 0)
  assert.equal(claimed!.args.amount, claim.cumulative)
  assert.equal(
    await it.anvil.getBalance({ address: claim.to }),
    claim.cumulative - BigInt(fee),
    'paid once, less the fee',
  )
  assert.equal(receipt.from, operator.toLowerCase())
  assert.ok(receipt.gasUsed * receipt.effectiveGasPrice <= BigInt(fee), 'not at a loss')
}

test('an account without a wei is paid by the signature it hands in, once', async () => {
  const { account, claim, quote } = await newEarner()
  assert.equal(claim.cumulative, BigInt(quote.claimable))
  assert.ok(BigInt(quote.fee) <= claim.maxFee)
  const [first, again] = await Promise.all([accepted(account, claim), accepted(account, claim)])
  assert.deepEqual(again.id, first.id)
  const done = await reaches(first.id, 'final')
  assert.equal((await accepted(account, claim)).tx_hash, done.tx_hash, 'handed in again: the same')
  await assertPaid(done, claim)
  assert.ok(BigInt(done.fee) <= claim.maxFee)
  const rewards = await it.json(`/v1/rewards/${account.address}`)
  assert.deepEqual([rewards['claimable'], rewards['claimed']], ['0', quote.claimable])
  await it.assertBalanced()
})

test('what is lost on the way and a worker that dies pay a claim once', async () => {
  const { account, claim } = await newEarner()
  const to = it.newAddress()
  it.rpc.fault(timesOf(SENDS, 2, 'lose-answer'))
  const { id } = await accepted(account, { ...claim, to })
  await it.restart()
  assert.equal((await accepted(account, { ...claim, to })).id, id)
  const done = await reaches(id, 'safe', 'final')
  it.rpc.fault(() => 'pass')
  await assertPaid(done, { ...claim, to })
  await it.assertBalanced()
})

test('what the chain would refuse, or what does not pay for itself, is never queued', async () => {
  const { account, claim, quote } = await newEarner()
  const stranger = privateKeyToAccount(generatePrivateKey())
  const refusal = async (changed: Partial<Claim>, by = account) => {
    const said = { ...claim, ...changed }
    const { status, body } = await handIn(said, await sign(by, said))
    assert.equal(status, 422, JSON.stringify(body))
    return body as { type: string; detail: string }
  }
  assert.match((await refusal({}, stranger)).detail, /InvalidSignature/)
  assert.match((await refusal({ nonce: 7n })).detail, /next nonce is 0, not 7/)
  assert.match((await refusal({ deadline: 1n })).detail, /deadline has to be from/)
  assert.match((await refusal({ deadline: claim.deadline * 2n })).detail, /deadline has to be/)
  assert.match((await refusal({ cumulative: 1n })).detail, /grants the account \d+ wei, not 1/)
  assert.match((await refusal({ epoch: 10n ** 6n })).detail, /grants the account 0 wei/)
  const cheap = await refusal({ maxFee: 1n })
  assert.match(cheap.type, /claim\/fee-too-low$/)
  const [, asked] = /a fee of (\d+) wei, but the claim allows 1\.$/.exec(cheap.detail)!
  assert.ok(BigInt(asked!) > 1n && BigInt(asked!) <= BigInt(quote.claimable))
  const tampered = await handIn({ ...claim, to: stranger.address }, await sign(account, claim))
  assert.equal(tampered.status, 422)
  const malformed = await handIn({ ...claim, maxFee: -1n }, await sign(account, claim))
  assert.equal(malformed.status, 400)
  const id = `clm_${lowerCase(account.address).slice(2)}_0`
  assert.equal((await it.edge.fetch(`/v1/rewards/claims/${id}`)).status, 404)
  const nothing = await it.edge.fetch(`/v1/rewards/${stranger.address}/claim`)
  assert.equal(nothing.status, 422)
})

test('one nonce is one claim, and a claim that somebody else made void is told as failed', async () => {
  const { account, claim } = await newEarner()
  const plain = (await it.json(`/v1/rewards/${account.address}`))['claim'] as { to: Hex; data: Hex }
  // Nothing is simulated or sent for now.
  it.rpc.fault((_path, body) =>
    body.includes('"pending"') || body.includes(SENDS) ? 'lose-request' : 'pass',
  )
  const { id } = await accepted(account, claim)
  const other = { ...claim, to: it.newAddress() }
  const taken = await handIn(other, await sign(account, other))
  assert.equal(taken.status, 409, JSON.stringify(taken.body))
  await it.send(plain)
  it.rpc.fault(() => 'pass')
  const failed = await reaches(id, 'failed')
  assert.match(failed.reason!, /NothingToClaim/)
  assert.equal(failed.tx_hash, null, 'never sent, at no cost')
  await it.assertBalanced()
})

test('an account whose claim reverts in a block, at the operator’s cost, sends its next ones itself', async () => {
  const { account, claim } = await newEarner()
  const plain = (await it.json(`/v1/rewards/${account.address}`))['claim'] as { to: Hex; data: Hex }
  it.rpc.fault((_path, body) => (body.includes(SENDS) ? 'lose-request' : 'pass'))
  const { id } = await accepted(account, claim)
  await reaches(id, 'sent')
  await it.send(plain)
  it.rpc.fault(() => 'pass')
  const failed = await reaches(id, 'failed')
  assert.match(failed.reason!, /NothingToClaim/)
  assert.equal((await it.anvil.getTransactionReceipt({ hash: failed.tx_hash! })).status, 'reverted')
  const { status, body } = await handIn(claim, await sign(account, claim))
  assert.equal(status, 422)
  assert.match((body as { detail: string }).detail, /reverted in 0x.*Send it yourself/)
})

test('a chain whose clock is a day ahead of ours settles, pays and takes signed claims as ever', async () => {
  await it.anvil.increaseTime({ seconds: 86_400 })
  const { account, claim } = await newEarner()
  assert.ok(claim.deadline > BigInt(Math.round(Date.now() / 1_000)) + 80_000n)
  const { id } = await accepted(account, claim)
  await assertPaid(await reaches(id, 'final'), claim)
  await it.assertBalanced()
})

test('`openledger rewards claim --relayed` signs for a wallet without a wei, and keeps an eye on the fee', async () => {
  const privateKey = generatePrivateKey()
  const { account, claim } = await newEarner(privateKey)
  const { url } = await it.edge.harness.listen()
  const run = (...options: string[]) =>
    openledger(['rewards', 'claim', '--relayed', '--json', ...options], {
      OPENLEDGER_EDGE: url.origin,
      OPENLEDGER_RPC: it.chain.rpcUrl,
      OPENLEDGER_WALLET_KEY: privateKey,
    })
  const dear = await run()
  assert.equal(dear.status, 2)
  assert.match(dear.stderr, /name --max-fee to allow it/)
  assert.match(
    (await run('--max-fee', 'much')).stderr,
    /--max-fee needs an amount in OPEN, not "much"/,
  )
  assert.match((await run('--max-fee', '0.000000000000000001')).stderr, /takes a fee of \d+ wei/)
  const done = valueOf<{ fee: string; transaction: Hex }>(await run('--max-fee', '0.001'))
  await assertPaid({ tx_hash: done.transaction, fee: done.fee }, claim)
  assert.ok((await it.anvil.getBalance({ address: account.address })) > 0n)
  assert.match((await run()).stdout, /"claim": null/, 'nothing is left to claim')
})
