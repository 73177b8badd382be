/** llama.cpp by way of node-llama-cpp, when `npm install --prefix test/bench/peers --omit=optional --ignore-scripts` has been run. */
import { existsSync } from 'node:fs'

const ENTRY = new URL('../bench/peers/node_modules/node-llama-cpp/dist/index.js', import.meta.url)
export const LLAMA_CPP_MISSING =
  'llama.cpp is missing: npm install --prefix test/bench/peers --omit=optional --ignore-scripts'
export const hasLlamaCpp = (): boolean => existsSync(ENTRY)

/** What is used of node-llama-cpp, which is not installed where this is type-checked. */
type Sequence = {
  evaluate: (
    tokens: readonly number[],
    options: { temperature: number; yieldEogToken: boolean },
  ) => AsyncGenerator<number, void, void>
  clearHistory: () => Promise<void>
}
type Context = { getSequence: () => Sequence; dispose: () => Promise<void> }
type Model = {
  createContext: (options: {
    contextSize: number
    sequences: number
    threads: number
    lora?: string
  }) => Promise<Context>
  dispose: () => Promise<void>
}
type NodeLlamaCpp = {
  getLlama: (options: object) => Promise<{
    loadModel: (options: object) => Promise<Model>
    dispose: () => Promise<void>
  }>
}

export type LlamaCpp = {
  /** Opens so many streams, all with the same adapter (a GGUF file) or the bare model: one adapter is one context. */
  streams: (count: number, adapter?: string, threads?: number) => Promise<LlamaStream[]>
  close: () => Promise<void>
}
/** Greedily continues a prompt by exactly so many tokens; control tokens count and end nothing. */
export type LlamaStream = (prompt: readonly number[], count: number) => Promise<number[]>

const CONTEXT_TOKENS = 512

/** Loads a GGUF model on CPU. */
export async function openLlamaCpp(modelPath: string, threads: number): Promise<LlamaCpp> {
  const { getLlama } = (await import(ENTRY.href)) as NodeLlamaCpp
  const llama = await getLlama({
    build: 'never',
    skipDownload: true,
    gpu: false,
    logLevel: 'error',
  })
  const model = await llama.loadModel({ modelPath, gpuLayers: 0 })
  const contexts: Context[] = []
  return {
    streams: async (count, adapter, ownThreads = threads) => {
      const context = await model.createContext({
        contextSize: CONTEXT_TOKENS,
        sequences: count,
        threads: ownThreads,
        ...(adapter !== undefined && { lora: adapter }),
      })
      contexts.push(context)
      return Array.from({ length: count }, (): LlamaStream => {
        const sequence = context.getSequence()
        return async (prompt, wanted) => {
          await sequence.clearHistory()
          const tokens: number[] = []
          const options = { temperature: 0, yieldEogToken: true }
          for await (const token of sequence.evaluate(prompt, options))
            if (tokens.push(token) === wanted) break
          return tokens
        }
      })
    },
    close: async () => {
      for (const context of contexts) await context.dispose()
      await model.dispose()
      await llama.dispose()
    },
  }
}
