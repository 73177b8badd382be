"""PyTorch with Hugging Face PEFT, as the reference of `npm run bench:training`.

Reads a task, as process.ts writes it, from the first line of its input, and trains a LoRA adapter on all linear layers in float32: frozen base without gradients, scaled dot-product attention, eager,
AdamW in its fused form, gradients clipped at 1. Prints `ready` and the versions; then, for every line `N` that it reads, takes N steps and prints
their seconds and losses; at the end of its input the peak of its memory.
"""

import json
import re
import resource
import sys
from pathlib import Path
import time

import peft
import torch
import transformers
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def say(**message):
    print(json.dumps(message), flush=True)


task = json.loads(sys.stdin.readline())
torch.set_num_threads(task["threads"])
torch.manual_seed(1)
model = AutoModelForCausalLM.from_pretrained(task["model"], dtype=torch.float32, attn_implementation="sdpa")
model.config.use_cache = False
model.requires_grad_(False)
lora = LoraConfig(r=task["rank"], lora_alpha=task["alpha"], lora_dropout=0.0, target_modules=LINEAR, task_type="CAUSAL_LM")
model = get_peft_model(model, lora).train()
trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
optimizer = torch.optim.AdamW(trained, lr=task["learningRate"], betas=(0.9, 0.95), weight_decay=0.0, fused=True)
batches = [torch.tensor(batch).reshape(task["rows"], task["length"]) for batch in task["batches"]]


def step(at: int) -> float:
    tokens = batches[at % len(batches)]
    loss = model(input_ids=tokens, labels=tokens).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()


say(ready=f"PyTorch {torch.__version__.split('+')[0]} with PEFT {peft.__version__}, transformers {transformers.__version__}")
done = 0
for line in iter(sys.stdin.readline, ""):
    started = time.perf_counter()
    losses = [step(done + i) for i in range(int(line))]
    done += len(losses)
    say(seconds=time.perf_counter() - started, losses=losses)
status = Path("/proc/self/status")
kibibytes = re.search(r"VmHWM:\s+(\d+)", status.read_text())[1] if status.exists() else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
say(peakBytes=int(kibibytes) * 1024)
