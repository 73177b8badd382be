import { defineConfig } from 'drizzle-kit'

/** `npx drizzle-kit generate` writes SQL; wrangler applies it. Read what it writes: a table rebuild loses rows on D1. */
export default defineConfig({
  dialect: 'sqlite',
  schema: './edge/db/schema*.ts',
  out: './migrations/d1',
})
