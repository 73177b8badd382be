import { fork } from 'node:child_process'

export type ChildWork = {
  /** What the process does, for messages. */
  name: string
  /** Answers its first message with its last one. */
  module: URL
  input: object
  /** Kills the process when it aborts. */
  signal: AbortSignal
  onStart?: (pid: number) => void
}

/** Has a module work in a process of its own; returns what it answers. Throws how it ended when it answers nothing. */
export function inChildProcess<Answer>(work: ChildWork): Promise<Answer> {
  const { name, module, input, signal, onStart } = work
  return new Promise((resolve, reject) => {
    const child = fork(module, {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      signal,
      killSignal: 'SIGKILL',
    })
    let answer: { value: Answer } | null = null
    let fault: Error | undefined
    child.on('message', (value) => (answer = { value: value as Answer }))
    child.on('error', (error) => {
      if (!signal.aborted) fault ??= error
    })
    child.on('close', (code, killer) => {
      if (answer) resolve(answer.value)
      else
        reject(
          fault ?? new Error(`the ${name} process ended with ${killer ?? `exit status ${code}`}`),
        )
    })
    child.send(input)
    if (child.pid !== undefined) onStart?.(child.pid)
  })
}
