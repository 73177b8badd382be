import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { CONTRACTS } from './contracts.ts'
import { root } from './foundry.ts'

// `node contracts/script/layouts.ts [--check]`: writes where every contract keeps what (after `forge build`) to
// contracts/snapshots/layouts.json. With --check it writes nothing and fails when what is committed differs.

const member = z.object({
  label: z.string(),
  slot: z.string(),
  offset: z.int(),
  type: z.string(),
})
const artifact = z.object({
  storageLayout: z.object({
    storage: z.array(member),
    types: z
      .record(z.string(), z.object({ label: z.string(), members: z.array(member).optional() }))
      .nullable(),
  }),
})

/** Lines `slot+offset type name` of a contract's variables, and of the structs among their types. */
function layoutOf(contract: string): Record<string, string[]> {
  const path = join(root, `contracts/out/${contract}.sol/${contract}.json`)
  const { storage, types } = artifact.parse(JSON.parse(readFileSync(path, 'utf8'))).storageLayout
  const label = (type: string) => types?.[type]?.label ?? type
  const lines = (members: z.infer<typeof member>[]) =>
    members.map(({ slot, offset, type, label: name }) => `${slot}+${offset} ${label(type)} ${name}`)
  const structs = Object.values(types ?? {}).flatMap((type) =>
    type.members ? [[type.label, lines(type.members)] as const] : [],
  )
  return {
    variables: lines(storage),
    ...Object.fromEntries(structs.toSorted(([a], [b]) => (a < b ? -1 : 1))),
  }
}

const path = join(root, 'contracts/snapshots/layouts.json')
const layouts = Object.fromEntries(CONTRACTS.map((contract) => [contract, layoutOf(contract)]))
const text = `${JSON.stringify(layouts, null, 2)}\n`
if (!process.argv.includes('--check')) writeFileSync(path, text)
else if (readFileSync(path, 'utf8') !== text) {
  console.error(
    'contracts/snapshots/layouts.json is not what the contracts say: run node contracts/script/layouts.ts',
  )
  process.exitCode = 1
}
