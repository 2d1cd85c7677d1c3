"""Writes what the benchmarks read: two random model folders in f32, one training text.

    inputs.py FOLDER

gpt2/ and llama/ have the shapes of shapes.py and a byte-level tokenizer that is filled up to the
model's vocabulary, so that every id has a text; text.jsonl holds rows that fill a block each.  A
model that stands there already is kept.
"""
import json
import pathlib
import random
import sys

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM,
                          PreTrainedTokenizerFast)

import shapes

END = "<|endoftext|>"
ROWS, LETTERS = 64, shapes.T                   # a row of T letters and its end: T tokens to learn


def tokenizer_of(size):
    """One token per byte, one that ends a text, and unused ones up to `size`."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = [END, *alphabet, *(f"<unused{i}>" for i in range(size - len(alphabet) - 1))]
    tokenizer = Tokenizer(models.BPE({name: i for i, name in enumerate(names)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=END, eos_token=END)


def write_model(folder, model):
    if not (folder / "tokenizer.json").exists():
        model = model()
        model.save_pretrained(folder)
        tokenizer_of(model.config.vocab_size).save_pretrained(folder)


def write_text(path):
    draw = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz      "
    with open(path, "w") as out:
        for _ in range(ROWS):
            out.write(json.dumps({"text": "".join(draw.choices(letters, k=LETTERS))}) + "\n")


def main():
    folder = pathlib.Path(sys.argv[1])
    torch.manual_seed(0)
    write_model(folder / "gpt2", lambda: GPT2LMHeadModel(GPT2Config(
        **shapes.GPT2, bos_token_id=0, eos_token_id=0, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0)))
    write_model(folder / "llama", lambda: LlamaForCausalLM(LlamaConfig(
        **shapes.LLAMA, bos_token_id=0, eos_token_id=0)))
    write_text(folder / "text.jsonl")


if __name__ == "__main__":
    main()
