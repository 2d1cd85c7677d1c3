"""Writes what the benchmarks read: two random model folders in f32, a training text, preferences and prompts.

    inputs.py FOLDER

gpt2/ and llama/ have the shapes of shapes.py and a byte-level tokenizer that is filled up to the
model's vocabulary, so that every id has a text; text.jsonl holds rows that fill a block each,
pairs.jsonl prompts with two answers, answered.jsonl the same answers one by one, prompts.txt a prompt
on each line.  A model that stands there already is kept.
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


def letters(draw, n):
    return "".join(draw.choices("abcdefghijklmnopqrstuvwxyz      ", k=n))


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_text(path):
    draw = random.Random(0)
    write_rows(path, ({"text": letters(draw, LETTERS)} for _ in range(ROWS)))


def write_pairs(folder):
    draw = random.Random(1)
    pairs = [{"prompt": letters(draw, shapes.PROMPT), "chosen": letters(draw, shapes.ANSWER - 1), "rejected": letters(draw, shapes.ANSWER - 1)}
             for _ in range(ROWS)]
    write_rows(folder / "pairs.jsonl", pairs)
    write_rows(folder / "answered.jsonl", ({"prompt": p["prompt"], "completion": p[side]} for p in pairs for side in ("chosen", "rejected")))


def write_prompts(path):
    draw = random.Random(2)
    path.write_text("".join("a" + letters(draw, 62) + "z\n" for _ in range(shapes.ROLLOUTS)))


def main():
    folder = pathlib.Path(sys.argv[1])
    torch.manual_seed(0)
    write_model(folder / "gpt2", lambda: GPT2LMHeadModel(GPT2Config(
        **shapes.GPT2, bos_token_id=0, eos_token_id=0, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0)))
    write_model(folder / "llama", lambda: LlamaForCausalLM(LlamaConfig(
        **shapes.LLAMA, bos_token_id=0, eos_token_id=0)))
    write_text(folder / "text.jsonl")
    write_pairs(folder)
    write_prompts(folder / "prompts.txt")


if __name__ == "__main__":
    main()
