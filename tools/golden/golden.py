"""What every golden script shares: the batch, the loss, seeded parameters, training steps, the manifest.

A golden model is tiny, random, and random in *every* parameter: a norm's weight of one or a bias
of zero would hide a mistake.  The batch is two sequences of different length that go through the
model one at a time, so no padding convention enters the expected values.

Expected values are PyTorch's f32 on the CPU.  Each script also computes them in f64 and refuses to
write a golden whose f32 value is not far closer to f64 than the tolerance that a test may use; the
tests then fail for a wrong formula and not for an unlucky seed.
"""
import copy
import hashlib
import importlib.metadata
import json
import pathlib
import sys

import torch
import transformers

transformers.utils.logging.disable_progress_bar()
ROOT = pathlib.Path(__file__).resolve().parents[2]
VOCABULARY = 101
ADAMW = dict(lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
STEPS = 10


def batch(seed):
    """Two id sequences, 17 and 9 tokens, away from the special ids 0, 1 and 2."""
    draw = torch.Generator().manual_seed(seed)
    return [torch.randint(3, VOCABULARY, (n,), generator=draw) for n in (17, 9)]


def randomise(model, seed):
    """Overwrites every parameter: norms around one, biases around zero, matrices lively enough that
    attention is far from uniform."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            noise = torch.randn(p.shape, generator=draw)
            is_norm = p.dim() == 1 and name.endswith("weight")
            p.copy_(1 + 0.2 * noise if is_norm else 0.1 * noise if p.dim() == 1 else 0.25 * noise)


def logits_of(model, ids):
    """Logits [T, V] of one sequence."""
    return model(input_ids=ids[None], use_cache=False).logits[0]


def loss_of(model, sequences):
    """Mean next-token cross-entropy over all targets of all sequences."""
    total = sum(torch.nn.functional.cross_entropy(logits_of(model, ids)[:-1], ids[1:], reduction="sum")
                for ids in sequences)
    return total / sum(len(ids) - 1 for ids in sequences)


def gradients(model, sequences):
    """The loss, and the gradient of every trainable parameter by its name."""
    model.zero_grad()
    loss = loss_of(model, sequences)
    loss.backward()
    return loss.detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}


def adamw_losses(model, sequences):
    """The losses of STEPS AdamW steps, each measured before its update; the model is left as it was."""
    model = copy.deepcopy(model)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], **ADAMW)
    losses = []
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss = loss_of(model, sequences)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return torch.tensor(losses)


def expectations(model, sequences):
    """Everything that a test compares, as a flat dictionary of tensors: ids.N, logits.N, loss,
    grad.NAME and losses."""
    out = {f"ids.{i}": ids.int() for i, ids in enumerate(sequences)}
    with torch.no_grad():
        out |= {f"logits.{i}": logits_of(model, ids) for i, ids in enumerate(sequences)}
    loss, grads = gradients(model, sequences)
    out |= {"loss": loss} | {f"grad.{name}": g for name, g in grads.items()}
    out["losses"] = adamw_losses(model, sequences)
    return out


def refuse_unstable(what, model, sequences, expected):
    """Exits unless f64 agrees with the f32 values of `expected` well inside the tests' tolerances."""
    exact = expectations(copy.deepcopy(model).double(), sequences)
    for name, value in expected.items():
        if not value.is_floating_point():
            continue
        error = (exact[name] - value).norm() / exact[name].norm()
        if error > 2e-5:
            sys.exit(f"{what}: {name}: f32 differs from f64 by {error:.1e} relative; choose another seed")


def contiguous(tensors):
    """safetensors stores no views: plain f32 and i32 tensors, each with its own memory."""
    return {name: t.detach().to(torch.int32 if not t.is_floating_point() else torch.float32)
                   .contiguous().clone() for name, t in tensors.items()}


def write_json(path, document):
    path.write_text(json.dumps(document, indent=2) + "\n")


def write_manifest(folder, script, seed, libraries=("torch", "transformers", "peft", "safetensors")):
    """folder/manifest.json: which script and versions made every file under folder, and its sha256."""
    files = sorted(f for f in folder.rglob("*") if f.is_file() and f.name != "manifest.json")
    for f in files:
        f.chmod(0o644)
    write_json(folder / "manifest.json", {
        "script": f"tools/golden/{pathlib.Path(script).name}",
        "seed": seed,
        "versions": {p: importlib.metadata.version(p).split("+")[0]
                     for p in libraries},
        "sha256": {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files},
    })


def destination(default):
    """Where the script writes: its argument, or the committed folder."""
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / default
    folder.mkdir(parents=True, exist_ok=True)
    return folder
