#!/usr/bin/env python3
"""Golden PPO: three whole iterations as TRL 0.11.4 makes them, the last version whose PPO stands in functions of arrays.

    pip download --no-deps -d DIR trl==0.11.4 && unzip DIR/trl-0.11.4-*.whl -d DIR
    tools/golden/ppo_trl.py DIR/trl [FOLDER]

That version does not import beside the pinned transformers, so its definitions are taken out of its source by name and
run as they stand, with a stand-in for the trainer that holds what they ask it for; nothing of it is kept here.  The
policy is a linear map of given features, so that a file of a few kilobytes holds everything; answers have
different lengths, and stand in their rows as in TRL's, behind a prompt and before padding that a mask takes out.
All is float64.

Where TRL and the papers leave a choice, tools/golden/rounds.py and malmoi do as TRL does: rewards are whitened without
moving their mean, variances are unbiased with 1e-8 added, values behind the end are 0.  Two things have other names:
a `horizon` of 10 times the answers of an iteration is the 0.1 of Ziegler et al. 2019, section 2.2, and what TRL counts as a
batch are the answers of a round.  In one thing they are apart: TRL whitens the zeros of padding with the rewards, and what
becomes of them flows back into the answers in front of it, so that advantages would depend on how far a row is
padded; answers whose rewards are whitened stand at the end of their rows here.  Not used: TRL skips an update whose mean
ratio is above 10.
"""
import __future__
import ast
import collections.abc
import json
import pathlib
import sys
import types
import warnings

import numpy
import torch

from golden import ROOT, write_manifest

SEED, ITERATIONS, ANSWERS, PER_UPDATE, PASSES, RATE = 5, 3, 6, 3, 2, 0.5
FEATURES, VOCABULARY, WIDTH = 3, 4, 8
CASES = [dict(gamma=1.0, trace=0.95, beta=0.05, clip=0.2, value_clip=0.2, value_weight=0.1),
         dict(gamma=0.9, trace=0.8, beta=0.3, kl_target=0.5, whiten_rewards=True, clip=0.02, value_clip=0.02, value_weight=0.5)]


# ---- TRL's definitions ----

def definitions(path, names, shared, of=None):
    """Functions and classes of a source file by name, or methods of the class `of`, without their decorators."""
    body = ast.parse(path.read_text()).body
    if of:
        body = next(node for node in body if isinstance(node, ast.ClassDef) and node.name == of).body
    found = [node for node in body if getattr(node, "name", None) in names]
    for node in found:
        node.decorator_list = []
    code = compile(ast.Module(found, []), str(path), "exec", __future__.annotations.compiler_flag, dont_inherit=True)
    own = {}
    exec(code, shared, own)
    missing = set(names) - own.keys()
    if missing:
        sys.exit(f"{path}: no definition of {', '.join(sorted(missing))}: expected TRL 0.11")
    return own


def trainer_of(folder, config, weights):
    """TRL's trainer as far as an iteration after its rollouts needs it."""
    shared = dict(torch=torch, np=numpy, warnings=warnings, Mapping=collections.abc.Mapping)
    shared |= definitions(folder / "core.py", ["masked_mean", "masked_var", "masked_whiten", "clip_by_value", "entropy_from_logits", "flatten_dict"], shared)
    methods = ["_kl_penalty", "compute_rewards", "compute_advantages", "loss", "train_minibatch"]
    trainer = type("Trainer", (), definitions(folder / "trainer/ppo_trainer.py", methods, shared, of="PPOTrainer"))()
    kinds = definitions(folder / "trainer/utils.py", ["AdaptiveKLController", "FixedKLController"], shared)
    trainer.config = types.SimpleNamespace(kl_penalty="kl", ratio_threshold=10.0, max_grad_norm=None, **config)
    trainer.kl_ctl = (kinds["AdaptiveKLController"](config["init_kl_coef"], config["target"], 10 * ANSWERS) if config["target"]
                      else kinds["FixedKLController"](config["init_kl_coef"]))
    trainer.model = types.SimpleNamespace(train=lambda: None)
    trainer.accelerator = types.SimpleNamespace(backward=lambda loss: loss.backward())
    trainer.optimizer = torch.optim.SGD(weights, lr=RATE)
    return trainer


# ---- what it is given ----

