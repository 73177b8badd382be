"""Golden vectors for gpu-worker/engine, made with PyTorch, transformers and PEFT.

    python -m venv .venv && .venv/bin/pip install torch transformers peft safetensors
    .venv/bin/python test/golden/engine/make.py [case ...]

Per case: a random tiny model and a LoRA adapter (on all linear layers unless said) exactly as `save_pretrained` writes them, a ragged
batch with prompt tokens masked out of the loss (batch.json), and what PyTorch computes for it (expected.safetensors):
logits and loss of the model, logits and loss with the adapter, and the gradients of every parameter of either.
Written with torch 2.15.0, transformers 5.23.0, peft 0.21.2.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

HERE = Path(__file__).parent
IGNORED = -100
LENGTHS = [11, 4, 16]
PROMPTS = [5, 1, 7]

SMALL = dict(
    num_hidden_layers=2,
    vocab_size=61,
    rms_norm_eps=1e-5,
    initializer_range=0.15,
    attention_dropout=0.0,
    bos_token_id=1,
    eos_token_id=2,
)

CASES = {
    # Tied embeddings, three query heads per key head.
    "tied": LlamaConfig(
        hidden_size=24,
        intermediate_size=40,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=True,
        **SMALL,
    ),
    # Untied embeddings, no grouping, heads wider than hidden / heads, Llama 3.1's frequency scaling.
    "untied": LlamaConfig(
        hidden_size=16,
        intermediate_size=28,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=12,
        max_position_embeddings=64,
        tie_word_embeddings=False,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
        },
        **SMALL,
    ),
}

# The other families: one small case each for what sets it apart. Qwen3 is written in shards.
TINY = dict(hidden_size=16, intermediate_size=24, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=32)
CASES |= {
    # Nine query heads on three key heads and a higher base of the rotation.
    "smollm2": LlamaConfig(
        **{**TINY, "hidden_size": 18, "num_attention_heads": 9, "num_key_value_heads": 3},
        rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
        tie_word_embeddings=True,
        **SMALL,
    ),
    "mistral": MistralConfig(**TINY, head_dim=4, sliding_window=5, **SMALL),
    "qwen2": Qwen2Config(**TINY, tie_word_embeddings=True, **SMALL),
    "qwen3": Qwen3Config(**TINY, head_dim=6, **SMALL),
}
# An adapter on some layers, with ranks and alphas of their own and rank-stabilised scale.
CASES["patterns"] = LlamaConfig(**TINY, **SMALL)
SHARDED = ["qwen3"]

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


ADAPTERS = {
    "patterns": dict(
        target_modules=["q_proj", "v_proj", "up_proj", "down_proj"],
        use_rslora=True,
        rank_pattern={"q_proj": 2, "layers.1.mlp.up_proj": 6},
        alpha_pattern={"down_proj": 3},
    )
}


def batch(vocab: int):
    """Right-padded tokens, attention mask and labels; -100 on prompts and padding."""
    longest = max(LENGTHS)
    tokens = torch.zeros(len(LENGTHS), longest, dtype=torch.long)
    mask = torch.zeros_like(tokens)
    labels = torch.full_like(tokens, IGNORED)
    for row, (length, prompt) in enumerate(zip(LENGTHS, PROMPTS)):
        tokens[row, :length] = torch.randint(0, vocab, (length,))
        mask[row, :length] = 1
        labels[row, prompt:length] = tokens[row, prompt:length]
    return tokens, mask, labels


def evaluate(model, tokens, mask, labels):
    """Logits of the real tokens, concatenated row by row, and the mean loss over the targets."""
    output = model(input_ids=tokens, attention_mask=mask, labels=labels)
    logits = torch.cat([output.logits[row, :n] for row, n in enumerate(LENGTHS)])
    return logits.detach().clone(), output.loss


def make(name: str, config: LlamaConfig):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(sum(map(ord, name)))
    config._attn_implementation = "eager"
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if key.endswith("norm.weight"):
                parameter.normal_(1.0, 0.2)
            if key.endswith(".bias"):
                parameter.normal_(0.0, 0.3)
    model.save_pretrained(folder, max_shard_size="16KB" if name in SHARDED else "1GB")
    tokens, mask, labels = batch(config.vocab_size)
    expected = {}

    expected["logits"], loss = evaluate(model, tokens, mask, labels)
    loss.backward()
    expected["loss"] = loss.detach().reshape(1)
    for key, parameter in model.named_parameters():
        expected[f"gradient/{key}"] = parameter.grad.clone()

    options = dict(r=4, lora_alpha=6, lora_dropout=0.0, target_modules=LINEAR, task_type="CAUSAL_LM")
    lora = LoraConfig(**(options | ADAPTERS.get(name, {})))
    adapted = get_peft_model(model, lora).eval()
    with torch.no_grad():
        for key, parameter in adapted.named_parameters():
            if "lora_" in key:
                parameter.normal_(0.0, 0.15)
    adapted.save_pretrained(folder)
    expected["lora_logits"], loss = evaluate(adapted, tokens, mask, labels)
    loss.backward()
    expected["lora_loss"] = loss.detach().reshape(1)
    for key, parameter in adapted.named_parameters():
        if "lora_" in key:
            expected[f"lora_gradient/{key.replace('.default', '')}"] = parameter.grad.clone()

    save_file({key: value.contiguous() for key, value in expected.items()}, folder / "expected.safetensors")
    rows = [tokens[row, :n].tolist() for row, n in enumerate(LENGTHS)]
    (folder / "batch.json").write_text(json.dumps({"sequences": rows, "prompts": PROMPTS}) + "\n")
    config_file = folder / "adapter_config.json"
    written = json.loads(config_file.read_text())
    written["target_modules"].sort()  # PEFT keeps a set
    config_file.write_text(json.dumps(written, indent=2, sort_keys=True))
    for extra in ("README.md", "generation_config.json"):
        (folder / extra).unlink(missing_ok=True)


for case, configuration in CASES.items():
    if not sys.argv[1:] or case in sys.argv[1:]:
        make(case, configuration)
