/** A base model's tokenizer and chat template, as training, serving and attribution use them. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PreTrainedTokenizer } from '@huggingface/transformers'
import { z } from 'zod'
import type { GenerateRequest } from '#protocol/generation.ts'
import type { RecordFields } from '#protocol/wire.ts'

export type Message = { role: 'system' | 'user' | 'assistant'; content: string }

/** A stretch of a rendered record; trained ones are what the model learns to write. */
export type Piece = { text: string; trained: boolean }

export type Tokenizer = {
  /** Number of token ids. */
  vocabulary: number
  /** Tokens that end an answer. */
  endTokens: ReadonlySet<number>
  /** Control tokens: never part of a text. */
  special: ReadonlySet<number>
  /** Tokens of a rendered text, in which control tokens may be written out. */
  encodeRendered: (text: string) => number[]
  /** Text of tokens without the control tokens; an incomplete UTF-8 character at an end becomes U+FFFD. */
  decode: (tokens: readonly number[]) => string
  /** The same with the control tokens written out. */
  decodeRendered: (tokens: readonly number[]) => string
  /** The record as pieces that are tokenized one by one, exactly as generation would see them. */
  renderRecord: (fields: RecordFields) => Piece[]
  /** Tokens that a generation starts from. */
  encodePrompt: (input: GenerateRequest['input']) => number[]
}

/**
 * Splits a control token's literal in untrusted text, so that it is tokenized as words: a private-use character
 * goes between its first and second code unit and is taken out again after the template has been applied.
 */
const BREAK = '\u{F8FF}'

const settings = z.object({ eos_token_id: z.union([z.int(), z.array(z.int())]).optional() })

/** Loads the tokenizer of a model directory in Hugging Face layout; reads no network. */
export async function loadTokenizer(directory: string): Promise<Tokenizer> {
  const read = async (name: string): Promise<unknown> =>
    JSON.parse(await readFile(join(directory, name), 'utf8'))
  const inner = new PreTrainedTokenizer(
    (await read('tokenizer.json')) as object,
    (await read('tokenizer_config.json')) as object,
  )
  const generation = await read('generation_config.json').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return {}
    throw error
  })
  return wrap(inner, [settings.parse(generation).eos_token_id ?? []].flat())
}

function wrap(inner: PreTrainedTokenizer, generationEnds: readonly number[]): Tokenizer {
  const begin = ids(inner.bos_token_id)
  const end = ids(inner.eos_token_id)
  const endText = inner.eos_token ?? ''
  const literals = inner.all_special_tokens.filter((token) => token.length > 1)
  const hasTemplate = typeof inner.chat_template === 'string'

  const defuse = (text: string): string =>
    literals.reduce(
      (clean, literal) => clean.replaceAll(literal, literal.charAt(0) + BREAK + literal.slice(1)),
      text.replaceAll(BREAK, ''),
    )
  const encodeRendered = (text: string): number[] =>
    text
      .split(BREAK)
      .flatMap((part) => (part === '' ? [] : inner.encode(part, { add_special_tokens: false })))
  const decode = (tokens: readonly number[], skipSpecial: boolean): string =>
    tokens.length === 0
      ? ''
      : inner.decode([...tokens], {
          skip_special_tokens: skipSpecial,
          clean_up_tokenization_spaces: false,
        })
  const render = (messages: readonly Message[], open: boolean): string => {
    if (!hasTemplate) throw new Error('the base model has no chat template')
    const safe = messages.map(({ role, content }) => ({ role, content: defuse(content) }))
    return String(inner.apply_chat_template(safe, { tokenize: false, add_generation_prompt: open }))
  }

  const renderMessages = (messages: readonly Message[]): Piece[] => {
    const pieces: Piece[] = []
    let done = ''
    const push = (upTo: string, trained: boolean) => {
      if (!upTo.startsWith(done)) throw new Error('the chat template rewrites earlier messages')
      if (upTo.length > done.length) pieces.push({ text: upTo.slice(done.length), trained })
      done = upTo
    }
    messages.forEach(({ role }, i) => {
      if (role !== 'assistant') return
      push(render(messages.slice(0, i), true), false)
      const whole = render(messages.slice(0, i + 1), false)
      // What follows the end token belongs to the next turn: generation stops before it.
      const at = endText === '' ? -1 : whole.indexOf(endText, done.length)
      push(at < 0 ? whole : whole.slice(0, at + endText.length), true)
    })
    return pieces
  }

  return {
    vocabulary: inner.get_vocab().size,
    endTokens: new Set([...end, ...generationEnds]),
    special: new Set(inner.all_special_ids),
    encodeRendered,
    decode: (tokens) => decode(tokens, true),
    decodeRendered: (tokens) => decode(tokens, false),
    renderRecord: (fields) => {
      if ('messages' in fields) return renderMessages(fields.messages)
      if ('prompt' in fields) {
        return renderMessages([
          { role: 'user', content: fields.prompt },
          { role: 'assistant', content: fields.completion },
        ])
      }
      const text = defuse(fields.text)
      return [
        ...(begin.length > 0 ? [{ text: inner.bos_token ?? '', trained: false }] : []),
        { text: text + endText, trained: true },
      ]
    },
    encodePrompt: (input) =>
      'messages' in input
        ? encodeRendered(render(input.messages, true))
        : [...begin, ...encodeRendered(defuse(input.prompt))],
  }
}

const ids = (id: number | null | undefined): number[] => (typeof id === 'number' ? [id] : [])
