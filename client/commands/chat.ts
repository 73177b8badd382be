import { createInterface } from 'node:readline/promises'
import { attributionTable, sentenceTable } from '../attribution-table.ts'
import { formatOpen } from '../format.ts'
import { numberOf, UsageError, type Command, type Context } from '../command.ts'
import type { Answer, ChatRequest, Client } from '../openledger.ts'
import { printable } from '../table.ts'

const DEFAULT_MODEL = 'openledger-5m'

/** Asks a model and shows who shaped the answer. */
export const chat: Command = {
  details: 'Without PROMPT it reads questions line by line; an empty line or Ctrl-D ends it.',
  options: {
    model: { value: 'NAME', describe: `model (default ${DEFAULT_MODEL})` },
    system: { value: 'TEXT', describe: 'system message' },
    'max-tokens': { value: 'N', describe: 'longest answer' },
    temperature: { value: 'T', describe: '0 is deterministic' },
    seed: { value: 'N', describe: 'repeats the same draw' },
    sentences: { describe: 'say which records shaped each sentence' },
    'no-store': { describe: 'keep no texts: nobody can check the gradient of the answer again' },
  },
  run: async (context) => {
    const client = await context.settings.client()
    const { input } = context
    const request = requestOf(context)
    const prompt = input.positionals.join(' ')
    if (prompt !== '') {
      await ask(context, client, { ...request, messages: [...request.messages, user(prompt)] })
      return 0
    }
    if (context.json) throw new UsageError('--json needs a PROMPT')
    const lines = createInterface({ input: process.stdin, output: process.stderr })
    context.signal.addEventListener('abort', () => lines.close())
    lines.setPrompt('> ')
    lines.prompt()
    for await (const line of lines) {
      if (line.trim() === '') break
      request.messages.push(user(line))
      const { text } = await ask(context, client, request)
      request.messages.push({ role: 'assistant', content: text })
      lines.prompt()
    }
    lines.close()
    return 0
  },
}

const user = (content: string) => ({ role: 'user' as const, content })

function requestOf({ input }: Context): ChatRequest {
  const [maxTokens, temperature, seed] = (['max-tokens', 'temperature', 'seed'] as const).map(
    (name) => numberOf(input, name),
  )
  const system = input.text('system')
  return {
    model: input.text('model') ?? DEFAULT_MODEL,
    messages: system === undefined ? [] : [{ role: 'system', content: system }],
    attribution: input.has('sentences') ? 'sentences' : 'full',
    ...(maxTokens !== undefined && { max_tokens: maxTokens }),
    ...(temperature !== undefined && { temperature }),
    ...(seed !== undefined && { seed }),
    ...(input.has('no-store') && { store: false }),
  }
}

async function ask(context: Context, client: Client, request: ChatRequest): Promise<Answer> {
  const stream = client.chatStream(request)
  for (;;) {
    const { value, done } = await stream.next()
    if (!done) {
      context.write(printable(value, '\n'))
      continue
    }
    context.write('\n')
    const view = await client.receipt(value.receiptId)
    const { fee } = view.receipt
    const tables = [sentenceTable(value), attributionTable(view, value.attribution)]
    context.print(
      [
        '',
        ...tables.filter((table) => table !== '').map((table) => `${table}\n`),
        `${formatOpen(fee)} for ${value.promptTokens} + ${value.completionTokens} tokens, receipt ${value.receiptId}`,
      ].join('\n'),
      { ...value, fee },
    )
    return value
  }
}
