import { execFile } from 'node:child_process'

const MAIN = new URL('../../client/main.ts', import.meta.url).pathname
const MOST_OUTPUT = 64 * 2 ** 20

export type Said = { status: number; stdout: string; stderr: string }

/** Runs the `openledger` command as a user does, who types `input`. */
export const openledger = (
  args: readonly string[],
  env: Record<string, string>,
  input = '',
): Promise<Said> =>
  new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [MAIN, ...args],
      { env: { PATH: process.env['PATH'], ...env }, maxBuffer: MOST_OUTPUT },
      (error, stdout, stderr) => {
        const code = error?.code
        resolve({ status: typeof code === 'number' ? code : error ? 1 : 0, stdout, stderr })
      },
    )
    child.stdin?.end(input)
  })

/** The JSON value that a command printed; throws what it said instead. */
export function valueOf<T>({ stdout, stderr }: Said): T {
  if (!/^[[{]/.test(stdout)) throw new Error(`openledger said: ${stdout}${stderr}`)
  return JSON.parse(stdout) as T
}
