// Runs programs on ONNX Runtime. `run` blocks the calling thread for the whole computation (onnxruntime-node 1.30
// executes synchronously), so a server gives each session a worker thread of its own.
import * as ort from 'onnxruntime-node'
import type { Program } from './programs/program.ts'
import type { DType } from './onnx/proto.ts'
import { requireTensor } from './tensor.ts'
import type { HostTensor, ParameterMap } from './tensor.ts'

// Otherwise the runtime tells its maker of every model, shape and hash included, and keeps a log in the temporary folder
// (https://github.com/microsoft/onnxruntime/pull/27379). It asks once, before the first session of the process; what a
// worker thread writes here it would not see, so every main thread that starts one loads this file.
process.env['ORT_DISABLE_TELEMETRY'] = '1'

export type ExecutionProvider = 'cpu' | 'webgpu' | 'cuda'

export type SessionOptions = {
  readonly provider?: ExecutionProvider
  /** Threads inside one operator; the runtime's default is one per physical core. */
  readonly threads?: number
}

export type Feed = HostTensor<Float32Array | Int32Array>
export type Feeds = Readonly<Record<string, Feed>>

/** A program ready to run, with its parameters attached. */
export type Session = {
  readonly program: Program
  readonly provider: ExecutionProvider
  /** Runs once. Throws an Error that names the feed when one is missing, unknown or of the wrong shape. */
  readonly run: (feeds: Feeds) => Promise<Map<string, HostTensor>>
  readonly release: () => Promise<void>
}

/**
 * Opens a session. `parameters` must hold everything in `program.parameters`; the runtime copies them, so the arrays
 * may be dropped or changed afterwards, except those in `program.held`. Feeds are read in place on CPU, outputs are fresh arrays.
 */
export async function openSession(
  program: Program,
  parameters: ParameterMap = new Map(),
  options: SessionOptions = {},
): Promise<Session> {
  const { provider = 'cpu', threads } = options
  const externalData: { path: string; data: Uint8Array }[] = []
  const held: Record<string, ort.Tensor> = {}
  for (const [name, dims] of program.parameters) {
    const { data, dims: found } = requireTensor(parameters, name)
    if (found.join() !== dims.join())
      throw new Error(`${name} has dims [${found}], expected [${dims}]`)
    if (!program.held.has(name)) {
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
      externalData.push({ path: name, data: bytes })
    } else if (data instanceof Float32Array) held[name] = new ort.Tensor('float32', data, dims)
    else throw new Error(`${name} must be float32`)
  }
  const inner = await ort.InferenceSession.create(program.model, {
    executionProviders: [provider],
    externalData,
    ...(threads === undefined ? {} : { intraOpNumThreads: threads }),
    logSeverityLevel: 3,
    ...tuning(program),
  })
  return {
    program,
    provider,
    run: async (feeds) => {
      const outputs = await inner.run({ ...held, ...toRuntime(program, feeds) })
      return new Map(Object.entries(outputs).map(([name, tensor]) => [name, fromRuntime(tensor)]))
    },
    release: () => inner.release(),
  }
}

/**
 * Settings per kind of program, measured on CPU. Programs with a backward pass use every weight twice in two layouts:
 * prepacking would hold two more copies of the model for 6 % of speed, and a memory pattern is relearnt for every new
 * batch shape. Inference wants both.
 */
function tuning({ name }: Program): ort.InferenceSession.SessionOptions {
  if (name === 'prefill' || name === 'decode') return { graphOptimizationLevel: 'all' }
  return {
    graphOptimizationLevel: 'basic',
    enableMemPattern: false,
    extra: { session: { disable_prepacking: '1' } },
  }
}

function toRuntime(program: Program, feeds: Feeds): Record<string, ort.Tensor> {
  const sizes = new Map<string, number>()
  const known = new Set(program.inputs.map((input) => input.name))
  const unknown = Object.keys(feeds).find((name) => !known.has(name))
  if (unknown !== undefined) throw new Error(`${program.name} has no input "${unknown}"`)
  return Object.fromEntries(
    program.inputs.map(({ name, dtype, dims }) => {
      const feed = feeds[name]
      if (!feed) throw new Error(`${program.name} needs the input "${name}"`)
      const fits =
        feed.dims.length === dims.length &&
        dims.every((dim, axis) => {
          const size = feed.dims[axis] ?? 0
          if (typeof dim === 'number') return size === dim
          if (!sizes.has(dim)) sizes.set(dim, size)
          return sizes.get(dim) === size
        })
      if (!fits) {
        const bound = [...sizes].map(([symbol, size]) => `${symbol}=${size}`).join(' ')
        throw new Error(`input "${name}" has dims [${feed.dims}], expected [${dims}] with ${bound}`)
      }
      return [name, runtimeTensor(name, dtype, feed)]
    }),
  )
}

function runtimeTensor(name: string, dtype: DType, { data, dims }: Feed): ort.Tensor {
  if (dtype === 'float32' && data instanceof Float32Array) return new ort.Tensor(dtype, data, dims)
  if (dtype === 'int32' && data instanceof Int32Array) return new ort.Tensor(dtype, data, dims)
  throw new Error(`input "${name}" must be ${dtype}`)
}

function fromRuntime({ data, dims }: ort.Tensor): HostTensor {
  if (!(data instanceof Float32Array)) throw new Error('programs answer float32 tensors only')
  return { dims, data }
}
