import { z } from '@hono/zod-openapi'
import { DEFAULT_PROFILE, type Profile } from './pipeline/profile.ts'
import { REASONS, type ReasonCode } from './pipeline/reasons.ts'

const share = z.number().min(0).max(1)
const reasonCodes = Object.keys(REASONS) as [ReasonCode, ...ReasonCode[]]

/** What an owner may ask of records beyond the default profile. */
export const profileInput = z
  .object({
    name: z.string().regex(/^[a-z0-9-]{1,40}$/),
    languages: z.array(z.string().regex(/^[a-z]{3}$/)).max(50),
    minLanguageScore: share,
    minChars: z.int().min(1).max(100_000),
    minWords: z.int().min(1).max(100_000),
    maxWords: z.int().min(1).max(100_000),
    maxRedactions: z.int().min(0).max(10_000),
    nearDuplicate: z.number().min(0.5).max(1),
    sameClusterWords: z.number().min(0.5).max(1),
    overlapJaccard: share,
    plagiarismContainment: z.number().min(0.5).max(1),
    overlapContainment: share,
    modelOutput: z.number().min(0.1).max(1),
    verdicts: z.partialRecord(
      z.enum(reasonCodes),
      z.enum(['accepted', 'needs_review', 'rejected']),
    ),
  })
  .partial()
  .openapi('Profile')

/** A full profile from an owner's wishes. */
export const profileOf = (input: z.infer<typeof profileInput> | undefined): Profile => ({
  ...DEFAULT_PROFILE,
  ...input,
  name: input?.name ?? (input ? 'custom' : DEFAULT_PROFILE.name),
})
