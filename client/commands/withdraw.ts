import { withdrawalTypedData } from '#protocol/revocations.ts'
import { bytes32 } from '#protocol/wire.ts'
import { UsageError, type Command } from '../command.ts'

/** Takes records back. */
export const withdraw: Command = {
  details: `Later versions of the Datanet leave them out, and answers from now on neither pay nor cite them, also those of models that
learned from them. It cannot be undone: handed in again, they are duplicates. Without RECORD, a hash of \`datanet
push --json\` or GET /v1/contributions/ID/records, all records of the contribution are taken back. The wallet that
contributed them signs it, which costs nothing; it is sent to the chain, where anybody can see it.`,
  options: { note: { value: 'TEXT', describe: 'why; kept, and not published' } },
  run: async ({ settings, input, print }) => {
    const [id, ...hashes] = input.positionals
    if (id === undefined) throw new UsageError('datanet withdraw needs one CONTRIBUTION')
    const named = hashes.map((hash) => {
      const parsed = bytes32.safeParse(hash)
      if (!parsed.success) throw new UsageError(`"${hash}" is no record's hash`)
      return parsed.data
    })
    const account = settings.account()
    if (!account) throw new UsageError('datanet withdraw needs OPENLEDGER_WALLET_KEY to sign with')
    const { chainId, contracts } = await settings.network()
    const client = await settings.client()
    const records = new Set(named)
    if (named.length === 0)
      for await (const { record, revoked } of client.verdicts(id, 'accepted'))
        if (record && revoked === null) records.add(record)
    if (records.size === 0) throw new UsageError(`nothing of ${id} is left to be taken back`)
    const domain = { chainId, datanetRegistry: contracts.datanetRegistry }
    const total = { contribution: id, records: 0, added: 0, entries: 0, head: '' }
    for await (const part of client.withdraw(id, {
      records: [...records],
      sign: (signed) => account.signTypedData(withdrawalTypedData(signed, domain)),
      note: input.text('note'),
    })) {
      total.records += part.records
      total.added += part.added
      Object.assign(total, { entries: part.entries, head: part.head })
    }
    const before = total.added < total.records ? '; the others were before' : ''
    print(
      `${total.added} of ${total.records} records are taken back${before}\nthe public log has ${total.entries} entries, ${total.head}`,
      total,
    )
    return 0
  },
}
