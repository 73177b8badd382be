import { DEFAULTS } from '#client/settings.ts'
import type { Stack } from '../stack.ts'
import type { SampleState } from './sample-state.ts'

/** The stack's addresses, and how to call it with curl, OpenAI's client and our command. */
export function howToCall({ urls, dirs }: Stack, { outcome }: SampleState): string {
  const addresses = [
    ['API', `${urls.edge}/v1`],
    ['OpenAPI', `${urls.edge}/openapi.json`],
    ['gpu-worker', `${urls.worker}/health`],
    ['chain (JSON-RPC)', urls.chain],
    ['DA server', `${urls.da}/health`],
    ['ledger (Postgres)', urls.ledger],
    ['state and logs', dirs.root],
  ]
  const lines = ['', ...addresses.map(([name = '', at = '']) => `  ${name.padEnd(20)}${at}`)]
  if (outcome) {
    const body = {
      model: outcome.model,
      messages: [{ role: 'user', content: outcome.question }],
      max_tokens: 80,
      temperature: 0,
      attribution: 'full',
    }
    lines.push(
      '',
      'Call it:',
      '',
      `  curl -s ${urls.edge}/v1/chat/completions \\`,
      `    -H 'Authorization: Bearer ${outcome.apiKey}' -H 'Content-Type: application/json' \\`,
      `    -d ${quoted(JSON.stringify(body))}`,
      '',
      `  const openai = new OpenAI({ baseURL: '${urls.edge}/v1', apiKey: '${outcome.apiKey}' })`,
      `  await openai.chat.completions.create(${JSON.stringify({ model: body.model, messages: body.messages })})`,
      '',
      `  export OPENLEDGER_API_KEY=${outcome.apiKey}`,
      ...(urls.edge === DEFAULTS.edge
        ? []
        : [
            `  export OPENLEDGER_EDGE=${urls.edge} OPENLEDGER_RPC=${urls.chain} OPENLEDGER_DA=${urls.da}`,
          ]),
      `  npx openledger chat --model ${outcome.model} ${quoted(outcome.question)}`,
    )
  }
  return [...lines, '', 'Ctrl-C stops everything; the next `npm start` goes on from here.'].join(
    '\n',
  )
}

/** Text as one word of a shell. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`
