import { createInterface } from 'node:readline/promises'
import { attributionTable, sentenceTable } from '../attribution-table.ts'
import { formatOpen } from '../format.ts'
import { numberOf, UsageError, type Command, type Context } from '../command.ts'
import { ApiError, type Answer, type ChatRequest, type Client } from '../openledger.ts'
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
    const lines = createInterface({
      input: process.stdin,
      output: process.stderr,
      terminal: process.stdin.isTTY === true,
      prompt: process.stdin.isTTY ? '> ' : '',
    })
    context.signal.addEventListener('abort', () => lines.close())
    let isOpen = true // its input may end, and be closed, while an answer comes
    lines.once('close', () => (isOpen = false))
    lines.prompt()
    for await (const line of lines) {
      if (line.trim() === '') break
      request.messages.push(user(line))
      const { text } = await askWithin(context, client, request)
      request.messages.push({ role: 'assistant', content: text })
      if (isOpen) lines.prompt()
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

/** Asks; when the conversation has outgrown the model's context, forgets what was said before the last question. */
async function askWithin(context: Context, client: Client, request: ChatRequest): Promise<Answer> {
  try {
    return await ask(context, client, request)
  } catch (error) {
    const kept = request.messages.filter(
      ({ role }, i) => role === 'system' || i === request.messages.length - 1,
    )
    const isTooLong = error instanceof ApiError && error.is('model/context-exceeded')
    if (!isTooLong || kept.length === request.messages.length) throw error
    context.progress.print(
      '! longer than the model’s context: the conversation begins anew with this question',
    )
    request.messages = kept
    return ask(context, client, request)
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
