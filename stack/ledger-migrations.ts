import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import postgres from 'postgres'
import { ROOT } from './settings.ts'
import { StackError } from './stack-error.ts'

const FOLDER = join(ROOT, 'migrations/ledger')

/** Applies migrations/ledger/*.sql in the order of their names, each in a transaction and once. */
export async function migrateLedger(url: string): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => undefined })
  try {
    await sql`CREATE TABLE IF NOT EXISTS ledger_migrations (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())`
    const applied = new Set(
      (await sql`SELECT name FROM ledger_migrations`).map((row) => row['name']),
    )
    const names = readdirSync(FOLDER).filter((name) => name.endsWith('.sql'))
    for (const name of names.toSorted()) {
      if (applied.has(name)) continue
      await sql.begin(async (tx) => {
        await tx.unsafe(readFileSync(join(FOLDER, name), 'utf8'))
        await tx`INSERT INTO ledger_migrations (name) VALUES (${name})`
      })
    }
  } catch (cause) {
    throw new StackError('postgres', `the ledger's migrations failed: ${String(cause)}`, { cause })
  } finally {
    await sql.end({ timeout: 1 })
  }
}
