import { z } from '@hono/zod-openapi'
import { Problem } from '../problem.ts'
import { licenceExpression } from './licence.ts'

/** What every contribution has to say about itself: OpenLedger's four blocks (the format is the content type). */
export const contributionMetadata = z
  .object({
    source: z.string().min(1).max(1000),
    intended_use: z.string().min(1).max(1000),
    licence: licenceExpression,
    context: z.string().min(1).max(1000),
  })
  .openapi('ContributionMetadata')
export type ContributionMetadata = z.infer<typeof contributionMetadata>

/**
 * The metadata of a request: the header `x-openledger-metadata` as JSON, or query parameters of the same names, which
 * carry other scripts without escapes. Throws `contribution/metadata` naming every field at fault.
 */
export function readMetadata(
  header: string | undefined,
  query: Record<string, string>,
): ContributionMetadata {
  const result = contributionMetadata.safeParse(header === undefined ? query : parse(header))
  if (result.success) return result.data
  const errors = result.error.issues.map((issue) => ({
    field: issue.path.join('.'),
    detail: issue.message,
  }))
  throw new Problem('contribution/metadata', {
    detail: `Send source, intended_use, licence and context: ${errors.map((fault) => `${fault.field}: ${fault.detail}`).join('; ')}`,
    param: 'x-openledger-metadata',
    errors,
  })
}

function parse(header: string): unknown {
  try {
    return JSON.parse(header)
  } catch (cause) {
    throw new Problem('contribution/metadata', {
      detail: 'The header x-openledger-metadata is not JSON.',
      param: 'x-openledger-metadata',
      cause,
    })
  }
}
