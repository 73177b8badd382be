import { OpenAPIHono, z } from '@hono/zod-openapi'
import type { AppEnv } from '../context.ts'
import { Problem, type Fault } from '../problem.ts'

// What zod says of a member that is not there is that undefined is no string.
z.config({ customError: ({ input }) => (input === undefined ? 'is missing' : undefined) })

/** An empty app for one domain's routes. What a route's schema refuses becomes `request/invalid` with every fault. */
export const newApp = () =>
  new OpenAPIHono<AppEnv>({
    defaultHook: (result) => {
      if (result.success) return
      const errors = result.error.issues.flatMap(faultsOf)
      throw new Problem('request/invalid', {
        detail: errors
          .map((fault) => [fault.field, fault.detail].filter(Boolean).join(': '))
          .join('; '),
        param: errors[0]?.field,
        errors,
      })
    },
  })

/** What is wrong with one member; a misspelt one is refused by its own name, never ignored. */
function faultsOf(issue: z.core.$ZodIssue): Fault[] {
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({
      field: [...issue.path, key].join('.'),
      detail: 'There is no such parameter.',
    }))
  return [
    {
      ...(issue.path.length > 0 && { field: issue.path.join('.') }),
      detail: issue.message,
    },
  ]
}
