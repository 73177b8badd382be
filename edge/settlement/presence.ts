import { sha256Hex, type Hex } from '#protocol/bytes.ts'
import type { Presence } from '#protocol/epoch.ts'
import { clustersOf, isIn, type VersionLeaf } from '#protocol/presence.ts'
import { datanetManifest, type DatanetManifest } from '#protocol/wire.ts'
import { getBlob } from '../blobs/store.ts'
import { keepLast } from '../chain/client.ts'
import { revokedIn } from '../datanets/revocations.ts'
import { readLeaves } from '../datanets/shards.ts'
import type { Env } from '../env.ts'

/** The manifest of a Datanet version; throws when it is missing or another's. */
export async function versionManifest(
  env: Pick<Env, 'BLOBS'>,
  root: Hex,
  manifest: Hex,
): Promise<DatanetManifest> {
  const bytes = await getBlob(env, manifest)
  if (!bytes) throw new Error(`manifest ${manifest} of Datanet version ${root} is missing`)
  if (sha256Hex(bytes) !== manifest) throw new Error(`manifest ${manifest} has other bytes`)
  const version = datanetManifest.parse(JSON.parse(new TextDecoder().decode(bytes)))
  if (version.root !== root)
    throw new Error(`manifest ${manifest} is not of Datanet version ${root}`)
  return version
}

/** By root and number of revoked records, which only grows; an epoch is gone through several times. */
const kept = keepLast<Presence>(64)

/** The clusters of a version that stand at a time (Unix seconds), by contributor: its rows are read only when some do not. */
export async function readPresence(
  env: Env,
  { root, manifest }: { root: Hex; manifest: Hex },
  time: number,
): Promise<Presence> {
  const version = await versionManifest(env, root, manifest)
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
