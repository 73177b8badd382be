import { keccak, ZERO_ADDRESS, type Hex } from '#protocol/bytes.ts'
import { encodeQuery, type Receipt, type SignedReceipt } from '#protocol/receipt.ts'
import { METHOD_VERSION } from '#protocol/score.ts'

const ROWS = 12 // records per receipt, about what the sample's answers have
const PAID = 8 // of them
const RECORDS = 1_000 // of the Datanet that all receipts are about
const DIMENSIONS = 1_644 // of a rank 8 adapter's queries

/** Receipts like those of real answers: `payers` callers in turn, a fee of 100 tokens each. */
export const madeReceipts = (
  count: number,
  payers: readonly Hex[],
  paramsHash: Hex,
): SignedReceipt[] => Array.from({ length: count }, (_, i) => madeReceipt(i, payers, paramsHash))

/** The i-th of them: what is one answer's own differs, what an adapter's receipts share is the same. */
export function madeReceipt(i: number, payers: readonly Hex[], paramsHash: Hex): SignedReceipt {
  const fee = 10n ** 14n
  const own = (what: string) => keccak(`${what} ${i}`)
  const amount = (fee * 4n) / 10n / BigInt(PAID)
  const query = madeQuery(i)
  const rows = Array.from({ length: ROWS }, (_row, row) => {
    const record = Number(BigInt(own(`record ${row}`)) % BigInt(RECORDS))
    return {
      cluster: keccak(`cluster ${record}`),
      record: keccak(`record ${record}`),
      contributor: keccak(`contributor ${record % 100}`).slice(0, 42) as Hex,
      influence: BigInt(own(`influence ${row}`)) % 10n ** 10n,
      significance: 5_000n + (BigInt(own(`significance ${row}`)) % 5_000n),
      text: row < 2 ? 100n : 0n,
      spans: row < 2 ? [{ outputStart: 3, recordStart: 9, length: 6 }] : [],
      amount: row < PAID ? amount : 0n,
    }
  })
  const split = { platform: fee / 10n, model: fee / 5n, stakers: fee / 5n, retrieval: 0n }
  const receipt: Receipt = {
    ...split,
    requestId: own('request'),
    payer: payers[i % payers.length] ?? ZERO_ADDRESS,
    base: keccak('base'),
    adapter: keccak('adapter'),
    indexRoot: keccak('index'),
    datanets: [keccak('version')],
    paramsHash,
    methodVersion: METHOD_VERSION,
    promptHash: own('prompt'),
    outputHash: own('output'),
    outputRoot: own('tokens'),
    outputTokens: 80,
    queryHash: keccak(query),
    promptTokens: 20,
    completionTokens: 80,
    fee,
    modelOwner: keccak('owner').slice(0, 42) as Hex,
    covered: 100n,
    total: 1_000n,
    floor: 0n,
    rows,
    unattributed: fee / 2n - amount * BigInt(PAID),
    citations: [],
    stored: false,
    worker: keccak('worker').slice(0, 42) as Hex,
    time: 1_800_000_000n,
  }
  const signature = `${own('r')}${own('s').slice(2)}1b` as Hex
  return { receipt, signature, query: encodeQuery(new Int8Array(query)) }
}

/** Bytes as unlike each other as those of a query vector, whose numbers are spread like a normal distribution's. */
function madeQuery(seed: number): Uint8Array {
  let state = seed
  const next = () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0) >> 26
  return Uint8Array.from({ length: DIMENSIONS }, () => next() + next() + next())
}
