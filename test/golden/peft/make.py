"""Logits of a model with an exported adapter, computed by transformers and PEFT.

  python test/golden/peft/make.py MODEL_DIR ADAPTER_DIR TOKENS > expected.json

TOKENS is a comma-separated list of token ids. Prints the first 16 logits at every position, and the norm of all.
gpu-worker/training/peft.test.ts makes the directories, compares our own logits with test/golden/peft/expected.json and,
where OPENLEDGER_PYTHON names an interpreter with torch, transformers and peft, runs this script again.
"""

import json
import sys

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

model_dir, adapter_dir, tokens = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
model = PeftModel.from_pretrained(model, adapter_dir).eval()
with torch.no_grad():
    logits = model(torch.tensor([[int(token) for token in tokens.split(",")]])).logits[0]
print(json.dumps({"first": logits[:, :16].tolist(), "norms": logits.norm(dim=1).tolist()}))
