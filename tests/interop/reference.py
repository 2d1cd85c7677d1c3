"""What the Python libraries say: ids, losses, greedy continuations and training steps."""
import json
import re

import torch
from peft import PeftModel
from transformers.convert_slow_tokenizer import bytes_to_unicode

import material


def scored(tokenizer, document):
    """A document as it is scored: what the tokenizer makes of it, with the beginning that it adds."""
    return torch.tensor(tokenizer(document).input_ids)


def learnt(tokenizer, document):
    """A document as it is learnt: also that it ends."""
    return torch.tensor(tokenizer(document).input_ids + [tokenizer.eos_token_id])


def loss(model, sequences):
    """Mean cross-entropy over every next token of every sequence, each in a pass of its own.  Virtual tokens
    in front of it have logits, but no target."""
    total = sum(torch.nn.functional.cross_entropy(model(input_ids=s[None], use_cache=False).logits[0, -len(s):-1].float(), s[1:],
                                                  reduction="sum") for s in sequences)
    return total / sum(len(s) - 1 for s in sequences)


def folder_loss(folder, documents, adapter=None):
    """loss() of a model folder, an adapter on it if given."""
    model, tokenizer = material.open_model(folder)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter).eval()
    with torch.no_grad():
        return loss(model, [scored(tokenizer, d) for d in documents]).item()


def greedy(model, tokenizer, prompt, count, margin=1e-3):
    """The ids that follow by arg max, each from a full pass.  A near tie, which rounding could turn, is
    an error of the test: choose another prompt."""
    ids = tokenizer(prompt, return_tensors="pt").input_ids[0]
    start = len(ids)
    for _ in range(count):
        with torch.no_grad():
            last = model(input_ids=ids[None], use_cache=False).logits[0, -1]
        first, second = last.topk(2).values
        assert first - second > margin, f"a near tie after {len(ids) - start} tokens"
        if last.argmax() == tokenizer.eos_token_id:
            break
        ids = torch.cat([ids, last.argmax()[None]])
    return ids[start:].tolist()


def token_bytes(tokenizer, ids):
    """What ids stand for, byte by byte: a random model says things that are not UTF-8."""
    byte_level = {char: byte for byte, char in bytes_to_unicode().items()}
    out = b""
    for piece in tokenizer.convert_ids_to_tokens(ids):
        if re.fullmatch("<0x[0-9A-F]{2}>", piece):
            out += bytes([int(piece[3:5], 16)])
        elif "▁" in tokenizer.get_vocab():
            out += piece.replace("▁", " ").encode()
        else:
            out += bytes(byte_level[char] for char in piece)
    return out


def adamw_losses(model, batches, decay=0.01, **settings):
    """The loss of every step of torch's AdamW over whole batches (lists of sequences); matrices decay,
    norms and biases do not."""
    matrices, vectors = ([p for p in model.parameters() if p.requires_grad and (p.dim() > 1) == wanted]
                         for wanted in (True, False))
    optimiser = torch.optim.AdamW([{"params": matrices, "weight_decay": decay},
                                   {"params": vectors, "weight_decay": 0.0}], **settings)
    losses = []
    for batch in batches:
        optimiser.zero_grad()
        step = loss(model, batch)
        step.backward()
        optimiser.step()
        losses.append(step.item())
    return losses


def logged(run, key):
    """A column of a run folder's log: one value for every training step."""
    with open(run / "log.jsonl") as log:
        return [entry[key] for entry in map(json.loads, log) if key in entry]
