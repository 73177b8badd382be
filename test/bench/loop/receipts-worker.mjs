// Appends receipts to their inboxes from inside workerd, as the inference route does, until the batcher has them all. Not TypeScript: the
// compiler checks test/ with Node's types and edge/ with Workers'.
import { receiptInbox } from '#edge/settlement/receipt-inbox.ts'
import { signedReceipt } from '#protocol/wire.ts'

export { ReceiptBatcher } from '#edge/settlement/receipt-batcher.ts'
export { ReceiptInbox } from '#edge/settlement/receipt-inbox.ts'

let receipts = []
let appended = 0

export default {
  async fetch(request, env) {
    const url = new URL(request.url)
    if (url.pathname === '/load') {
      receipts = (await request.json()).map((receipt) => signedReceipt.parse(receipt))
      return new Response(String(receipts.length))
    }
    const width = Number(url.searchParams.get('width'))
    const batcher = env.RECEIPTS.getByName('epochs')
    const explanation = { rows: [], unattributed: 0, attributionMs: 0 }
    let next = 0
    const append = async () => {
      while (next < receipts.length) {
        const signed = receipts[next++]
        const inbox = receiptInbox(env, signed.receipt.requestId)
        const answer = { windows: [], givenAt: 0 } // D1 is not part of this
        await inbox.append({ signed, explanation, accountId: 'acct_bench', manifests: [], answer })
      }
    }
    await Promise.all(Array.from({ length: width }, append))
    appended += receipts.length
    while ((await batcher.state()).waiting < appended) await scheduler.wait(5)
    return new Response(String(receipts.length))
  },
}
