/** The tokenizer's files in Hugging Face layout, and the loaded tokenizer. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type PreTrainedTokenizer,
  PreTrainedTokenizer as Tokenizer,
} from '@huggingface/transformers'
import type { Vocabulary } from './bpe.ts'
import type { Document } from './sources.ts'

export const SPECIAL_TOKENS = [
  '<|pad|>',
  '<|bos|>',
  '<|end|>',
  '<|user|>',
  '<|assistant|>',
  '<|system|>',
] as const
export const [PAD, BOS, END] = SPECIAL_TOKENS
export const [PAD_ID, BOS_ID, END_ID] = [0, 1, 2]

/** One turn is `<|role|>`, a newline, the words, `<|end|>`, a newline; the generation prompt opens an assistant's turn. */
const CHAT_TEMPLATE =
  '{{ bos_token }}{% for message in messages %}' +
  "{{ '<|' + message['role'] + '|>\\n' + message['content'] + eos_token + '\\n' }}" +
  '{% endfor %}' +
  "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"

/** The contents of tokenizer.json: byte-level BPE that puts `<|bos|>` before a text, as Llama tokenizers do. */
function tokenizerJson({ tokens, merges }: Vocabulary): object {
  const byteLevel = {
    type: 'ByteLevel',
    add_prefix_space: false,
    trim_offsets: true,
    use_regex: true,
  }
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: SPECIAL_TOKENS.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: BOS, type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [
        { SpecialToken: { id: BOS, type_id: 0 } },
        { Sequence: { id: 'A', type_id: 0 } },
        { Sequence: { id: 'B', type_id: 1 } },
      ],
      special_tokens: { [BOS]: { id: BOS, ids: [BOS_ID], tokens: [BOS] } },
    },
    decoder: byteLevel,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: merges.map((pair) => pair.join(' ')),
    },
  }
}

/** The contents of tokenizer_config.json for a model that reads `maxLength` tokens. */
function tokenizerConfig(maxLength: number): object {
  return {
    tokenizer_class: 'PreTrainedTokenizerFast',
    bos_token: BOS,
    eos_token: END,
    pad_token: PAD,
    additional_special_tokens: SPECIAL_TOKENS.slice(3),
    add_bos_token: true,
    clean_up_tokenization_spaces: false,
    model_max_length: maxLength,
    chat_template: CHAT_TEMPLATE,
  }
}

/** Writes the tokenizer's files and generation_config.json to `dir`, which must exist. Writing twice changes nothing. */
export async function writeTokenizer(
  dir: string,
  vocabulary: Vocabulary,
  maxLength: number,
): Promise<void> {
  const files = {
    'tokenizer.json': tokenizerJson(vocabulary),
    'tokenizer_config.json': tokenizerConfig(maxLength),
    'special_tokens_map.json': {
      bos_token: BOS,
      eos_token: END,
      pad_token: PAD,
      additional_special_tokens: SPECIAL_TOKENS.slice(3),
    },
    'generation_config.json': {
      bos_token_id: BOS_ID,
      eos_token_id: END_ID,
      pad_token_id: PAD_ID,
      do_sample: true,
      temperature: 0.7,
      top_p: 0.9,
    },
  }
  for (const [name, contents] of Object.entries(files)) {
    await writeFile(join(dir, name), `${JSON.stringify(contents, null, 1)}\n`)
  }
}

/** Loads the tokenizer that `writeTokenizer` left in `dir`; reads no network. */
export async function loadTokenizer(dir: string): Promise<PreTrainedTokenizer> {
  const read = async (name: string) => JSON.parse(await readFile(join(dir, name), 'utf8'))
  return new Tokenizer(await read('tokenizer.json'), await read('tokenizer_config.json'))
}

/** The tokens of a document as the model sees it: `<|bos|>` text `<|end|>`, or the conversation in the chat template. */
export function encodeDocument(tokenizer: PreTrainedTokenizer, { content }: Document): number[] {
  if (typeof content === 'string') return [...tokenizer.encode(content), END_ID]
  const text = tokenizer.apply_chat_template(content, { tokenize: false }) as string
  return tokenizer.encode(text.trimEnd(), { add_special_tokens: false })
}
