import type { Hex } from '#protocol/bytes.ts'
import type { Presence } from '#protocol/epoch.ts'
import { clustersOf, isIn, type VersionLeaf } from '#protocol/presence.ts'
import { keepLast } from '../chain/client.ts'
import { revokedIn } from '../datanets/revocations.ts'
import { readLeaves } from '../datanets/shards.ts'
import { versionManifest } from '../datanets/versions.ts'
import type { Env } from '../env.ts'

/** By root and number of revoked records, which only grows; an epoch is gone through several times. */
const kept = keepLast<Presence>(64)

/** The clusters of a version that stand at a time (Unix seconds), by contributor: its rows are read only when some do not. */
export async function readPresence(
  env: Env,
  named: { root: Hex; manifest: Hex },
  time: number,
): Promise<Presence> {
  const { root } = named
  const version = await versionManifest(env, named)
  const revoked = await revokedIn({ env }, version.datanet, time)
  if (revoked.size === 0)
    return {
      root,
      clusters: version.contributors
        .filter(({ clusters }) => clusters > 0)
        .map(({ contributor, clusters }) => ({ contributor, count: clusters })),
    }
  return kept(`${root} ${revoked.size}`, async () => {
    const rows: VersionLeaf[] = []
    for (const shard of version.shards) rows.push(...(await readLeaves(env, shard)))
    return { root, clusters: clustersOf(rows, isIn(revoked)) }
  })
}
