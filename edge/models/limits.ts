import { z } from 'zod'
import { loraMethod } from '#protocol/wire.ts'
import type { Ctx } from '../context.ts'
import { findBase } from './catalogue.ts'
import { MAX_DATANETS } from './jobs.ts'
import { Problem } from '../problem.ts'

export type Limits = {
  base: string
  contextLength: number
  maxDatanets: number
  /** JSON Schema of every hyperparameter: type, bounds, choices, default. */
  hyperparameters: Record<string, z.core.JSONSchema.JSONSchema>
}

/** What a job on a base may ask for, so that a form cannot be filled in wrongly. Throws `model/not-found`. */
export async function methodLimits(ctx: Ctx, model: string): Promise<Limits> {
  const base = await findBase(ctx, model)
  if (!base)
    throw new Problem('model/not-found', {
      detail: `There is no base model ${model.slice(0, 200)}.`,
      param: 'model',
    })
  const properties = z.toJSONSchema(loraMethod, { io: 'input' })
    .properties as Limits['hyperparameters']
  const longest = properties['sequenceLength']?.maximum ?? base.contextLength
  return {
    base: base.name,
    contextLength: base.contextLength,
    maxDatanets: MAX_DATANETS,
    hyperparameters: {
      ...properties,
      sequenceLength: {
        ...properties['sequenceLength'],
        maximum: Math.min(longest, base.contextLength),
      },
    },
  }
}
