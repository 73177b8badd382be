import { createRoute, z } from '@hono/zod-openapi'
import { PARAMETER_NAMES, PARAMETERS } from '#protocol/parameters.ts'
import { address, bytes32 } from '#protocol/wire.ts'
import { readChain } from '../chain/client.ts'
import { readParameters, type Parameters } from '../chain/parameters.ts'
import type { Ctx } from '../context.ts'
import { newApp } from '../http/new-app.ts'
import { answers } from '../http/openapi.ts'

const integer = z.string().openapi({ description: 'Decimal integer.' })

const parametersSchema = z
  .object({
    object: z.literal('parameters'),
    contract: address,
    params_hash: bytes32,
    values: z.record(
      z.string(),
      z.object({ value: integer, min: integer, max: integer, default: integer }),
    ),
  })
  .openapi('Parameters')

const parametersView = ({ values, paramsHash }: Parameters, { settings }: Ctx) => ({
  object: 'parameters' as const,
  contract: settings.CONTRACTS.parameters,
  params_hash: paramsHash,
  values: Object.fromEntries(
    PARAMETER_NAMES.map((name) => [
      name,
      {
        value: values[name].toString(),
        min: PARAMETERS[name].min.toString(),
        max: PARAMETERS[name].max.toString(),
        default: PARAMETERS[name].value.toString(),
      },
    ]),
  ),
})

const parametersRoute = createRoute({
  method: 'get',
  path: '/v1/parameters',
  summary: 'Every governed number in force',
  security: [],
  responses: answers(200, parametersSchema, 'Values with the bounds that nobody can move'),
})

export const governanceRoutes = newApp()

governanceRoutes.openapi(parametersRoute, async (c) => {
  const ctx = c.get('ctx')
  const parameters = await readChain(() => readParameters(ctx.settings))
  return c.json(parametersView(parameters, ctx), 200)
})
