// Chooses the execution provider by trying them. A candidate must compute what CPU computes and must not be slower (a
// software Vulkan driver is). It proves itself in a child process, because a provider that cannot start may throw, hang
// or abort the whole process.
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { packBatch } from './batch.ts'
import { checkConformance } from './conformance.ts'
import { parseLlamaConfig } from './models/config.ts'
import { initialParameters } from './models/parameters.ts'
import { WEIGHT_FORMATS } from './quant.ts'
import type { WeightFormat } from './quant.ts'
import type { ExecutionProvider } from './session.ts'
import { openTrainer } from './trainer.ts'

const PROBE_TIMEOUT_MS = 60_000
const MARK = 'provider-probe:'

export type ProviderChoice = {
  readonly provider: ExecutionProvider
  /** One line per provider tried, in order, the chosen one last. */
  readonly report: readonly string[]
}

/**
 * Tries providers in order and returns the first that agrees with CPU, serving a base in `format` too, and is not slower;
 * else CPU, which always works.
 */
export async function chooseProvider(
  format: WeightFormat,
  candidates: readonly ExecutionProvider[] = ['cuda', 'webgpu'],
): Promise<ProviderChoice> {
  const report: string[] = []
  for (const provider of candidates.filter((candidate) => candidate !== 'cpu')) {
    const fault = await probe(provider, format)
    if (fault === null)
      return {
        provider,
        report: [...report, `${provider}: agrees with cpu and is not slower, chosen`],
      }
    report.push(`${provider}: ${fault}`)
  }
  return { provider: 'cpu', report: [...report, 'cpu: chosen'] }
}

/** Why the provider cannot be used, in one line; null when it can. */
async function probe(provider: ExecutionProvider, format: WeightFormat): Promise<string | null> {
  const script = fileURLToPath(import.meta.url)
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [script, provider, format], {
      timeout: PROBE_TIMEOUT_MS,
    })
    const verdict = stdout.split('\n').find((line) => line.startsWith(MARK))
    if (verdict === undefined) return 'refused, its probe gave no verdict'
    const fault = verdict.slice(MARK.length)
    return fault === '' ? null : fault
  } catch (error) {
    const { signal, code } = error as { signal?: string | null; code?: number | string | null }
    return `refused, its probe ended with ${signal ?? `exit status ${code}`}`
  }
}

/** The probe itself: what disqualifies the provider, in one line, or nothing. */
async function disqualification(
  provider: ExecutionProvider,
  format: WeightFormat,
): Promise<string> {
  try {
    const [first, ...others] = await checkConformance(provider, format)
    if (first) {
      const { program, output, error } = first
      const more = others.length > 0 ? `, and ${others.length} more outputs are wrong` : ''
      return `refused, ${output} of ${program} is off by ${error.toPrecision(2)}${more}`
    }
    const [own, cpu] = [await trainingStepMs(provider), await trainingStepMs('cpu')]
    return own <= cpu
      ? ''
      : `refused, a step takes ${own.toFixed(0)} ms and ${cpu.toFixed(0)} on cpu`
  } catch (error) {
    const [line] = String(error instanceof Error ? error.message : error).split('\n')
    return `not available (${line})`
  }
}

/** Time of a training step on two layers of the embedded model's shape: the best of three. */
async function trainingStepMs(provider: ExecutionProvider): Promise<number> {
  const config = parseLlamaConfig({
    model_type: 'llama',
    hidden_size: 256,
    num_hidden_layers: 2,
    num_attention_heads: 8,
    num_key_value_heads: 4,
    intermediate_size: 704,
    vocab_size: 4096,
    tie_word_embeddings: true,
  })
  const parameters = initialParameters(config, 1)
  const tokens = Array.from({ length: 128 }, (_, i) => (i * 37) % config.vocab)
  const batch = packBatch(
    Array.from({ length: 8 }, () => ({ tokens })),
    128,
  )
  const trainer = await openTrainer(config, 'parameters', parameters, { provider })
  await trainer.gradients(batch, parameters) // compiles kernels
  let best = Number.POSITIVE_INFINITY
  for (let run = 0; run < 3; run++) {
    const start = performance.now()
    await trainer.gradients(batch, parameters)
    best = Math.min(best, performance.now() - start)
  }
  await trainer.release()
  return best
}

if (import.meta.main) {
  const [provider, asked] = process.argv.slice(2)
  const format = WEIGHT_FORMATS.find((one) => one === asked)
  if ((provider !== 'cuda' && provider !== 'webgpu') || !format)
    throw new Error(`cannot probe "${provider}" with "${asked}"`)
  process.stdout.write(`${MARK}${await disqualification(provider, format)}\n`)
}
