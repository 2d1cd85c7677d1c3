"""What the Python libraries say: ids, losses, greedy continuations and training steps."""
import json

import torch
from peft import PeftModel

import material


def render(tokenizer, document):
    """A document as malmoi learns and scores it: the tokenizer's own beginning, the text, the end token."""
    return torch.tensor(tokenizer(document).input_ids + [tokenizer.eos_token_id])


def loss(model, sequences):
    """Mean cross-entropy over every next token of every sequence, each in a pass of its own."""
    total = sum(torch.nn.functional.cross_entropy(model(input_ids=s[None], use_cache=False).logits[0, :-1].float(), s[1:],
                                                  reduction="sum") for s in sequences)
    return total / sum(len(s) - 1 for s in sequences)


def folder_loss(folder, documents, adapter=None):
    """loss() of a model folder, an adapter on it if given."""
    model, tokenizer = material.open_model(folder)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter).eval()
    with torch.no_grad():
        return loss(model, [render(tokenizer, d) for d in documents]).item()


def greedy(model, tokenizer, prompt, count, margin=1e-2):
    """The text that follows by arg max, each token from a full pass.  A near tie, which rounding could
    turn, is an error of the test: choose another prompt."""
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
    return tokenizer.decode(ids)[len(tokenizer.decode(ids[:start])):]


def adamw_losses(model, batches, **settings):
    """The loss of every step of torch's AdamW over whole batches (lists of sequences)."""
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], **settings)
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
