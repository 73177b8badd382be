import { z } from '@hono/zod-openapi'

/** Several faults at once, see `Fault` of problem.ts. */
export const faults = z.array(
  z.object({ row: z.int().optional(), field: z.string().optional(), detail: z.string() }),
)

/** RFC 9457 body of every error, with OpenAI's member. */
const problem = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string().optional(),
    instance: z.string(),
    requestId: z.string(),
    errors: faults.optional(),
    error: z.object({
      message: z.string(),
      type: z.string(),
      code: z.string(),
      param: z.string().nullable(),
    }),
  })
  .openapi('Problem')

/** The `responses` of a route: one JSON success and problem details for everything else. */
export const answers = <const Status extends number, Schema extends z.ZodType>(
  status: Status,
  schema: Schema,
  description: string,
) =>
  ({
    [status]: { description, content: { 'application/json': { schema } } },
    default: {
      description: 'A problem',
      content: { 'application/problem+json': { schema: problem } },
    },
  }) as Record<Status, { description: string; content: { 'application/json': { schema: Schema } } }>

/** A JSON request body. */
export const jsonBody = <Schema extends z.ZodType>(schema: Schema) => ({
  body: { required: true, content: { 'application/json': { schema } } },
})

/** Money in a response. */
export const wei = z
  .string()
  .openapi({ description: 'Wei, as a decimal integer.', example: '1200000000000' })