def draw_answers(draw):
    """Rows of a round: what stands in front of each token, the tokens, a score, and how long the prompt is."""
    out = []
    for _ in range(ANSWERS):
        n = int(draw.integers(1, 6))
        out.append(dict(features=draw.normal(size=(n, FEATURES)).round(1).tolist(), tokens=draw.integers(0, VOCABULARY, n).tolist(),
                        score=round(float(draw.normal()), 1), lead=int(draw.integers(0, WIDTH - n + 1))))
    return out


def padded(answers, last):
    """[answers, WIDTH, ..] with the mask of what counts; what does not is noise, so that it would show;
    `last` puts nothing behind an answer."""
    noise = numpy.random.default_rng(SEED)
    x = noise.normal(size=(len(answers), WIDTH, FEATURES))
    tokens, mask = noise.integers(0, VOCABULARY, (len(answers), WIDTH)), numpy.zeros((len(answers), WIDTH))
    for i, answer in enumerate(answers):
        n = len(answer["tokens"])
        place = slice(WIDTH - n, WIDTH) if last else slice(answer["lead"], answer["lead"] + n)
        x[i, place], tokens[i, place], mask[i, place] = answer["features"], answer["tokens"], 1
    return torch.tensor(x), torch.tensor(tokens), torch.tensor(mask)


def look(policy, head, x, tokens):
    logits = x @ policy
    return torch.log_softmax(logits, -1).gather(2, tokens[..., None])[..., 0], logits, x @ head


# ---- an iteration ----

def listed(x, mask=None):
    """Numbers as text of twelve digits; with a mask those of each row that count."""
    if mask is not None:
        return [listed(row[m > 0]) for row, m in zip(x, mask)]
    return [listed(row) for row in x] if x.dim() > 1 else [float(f"{v:.12g}") for v in x.tolist()]


def iterate(trainer, policy, head, reference, answers):
    x, tokens, mask = padded(answers, last=trainer.config.whiten_rewards)
    with torch.no_grad():
        old, _, values = look(policy, head, x, tokens)
        apart = look(reference, head, x, tokens)[0]
    coefficient = trainer.kl_ctl.value
    rewards, _, kls = trainer.compute_rewards([a["score"] for a in answers], old, apart, mask)
    values, advantages, returns = trainer.compute_advantages(values, rewards, mask)
    losses = []
    for _ in range(PASSES):
        for at in range(0, len(answers), PER_UPDATE):
            part = slice(at, at + PER_UPDATE)
            logp, logits, now = look(policy, head, x[part], tokens[part])
            told = trainer.train_minibatch(old[part], values[part], logp, logits, now, mask[part], advantages[part], returns[part])
            losses.append([told["loss/policy"], trainer.config.vf_coef * told["loss/value"]])
    trainer.kl_ctl.update(float((kls * mask).sum(-1).mean()), len(answers))
    return dict(coefficient=coefficient, rewards=listed(rewards, mask), advantages=listed(advantages, mask), returns=listed(returns, mask),
                losses=listed(torch.tensor(losses)), policy=listed(policy.detach()), head=listed(head.detach()))


def case(folder, options, start, reference, rounds):
    policy, head = start.clone().requires_grad_(), torch.zeros(FEATURES, dtype=torch.float64, requires_grad=True)
    config = dict(gamma=options["gamma"], lam=options["trace"], init_kl_coef=options["beta"], target=options.get("kl_target", 0),
                  whiten_rewards=options.get("whiten_rewards", False), cliprange=options["clip"], cliprange_value=options["value_clip"],
                  vf_coef=options["value_weight"])
    trainer = trainer_of(folder, config, [policy, head])
    return dict(options=options, rounds=[iterate(trainer, policy, head, reference, answers) for answers in rounds])


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    source = pathlib.Path(sys.argv[1])
    folder = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "tests/golden/ppo"
    folder.mkdir(parents=True, exist_ok=True)
    draw = numpy.random.default_rng(SEED)
    start, reference = (torch.tensor(draw.normal(size=(FEATURES, VOCABULARY)).round(1)) for _ in range(2))
    rounds = [draw_answers(draw) for _ in range(ITERATIONS)]
    version = next(line.split('"')[1] for line in (source / "__init__.py").read_text().splitlines() if line.startswith("__version__"))
    cases = [case(source, options, start, reference, rounds) for options in CASES]
    (folder / "trl.json").write_text(json.dumps(dict(trl=version, rate=RATE, passes=PASSES, per_update=PER_UPDATE, start=listed(start),
                                                     reference=listed(reference), answers=rounds, cases=cases)) + "\n")
    write_manifest(folder, __file__, SEED, libraries=("torch", "numpy"))


if __name__ == "__main__":
    main()
