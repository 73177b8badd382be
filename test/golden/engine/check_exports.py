"""Checks the engine's exports with the programs they are for: PEFT, transformers and llama.cpp's own GGUF reader.

    npx node test/golden/engine/write_exports.ts /tmp/exports
    .venv/bin/pip install gguf
    .venv/bin/python test/golden/engine/check_exports.py /tmp/exports
"""

import json
import sys
from pathlib import Path

import torch
from gguf import GGUFReader, MODEL_ARCH_NAMES, get_tensor_name_map
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

HERE = Path(__file__).parent
ARCHITECTURE = {name: arch for arch, name in MODEL_ARCH_NAMES.items()}


def load_base(golden):
    """The model alone: from_pretrained would find the adapter beside it and load that too."""
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(golden), attn_implementation="eager")
    weights = {}
    for file in golden.glob("model*.safetensors"):
        weights |= load_file(file)
    model.load_state_dict(weights, strict=False)
    model.tie_weights()
    return model


def logits(model, golden):
    rows = json.loads((golden / "batch.json").read_text())["sequences"]
    return torch.cat([model.eval()(torch.tensor([row])).logits[0] for row in rows])


def permute(weights, heads):
    """As llama.cpp's convert_hf_to_gguf.py reorders q and k."""
    rows = weights.shape[0]
    return weights.reshape(heads, 2, rows // heads // 2, -1).swapaxes(1, 2).reshape(weights.shape)


def check(folder: Path):
    golden = HERE / folder.name
    expected = load_file(golden / "expected.safetensors")["lora_logits"]
    base = load_base(golden)
    before = {name: value.detach().clone() for name, value in base.named_parameters()}
    adapted = PeftModel.from_pretrained(base, folder / "peft")
    errors = {"peft": (logits(adapted, golden) - expected).abs().max().item()}
    merged = AutoModelForCausalLM.from_pretrained(folder / "merged", attn_implementation="eager")
    errors["merged"] = (logits(merged, golden) - expected).abs().max().item()

    reader = GGUFReader(folder / "adapter.gguf")
    fields = {name: field.contents() for name, field in reader.fields.items()}
    assert fields["general.type"] == "adapter" and fields["adapter.type"] == "lora"
    architecture = fields["general.architecture"]
    names = get_tensor_name_map(ARCHITECTURE[architecture], base.config.num_hidden_layers)
    stored = {tensor.name: torch.tensor(tensor.data) for tensor in reader.tensors}
    worst = 0.0
    # What merging added to every weight is what the GGUF adapter adds to llama.cpp's copy of it.
    for name, weight in adapted.merge_and_unload().named_parameters():
        key = f"{names.get_name(name.removesuffix('.weight'))}.weight"
        if f"{key}.lora_a" not in stored:
            assert torch.equal(weight, before[name]), name
            continue
        a, b = stored.pop(f"{key}.lora_a"), stored.pop(f"{key}.lora_b")
        added = fields["adapter.lora.alpha"] / b.shape[1] * b @ a
        delta = weight - before[name]
        if architecture == "llama" and ".q_proj" in name:
            delta = permute(delta, base.config.num_attention_heads)
        if architecture == "llama" and ".k_proj" in name:
            delta = permute(delta, base.config.num_key_value_heads)
        worst = max(worst, (added - delta).abs().max().item())
    assert not stored, list(stored)
    errors["gguf"] = worst
    print(folder.name, architecture, errors)
    assert max(errors.values()) < 1e-4


with torch.inference_mode():
    for path in sorted(Path(sys.argv[1]).iterdir()):
        check(path)
