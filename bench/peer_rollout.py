"""The peer's rollout: transformers answers every line of a file at once, drawing at temperature 1.

    peer_rollout.py MODEL PROMPTS NEW_TOKENS

One JSON line: tokens generated and the seconds that took, without opening the model.
"""
import json
import sys
import time

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, prompts, new = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
tokenizer.pad_token = tokenizer.eos_token
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
with open(prompts) as lines:
    batch = tokenizer(lines.read().splitlines(), return_tensors="pt", padding=True)
start = time.perf_counter()
with torch.no_grad():
    out = model.generate(**batch, do_sample=True, temperature=1.0, top_k=0, min_new_tokens=int(new), max_new_tokens=int(new),
                         pad_token_id=tokenizer.pad_token_id)
print(json.dumps({"seconds": time.perf_counter() - start, "tokens": (out.shape[1] - batch.input_ids.shape[1]) * out.shape[0]}))
