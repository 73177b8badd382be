"""Golden vectors for serving a base in 8 and 4 bits, made with NumPy, PyTorch and transformers.

    .venv/bin/python test/golden/engine/quantized.py

A random tiny model as `save_pretrained` writes it, one sequence (batch.json), and its logits (expected.safetensors) when every
product of a linear layer is computed as the reference code of ggml does it for Q4_0 and Q8_0, with scales in float32: weights in
blocks of 32 with one scale (in 8 bits our own variant, see engine/quant.ts), activations rounded to 8 bits in blocks of 32, whole
numbers multiplied. `exact` are the logits of the unquantized model.
Written with torch 2.15.0, transformers 5.23.0.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, LlamaConfig

FOLDER = Path(__file__).parent / "quantized"
BLOCK = 32
BITS = {"int8": 8, "int4": 4}


def rounded_away(x):
    """Halves go up, as in JavaScript's Math.round."""
    return np.floor(x + 0.5)


def quantize_weight(weight, bits):
    """[out, in] -> whole numbers [out, blocks, 32] and scales [out, blocks]; the extreme of a block is exact."""
    middle = 2 ** (bits - 1)
    blocks = weight.reshape(weight.shape[0], -1, BLOCK)
    at = np.abs(blocks).argmax(-1, keepdims=True)
    scale = (np.take_along_axis(blocks, at, -1) / np.float32(-middle)).astype(np.float32)
    levels = rounded_away(blocks.astype(np.float64) / scale.astype(np.float64))
    return np.clip(levels, -middle, middle - 1), scale[..., 0]


def quantize_activation(x):
    """[rows, in] -> whole numbers [rows, blocks, 32] and scales [rows, blocks] (ggml's quantize_row_q8_0)."""
    blocks = x.reshape(x.shape[0], -1, BLOCK)
    scale = (np.abs(blocks).max(-1, keepdims=True) / np.float32(127)).astype(np.float32)
    inverse = np.where(scale == 0, 0, np.float32(1) / np.where(scale == 0, 1, scale)).astype(np.float32)
    return np.rint(blocks * inverse), scale[..., 0]


class QuantizedLinear(torch.nn.Module):
    def __init__(self, linear, bits):
        super().__init__()
        self.q, self.scale = quantize_weight(linear.weight.detach().numpy(), bits)

    def forward(self, x):
        rows = x.detach().reshape(-1, x.shape[-1]).numpy()
        q, scale = quantize_activation(rows)
        products = np.einsum("nbk,obk->nob", q, self.q)  # whole numbers, exact
        y = np.einsum("nob,nb,ob->no", products, scale.astype(np.float64), self.scale.astype(np.float64))
        return torch.tensor(y, dtype=torch.float32).reshape(*x.shape[:-1], -1)


def quantized(model, bits):
    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, QuantizedLinear(module, bits))
    return model


shutil.rmtree(FOLDER, ignore_errors=True)
torch.manual_seed(7)
config = LlamaConfig(
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    vocab_size=61,
    rms_norm_eps=1e-5,
    initializer_range=0.15,
    bos_token_id=1,
    eos_token_id=2,
)
config._attn_implementation = "eager"
AutoModelForCausalLM.from_config(config).save_pretrained(FOLDER)
(FOLDER / "generation_config.json").unlink(missing_ok=True)
tokens = torch.randint(0, config.vocab_size, (24,))
(FOLDER / "batch.json").write_text(json.dumps({"tokens": tokens.tolist()}) + "\n")

load = lambda: AutoModelForCausalLM.from_pretrained(FOLDER, attn_implementation="eager").eval()
with torch.inference_mode():
    expected = {"exact": load()(tokens[None]).logits[0]}
    for name, bits in BITS.items():
        expected[name] = quantized(load(), bits)(tokens[None]).logits[0]
save_file({key: value.contiguous() for key, value in expected.items()}, FOLDER / "expected.safetensors")
for name in BITS:
    error = (expected[name] - expected["exact"]).norm() / expected["exact"].norm()
    print(name, f"differs from float32 by {error:.3f}")
