import type { Ctx } from '../context.ts'
import { log } from '../log.ts'
import { Problem } from '../problem.ts'
import { CALLED_OFF, startGeneration, type Generation } from './generate.ts'
import type { Said } from './openai.ts'
import type { GenerationInput } from './request.ts'

/** The answers to one request (`n`): each has funds, a worker and a receipt of its own. */
export type AtLeastOne<T> = readonly [T, ...T[]]

/** Starts all of them, or, when one cannot be started, none: nobody pays, and its Problem is thrown. */
export async function startChoices(
  ctx: Ctx,
  input: GenerationInput,
  gone: AbortController,
): Promise<AtLeastOne<Generation>> {
  const start = (choice: number) => startGeneration(ctx, input, gone.signal, choice)
  const further = Array.from({ length: input.choices - 1 }, (_, i) => start(i + 1))
  const started = [start(0), ...further] as const
  try {
    const [first, ...others] = await Promise.all(started)
    return [first, ...others]
  } catch (error) {
    gone.abort(CALLED_OFF)
    for (const one of await Promise.allSettled(started))
      if (one.status === 'fulfilled') await collect(one.value, 0).catch(() => undefined) // lets its funds go
    throw error
  }
}

/** The answers in one piece each. One that broke off is missing, because the others are paid for; throws when all did. */
export async function answersThatEnded(
  ctx: Ctx,
  generations: AtLeastOne<Generation>,
): Promise<AtLeastOne<Said>> {
  const said = await Promise.allSettled(generations.map(collect))
  const failures = said.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []))
  const [first, ...others] = said.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  if (!first) throw failures[0]
  for (const error of failures) log('error', { requestId: ctx.requestId, during: 'choice', error })
  return [first, ...others]
}

async function collect({ answers }: Generation, choice: number): Promise<Said> {
  let text = ''
  let logprobs: Said['logprobs'] = null
  for await (const answer of answers) {
    if (answer.type === 'end') return { choice, text, logprobs, end: answer }
    text += answer.text
    if (answer.logprobs) logprobs = [...(logprobs ?? []), ...answer.logprobs]
  }
  throw new Problem('inference/failed')
}
