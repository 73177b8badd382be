import { z } from '@hono/zod-openapi'
import { loraMethod, type LoraMethod } from '#protocol/wire.ts'

/** An object that refuses members it does not know, each by its own name: a misspelt option must not be ignored. */
export const knownOnly = <Shape extends z.ZodRawShape>(shape: Shape) =>
  z.looseObject(shape).superRefine((value, context) => {
    for (const name of Object.keys(value))
      if (!Object.hasOwn(shape, name))
        context.addIssue({ code: 'custom', path: [name], message: 'There is no such parameter.' })
  })

const { epochs, batchSize } = loraMethod.shape

/** Options that OpenAI's clients have another name for, by that name. */
const ALIASES = { n_epochs: 'epochs', batch_size: 'batchSize' } as const

const hyperparameters = knownOnly({
  ...loraMethod.partial().shape,
  epochs: epochs.unwrap().optional(),
  batchSize: batchSize.unwrap().optional(),
  n_epochs: epochs.unwrap().optional().openapi({ description: "OpenAI's name of `epochs`." }),
  batch_size: batchSize.unwrap().optional().openapi({ description: "OpenAI's of `batchSize`." }),
}).superRefine((value, context) => {
  for (const [alias, name] of Object.entries(ALIASES))
    if (alias in value && name in value)
      context.addIssue({ code: 'custom', path: [alias], message: `${name} is the same option.` })
})

/** `method` of a fine-tuning request. */
export const methodBody = knownOnly({
  type: z.literal('lora'),
  lora: knownOnly({ hyperparameters: hyperparameters.optional() }).optional(),
})

/** What is trained, with the defaults for everything that a request does not name. */
export function methodOf(
  method: z.infer<typeof methodBody> | undefined,
  seed: number | undefined,
): LoraMethod {
  const { n_epochs, batch_size, ...named } = method?.lora?.hyperparameters ?? {}
  return loraMethod.parse({
    ...named,
    ...(n_epochs !== undefined && { epochs: n_epochs }),
    ...(batch_size !== undefined && { batchSize: batch_size }),
    ...(seed !== undefined && { seed }),
  })
}
