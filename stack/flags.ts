import { existsSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { messageOf } from '#protocol/errors.ts'

export type Flags = {
  /** The user's own file to run the journey on, instead of the sample. */
  data?: string
  /** Name of the Datanet that the file goes into. */
  datanet?: string
  fresh: boolean
  sample: boolean
  once: boolean
  portBase?: number
  state: string
}

export const USAGE = `npm start -- [flags]

Starts the local stack (chain, DA server, Postgres, edge, gpu-worker), on fresh state runs the sample journey,
then keeps serving until Ctrl-C.

  --data FILE      run the journey on your own JSONL, CSV, JSON or text file
  --datanet NAME   what to call its Datanet (default: the file's name)
  --fresh          delete the state first
  --no-sample      only serve
  --once           end after the journey; exit code 0 only if every step held
  --port-base N    listen on ports N to N+5 instead of 8545, 3100, 5433, 8787, 8790 and 9229
  --state DIR      folder of the state (default: .openledger)
  --help           print this
`

/** Parses the command line; a string is what to tell a user who got it wrong. */
export function parseFlags(args: string[]): Flags | 'help' | { wrong: string } {
  try {
    const { values } = parseArgs({
      args,
      options: {
        data: { type: 'string' },
        datanet: { type: 'string' },
        fresh: { type: 'boolean', default: false },
        'no-sample': { type: 'boolean', default: false },
        once: { type: 'boolean', default: false },
        'port-base': { type: 'string' },
        state: { type: 'string', default: '.openledger' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
    if (values.help) return 'help'
    const portBase = values['port-base']
    if (portBase !== undefined && !isPortBase(portBase))
      return { wrong: `--port-base needs a number from 1024 to 65530, not "${portBase}"` }
    if (values.datanet !== undefined && values.data === undefined)
      return { wrong: '--datanet names the Datanet of --data FILE; give both' }
    if (values['no-sample'] && (values.data !== undefined || values.once))
      return { wrong: '--no-sample only serves; it goes with neither --data nor --once' }
    if (values.data !== undefined && !existsSync(values.data))
      return { wrong: `--data: there is no file ${values.data}` }
    return {
      ...(values.data !== undefined && {
        data: resolve(values.data),
        datanet: values.datanet ?? basename(values.data).replace(/\.[^.]*$/, ''),
      }),
      fresh: values.fresh,
      sample: !values['no-sample'],
      once: values.once,
      ...(portBase !== undefined && { portBase: Number(portBase) }),
      state: resolve(values.state),
    }
  } catch (error) {
    return { wrong: messageOf(error) }
  }
}

const isPortBase = (text: string): boolean =>
  /^[0-9]{4,5}$/.test(text) && Number(text) >= 1024 && Number(text) <= 65530
