/** Texts that address the model instead of the reader. Quantifiers are bounded: time is linear in the text. */
export const INJECTION_PATTERNS: readonly RegExp[] = [
  /\b(?:ignore|disregard|forget|override|bypass)\s{1,4}(?:(?:all|any|every|everything|the|your|my|of|these|those|this)\s{1,4}){0,4}(?:previous|prior|above|preceding|earlier|foregoing|initial|original|system)\s{1,4}(?:instructions?|prompts?|directions?|messages?|rules|guidelines|context)\b/,
  /\bforget\s{1,4}(?:everything|all)\s{1,4}(?:you|above|before|that)\b/,
  /\b(?:reveal|print|repeat|show|output|leak)\s{1,4}(?:me\s{1,4})?(?:your|the)\s{1,4}(?:system|initial|hidden|secret)\s{1,4}(?:prompt|instructions?|message)\b/,
  /\byou\s{1,4}are\s{1,4}(?:now|no\s{1,4}longer)\s{1,4}(?:(?:in|an?|the)\s{1,4}){0,2}(?:dan|jailbroken|unrestricted|unfiltered|developer\s{1,4}mode|bound\s{1,4}by)\b/,
  /\b(?:do\s{1,4}anything\s{1,4}now|jailbreak\s{1,4}mode|developer\s{1,4}mode\s{1,4}enabled)\b/,
  /\bnew\s{1,4}(?:system\s{1,4})?(?:instructions?|prompt)\s{0,4}:\s/,
  /!\[[^\]\n]{0,200}\]\(https?:\/\/[^\s)]{1,300}[?&][\w-]{1,40}=(?:\{|\$|<|%7b)/, // image that leaks what it is filled with
]

/** Markers of chat templates: in training text they forge turns. */
export const CONTROL_TOKENS =
  /<\|(?:im_start|im_end|endoftext|system|user|assistant|eot_id|begin_of_text|end_of_text|start_header_id|end_header_id)\|>|\[\/?INST\]|<<\/?SYS>>|<(?:start|end)_of_turn>|<\/?s>(?=\s{0,4}\[INST\])/

const NON_ASCII = /[\u0080-\uffff]/

/** Which of the two a text shows. Compatibility forms (fullwidth letters, ligatures) are read as what they look like. */
export function findInjection(text: string): ('PROMPT_INJECTION' | 'CONTROL_TOKENS')[] {
  const plain = NON_ASCII.test(text) ? text.normalize('NFKC') : text
  const lower = plain.toLowerCase()
  const found: ('PROMPT_INJECTION' | 'CONTROL_TOKENS')[] = []
  if (INJECTION_PATTERNS.some((pattern) => pattern.test(lower))) found.push('PROMPT_INJECTION')
  if (CONTROL_TOKENS.test(plain)) found.push('CONTROL_TOKENS')
  return found
}
