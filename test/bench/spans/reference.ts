import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SpanShard } from '#gpu-worker/attribution/span-index.ts'

/** The same algorithms in C, and libdivsufsort; null where the machine has no compiler or no Python with it. */
export type Compiled = {
  /** Seconds to sort a shard's text. Throws when the order is another one. */
  build: () => number
  /** What each query took in microseconds and how much it found. */
  query: (queries: readonly number[][]) => { micros: number; stretches: number; holders: number }[]
}

export type ReferenceOptions = {
  scratch: string
  shard: SpanShard
  vocabulary: number
  rules: { minTokens: number; maxClusters: number }
}

/** Compiles reference.c; null without a C compiler. */
export function compileReference(scratch: string): string | null {
  const program = join(scratch, 'reference')
  const source = new URL('reference.c', import.meta.url).pathname
  try {
    execFileSync('cc', ['-O3', '-march=native', '-o', program, source], { stdio: 'ignore' })
    return program
  } catch {
    return null
  }
}

const run = (program: string, args: (string | number)[]): string =>
  execFileSync(program, args.map(String), { encoding: 'utf8', maxBuffer: 2 ** 28 })

/** Gives a shard to the compiled program. */
export function openReference(
  program: string,
  { scratch, shard: { corpus, rowStart }, vocabulary, rules }: ReferenceOptions,
): Compiled {
  const file = (name: string, data: NodeJS.ArrayBufferView): string => {
    const path = join(scratch, name)
    writeFileSync(path, data)
    return path
  }
  const text = file('text', corpus.text)
  return {
    build: () => {
      const [seconds, sum] = run(program, ['build', text, vocabulary]).trim().split(' ').map(Number)
      if (seconds === undefined || sum !== checksum(corpus.suffixes))
        throw new Error('the compiled reference sorts otherwise')
      return seconds
    },
    query: (queries) => {
      const symbols = Int32Array.from(queries.flat(), (token) => token + 1)
      const files = [
        text,
        file('suffixes', corpus.suffixes),
        file('rows', rowStart),
        file('queries', symbols),
      ]
      const limits = [queries[0]?.length ?? 0, rules.minTokens, rules.maxClusters]
      return run(program, ['query', ...files, ...limits])
        .trim()
        .split('\n')
        .map((line) => {
          const [micros = 0, stretches = 0, holders = 0] = line.split(' ').map(Number)
          return { micros, stretches, holders }
        })
    },
  }
}

/** FNV-1a over 32-bit words, as reference.c computes it. */
function checksum(words: Int32Array): number {
  let sum = 2_166_136_261
  for (const word of words) sum = Math.imul(sum ^ word, 16_777_619)
  return sum >>> 0
}

/**
 * Seconds that libdivsufsort takes for the text: it sorts bytes, so the big-endian bytes of 16-bit symbols, of which
 * every second suffix counts. Null without Python and pydivsufsort (`PYTHON` names the interpreter).
 */
export function divsufsortSeconds(scratch: string): number | null {
  const script = `
import sys, time, numpy, pydivsufsort
text = numpy.fromfile(sys.argv[1], dtype='<u2').astype('>u2').view(numpy.uint8)
start = time.perf_counter()
order = pydivsufsort.divsufsort(text)
order = order[order % 2 == 0] >> 1
print(time.perf_counter() - start)`
  try {
    return Number(
      execFileSync(process.env['PYTHON'] ?? 'python3', ['-c', script, join(scratch, 'text')], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }),
    )
  } catch {
    return null
  }
}
