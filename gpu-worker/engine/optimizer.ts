// AdamW (Loshchilov & Hutter 2019) with clipping by the global norm, and learning-rate schedules.
import { globalNorm, requireTensor, zerosLike } from './tensor.ts'
import type { TensorMap } from './tensor.ts'

export type AdamWOptions = {
  readonly beta1: number
  readonly beta2: number
  readonly epsilon: number
  /** Decoupled decay per unit of learning rate, on matrices only: vectors are norms. */
  readonly weightDecay: number
  /** Gradients with a larger global norm are scaled down to it; Infinity turns clipping off. */
  readonly maxGradientNorm: number
}

export const ADAMW_DEFAULTS: AdamWOptions = {
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0.1,
  maxGradientNorm: 1,
}

/** The optimiser's memory: both moments of every tensor and the number of steps taken. Plain data, to be checkpointed. */
export type AdamWState = {
  readonly step: number
  readonly first: TensorMap
  readonly second: TensorMap
}

/** Zero moments for tensors of these shapes. */
export const adamwState = (tensors: TensorMap): AdamWState => ({
  step: 0,
  first: zerosLike(tensors),
  second: zerosLike(tensors),
})

/**
 * One update in place: changes the arrays of `parameters` and of the state's moments, and returns the state with its
 * step advanced and the gradient norm before clipping. Throws an Error, changing nothing, when that norm is not finite.
 */
export function adamwStep(
  parameters: TensorMap,
  gradients: TensorMap,
  state: AdamWState,
  learningRate: number,
  options: AdamWOptions = ADAMW_DEFAULTS,
): { readonly state: AdamWState; readonly gradientNorm: number } {
  const { beta1, beta2, epsilon, weightDecay, maxGradientNorm } = options
  const gradientNorm = globalNorm(gradients)
  if (!Number.isFinite(gradientNorm)) throw new Error(`the gradient norm is ${gradientNorm}`)
  const step = state.step + 1
  const clip = gradientNorm > maxGradientNorm ? maxGradientNorm / gradientNorm : 1
  const stepSize = learningRate / (1 - beta1 ** step)
  const secondCorrection = 1 / (1 - beta2 ** step)
  for (const [name, { data: parameter, dims }] of parameters) {
    update({
      parameter,
      gradient: requireTensor(gradients, name).data,
      first: requireTensor(state.first, name).data,
      second: requireTensor(state.second, name).data,
      keep: dims.length > 1 ? 1 - learningRate * weightDecay : 1,
      clip,
      stepSize,
      secondCorrection,
      beta1,
      beta2,
      epsilon,
    })
  }
  return { state: { ...state, step }, gradientNorm }
}

type Update = {
  readonly parameter: Float32Array
  readonly gradient: Float32Array
  readonly first: Float32Array
  readonly second: Float32Array
  readonly keep: number
  readonly clip: number
  readonly stepSize: number
  readonly secondCorrection: number
  readonly beta1: number
  readonly beta2: number
  readonly epsilon: number
}

// The hot loop: monomorphic typed arrays and locals only.
function update(u: Update): void {
  const { parameter, gradient, first, second, keep, clip, stepSize, secondCorrection, epsilon } = u
  const { beta1, beta2 } = u
  const new1 = (1 - beta1) * clip
  const new2 = (1 - beta2) * clip * clip
  for (let i = 0; i < parameter.length; i++) {
    const g = gradient[i] as number
    const m = beta1 * (first[i] as number) + new1 * g
    const v = beta2 * (second[i] as number) + new2 * g * g
    first[i] = m
    second[i] = v
    const denominator = Math.sqrt(v * secondCorrection) + epsilon
    parameter[i] = keep * (parameter[i] as number) - (stepSize * m) / denominator
  }
}

export type Schedule = {
  readonly kind: 'cosine' | 'linear' | 'constant'
  readonly peak: number
  /** Steps of linear warm-up from peak / warmup to peak. */
  readonly warmup: number
  readonly total: number
  /** The learning rate at the end as a share of the peak; ignored by `constant`. */
  readonly floor: number
}

/** The learning rate of step `step`, counted from 0. */
export function learningRate({ kind, peak, warmup, total, floor }: Schedule, step: number): number {
  if (step < warmup) return (peak * (step + 1)) / warmup
  if (kind === 'constant') return peak
  const progress = Math.min(1, (step - warmup) / Math.max(1, total - warmup))
  const decay = kind === 'linear' ? 1 - progress : (1 + Math.cos(Math.PI * progress)) / 2
  return peak * (floor + (1 - floor) * decay)
}
