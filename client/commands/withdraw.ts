import { bytes32 } from '#protocol/wire.ts'
import { UsageError, type Command } from '../command.ts'

/** Takes records back. */
export const withdraw: Command = {
  details: `Later versions of the Datanet leave them out, and answers from now on neither pay nor cite them, also those of models that
learned from them. It cannot be undone: handed in again, they are duplicates. Without RECORD, a hash of \`datanet
push --json\` or GET /v1/contributions/ID/records, all records of the contribution are taken back.`,
  options: { note: { value: 'TEXT', describe: 'why; kept, and not published' } },
  run: async ({ settings, input, print }) => {
    const [id, ...hashes] = input.positionals
    if (id === undefined) throw new UsageError('datanet withdraw needs one CONTRIBUTION')
    const records = hashes.map((hash) => {
      const parsed = bytes32.safeParse(hash)
      if (!parsed.success) throw new UsageError(`"${hash}" is no record's hash`)
      return parsed.data
    })
    const note = input.text('note')
    const done = await (
      await settings.client()
    ).withdraw(id, {
      ...(records.length > 0 && { records }),
      ...(note !== undefined && { note }),
    })
    print(
      `${done.added} of ${done.records} records are taken back${done.added < done.records ? '; the others were before' : ''}\nthe public log has ${done.entries} entries, ${done.head}`,
      done,
    )
    return 0
  },
}
