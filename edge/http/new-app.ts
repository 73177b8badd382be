import { OpenAPIHono } from '@hono/zod-openapi'
import type { AppEnv } from '../context.ts'
import { Problem } from '../problem.ts'

/** An empty app for one domain's routes. What a route's schema refuses becomes `request/invalid` with every fault. */
export const newApp = () =>
  new OpenAPIHono<AppEnv>({
    defaultHook: (result) => {
      if (result.success) return
      const errors = result.error.issues.map((issue) => ({
        ...(issue.path.length > 0 && { field: issue.path.join('.') }),
        detail: issue.message,
      }))
      throw new Problem('request/invalid', {
        detail: errors
          .map((fault) => [fault.field, fault.detail].filter(Boolean).join(': '))
          .join('; '),
        param: errors[0]?.field,
        errors,
      })
    },
  })
