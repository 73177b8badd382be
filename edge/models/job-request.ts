import { z } from '@hono/zod-openapi'
import { decimal, loraMethod, type LoraMethod } from '#protocol/wire.ts'
import { MAX_DATANETS, type JobInput } from './jobs.ts'

const MAX_PRICE_WEI = 10n ** 24n // a million OPEN a token; far within the contract's uint128

const { epochs, batchSize } = loraMethod.shape

/** Options that OpenAI's clients have another name for, by that name. */
const ALIASES = { n_epochs: 'epochs', batch_size: 'batchSize' } as const

const hyperparameters = z
  .strictObject({
    ...loraMethod.partial().shape,
    epochs: epochs.unwrap().optional(),
    batchSize: batchSize.unwrap().optional(),
    n_epochs: epochs.unwrap().optional().openapi({ description: "OpenAI's name of `epochs`." }),
    batch_size: batchSize.unwrap().optional().openapi({ description: "OpenAI's of `batchSize`." }),
  })
  .superRefine((value, context) => {
    for (const [alias, name] of Object.entries(ALIASES))
      if (alias in value && name in value)
        context.addIssue({ code: 'custom', path: [alias], message: `${name} is the same option.` })
  })

/** `method` of a fine-tuning request. */
export const methodBody = z.strictObject({
  type: z.literal('lora'),
  lora: z.strictObject({ hyperparameters: hyperparameters.optional() }).optional(),
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

export const baseModel = z
  .string()
  .openapi({ description: 'A base model.', example: 'openledger-5m' })

/** A version of a Datanet. */
export const versionRef = z.strictObject({ id: z.string(), version: z.int().positive() })

/** Body of a request for a job. */
export const createBody = z
  .strictObject({
    model: baseModel,
    datanets: z.array(versionRef).min(1).max(MAX_DATANETS),
    suffix: z
      .string()
      .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'use 1 to 64 of a-z 0-9 . _ -, a letter or digit first')
      .optional()
      .openapi({ description: 'The model will be `<base>:<your address>/<suffix>`.' }),
    method: methodBody.optional(),
    seed: z.int().min(0).max(0xffff_ffff).optional(),
    price_per_token: decimal
      .refine((wei) => wei <= MAX_PRICE_WEI, `at most ${MAX_PRICE_WEI} wei`)
      .optional()
      .openapi({ type: 'string', description: 'Wei.' }),
    metadata: z.record(z.string(), z.string()).nullish(),
  })
  .openapi('CreateFineTuningJob')

/** The job that a request asks for. */
export const jobInput = (body: z.infer<typeof createBody>): JobInput => ({
  model: body.model,
  datanets: body.datanets,
  slug: body.suffix,
  method: methodOf(body.method, body.seed),
  pricePerToken: body.price_per_token,
})
