import { newId } from '#protocol/ids.ts'
import type { Hex } from '#protocol/bytes.ts'
import { sha256Of } from '../blobs/store.ts'
import { accountOf, type Ctx } from '../context.ts'
import { log } from '../log.ts'
import { Problem } from '../problem.ts'
import { findDatanet } from './datanets.ts'
import { putInbox } from './inbox.ts'
import type { ContributionMetadata } from './metadata.ts'
import { readRows } from './read-rows.ts'

export type Submission = {
  datanetId: string
  contentType: string
  body: Uint8Array<ArrayBuffer>
  metadata: ContributionMetadata
}

/**
 * Takes a contribution: refuses what cannot be read, writes the bytes to R2, rings the queue's bell. No single-region
 * database is on this path. Throws the Problem that says what is wrong with it; then nothing was written.
 */
export async function acceptContribution(
  ctx: Ctx,
  { datanetId, contentType, body, metadata }: Submission,
): Promise<{ id: string; sha256: Hex; createdAt: number }> {
  const actor = accountOf(ctx)
  const datanet = await findDatanet(ctx, datanetId)
  if (!datanet.licences.includes(metadata.licence))
    throw new Problem('contribution/licence', {
      detail: `The Datanet takes ${datanet.licences.join(', ')}.`,
      param: 'licence',
    })
  readRows(body, { contentType, columns: datanet.columns })
  const id = newId('contribution')
  const createdAt = Date.now()
  const sha256 = await sha256Of(body)
  await putInbox(ctx.env, id, body, {
    datanetId,
    accountId: actor.accountId,
    contributor: actor.address,
    contentType,
    sha256,
    bytes: body.length,
    metadata,
    createdAt,
  })
  try {
    await ctx.env.CONTRIBUTIONS.send({ type: 'contribution', id })
  } catch (error) {
    log('warn', { requestId: ctx.requestId, contribution: id, during: 'enqueue', error })
  }
  return { id, sha256, createdAt }
}
