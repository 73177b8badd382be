import assert from 'node:assert/strict'
import test from 'node:test'
import { randomAdapter, tinyConfig } from '../testing.ts'
import { initialAdapter, loraConfig, toPeft } from './lora.ts'
import { importPeft, parsePeftConfig, peftConfig } from './peft.ts'

const base = tinyConfig()
const lora = loraConfig(4, 8, ['self_attn.q_proj', 'mlp.up_proj'])
const { tensors } = randomAdapter(base, lora, 1)
const config = peftConfig(lora, 'tiny')
const files = toPeft(tensors)

const reason = (adapterConfig: object, given = files) => {
  const imported = importPeft(base, adapterConfig, given)
  return 'refused' in imported ? imported.refused : 'accepted'
}

test('a configuration that the engine would compute differently is refused with its reason', () => {
  const refused: [object, RegExp][] = [
    [{ peft_type: 'IA3' }, /only LoRA/],
    [{ use_dora: true }, /DoRA/],
    [{ modules_to_save: ['lm_head'] }, /whole modules/],
    [{ bias: 'lora_only' }, /biases/],
    [{ lora_bias: true }, /biases on B/],
    [{ fan_in_fan_out: true }, /\[in, out\]/],
    [{ init_lora_weights: 'pissa_niter_4' }, /changes the base weights/],
    [{ layers_to_transform: [0] }, /chosen layers/],
    [{ target_modules: 'all-linear' }, /expected array/],
    [{ target_modules: ['q_proj', 'embed_tokens'] }, /"embed_tokens" is not a linear layer/],
    [{ rank_pattern: { '.*q_proj': 2 } }, /Invalid key in record\s.*rank_pattern/],
    [{ trainable_token_indices: [5] }, /token embeddings/],
  ]
  for (const [change, message] of refused) {
    assert.match(reason({ ...config, ...change }), message)
  }
})

test('tensors that do not fit the configuration or the base model are refused with their reason', () => {
  assert.equal(reason(config), 'accepted')
  assert.match(reason({ ...config, r: 8 }), /has dims \[4,24\], expected \[8,24\]/)
  assert.match(reason({ ...config, target_modules: ['q_proj'] }), /unexpected tensor ".*up_proj/)
  const [first, ...rest] = files
  assert.match(reason(config, new Map(rest)), /"base_model.*lora_A.weight" is missing/)
  const magnitude = `${first![0].replace('lora_A.weight', 'lora_magnitude_vector')}`
  assert.match(reason(config, new Map([...files, [magnitude, first![1]]])), /unexpected tensor/)
  const deeper = toPeft(initialAdapter(tinyConfig({ num_hidden_layers: 3 }), lora, 1))
  assert.match(reason(config, deeper), /deeper model; the base has 2 layers/)
  const wider = toPeft(initialAdapter(tinyConfig({ hidden_size: 32 }), lora, 1))
  assert.match(reason(config, wider), /has dims \[4,32\], expected \[4,24\]/)
})

test('what PEFT leaves out has the defaults of PEFT', () => {
  assert.deepEqual(parsePeftConfig({ peft_type: 'LORA', target_modules: ['self_attn.v_proj'] }), {
    lora: { rank: 8, alpha: 8, targets: ['self_attn.v_proj'] },
  })
})
