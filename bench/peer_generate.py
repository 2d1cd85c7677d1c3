"""The peer's first token: transformers opens a folder and generates greedily from a prompt.

    peer_generate.py FOLDER PROMPT

Prints the token's text as soon as it is there; bench/run takes the time from the start of the
process to that line, as a user who types the command does.
"""
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, prompt = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
ids = tokenizer(prompt, return_tensors="pt").input_ids
with torch.no_grad():
    out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=1,
                         pad_token_id=tokenizer.eos_token_id)
print(repr(tokenizer.decode(out[0, ids.shape[1]:])), flush=True)
