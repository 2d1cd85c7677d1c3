"""GRPO and PPO over three whole rounds against an independent float64 computation (tools/golden/rounds.py) of
the same answers: losses, and the weights that come of them.

The answers are those that malmoi drew.  Its own numbers are f32: 1e-4 holds losses of the size of 1, and weights that
moved by some 1e-2."""
import json
import sys

import pytest
import safetensors.torch
import torch
import transformers

import conftest
import material
import reference

sys.path.insert(0, str(conftest.ROOT / "tools/golden"))
import rounds                                                     # noqa: E402

STEPS, PROMPTS, GROUP, PER_UPDATE, RATE = 3, 3, 4, 6, 0.05
PLAIN = ["--steps", STEPS, "--lr", RATE, "--schedule", "constant", "--warmup", 0, "--clip", 0, "--no-shuffle", "--dtype", "f32", "--optimizer", "sgd",
         "--momentum", 0, "--prompts", PROMPTS, "--batch-size", 3, "--accumulate", PER_UPDATE // 3, "--max-new-tokens", 10,
         "--reward", "length:<4", "--reward", "0.5*regex:[a-e]", "--log-rollouts", 999, "--log-ids", "--max-kl", 0]


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": text}, ensure_ascii=False) + "\n" for text in material.sentences(STEPS * PROMPTS, seed=8)))
    return path


def double(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()


def run(malmoi, objective, base, prompts, out, *options):
    malmoi("train", objective, "--model", base, "--data", prompts, "--out", out, *PLAIN, *options)
    rows = [json.loads(line) for line in open(out / "rollouts.jsonl")]
    return [rounds.answers_of([row for row in rows if row["step"] == step]) for step in range(1, STEPS + 1)]


def held(out, base, policy, ours, theirs):
    assert ours == pytest.approx(theirs, abs=1e-4)
    before, after = double(base).state_dict(), double(out).state_dict()
    moved = max((after[name] - before[name]).abs().max().item() for name in before)
    assert moved > 2e-3, "the updates must have changed something"
    for name, weight in policy.model.state_dict().items():
        assert torch.allclose(weight, after[name], rtol=0, atol=1e-4), name


@pytest.mark.parametrize("options, more, scale", [
    (["--loss-type", "grpo", "--epsilon", 0.02], dict(low=0.02, high=0.02), "group"),
    (["--loss-type", "dapo", "--epsilon", 0.01, "--epsilon-high", 0.03, "--beta", 0.3, "--kl", "k2", "--scale-rewards", "batch"],
     dict(form="dapo", low=0.01, high=0.03, beta=0.3, kl="k2"), "batch"),
    (["--loss-type", "dr_grpo", "--scale-rewards", "none", "--beta", 0.2, "--kl", "k1"], dict(form="dr_grpo", longest=10, beta=0.2, kl="k1"), "none"),
    (["--ratio", "sequence", "--epsilon", 0.005, "--temperature", 0.8], dict(level="sequence", low=0.005, high=0.005), "group")])
def test_grpo_is_the_float64_reference(malmoi, base, prompts, tmp_path, options, more, scale):
    out = tmp_path / "out"
    steps = run(malmoi, "grpo", base, prompts, out, "--group", GROUP, "--epochs-per-round", 2, *options)
    temperature = 0.8 if "--temperature" in options else 1.0
    policy, fixed = rounds.Policy(double(base), temperature=temperature), rounds.Policy(double(base), temperature=temperature)
    theirs = rounds.rounds(policy, fixed, steps, PER_UPDATE, 2, lambda answers: rounds.group_advantages(answers, scale),
                           lambda p, answers: rounds.grpo_loss(p, answers, **more), RATE)
    held(out, base, policy, reference.logged(out, "loss"), theirs)


@pytest.mark.parametrize("options, more", [
    ([], {}),
    (["--gamma", 0.95, "--lambda", 0.8, "--beta", 0.3, "--kl-target", 0.5, "--missing-eos-penalty", 0.4, "--whiten-rewards", "--epsilon", 0.01,
      "--value-epsilon", 0.02, "--value-weight", 0.5, "--entropy-bonus", 0.05],
     dict(gamma=0.95, trace=0.8, beta=0.3, kl_target=0.5, missing_eos=0.4, whiten_rewards=True, clip=0.01, value_clip=0.02, value_weight=0.5,
          entropy=0.05))])
def test_ppo_is_the_float64_reference(malmoi, base, prompts, tmp_path, options, more):
    out = tmp_path / "out"
    steps = run(malmoi, "ppo", base, prompts, out, "--group", 2, "--epochs-per-round", 3, "--value-rate", 2, *options)
    policy, fixed, how = rounds.Policy(double(base), values=True), rounds.Policy(double(base)), rounds.PPO(**more)
    theirs = rounds.rounds(policy, fixed, steps, PER_UPDATE, 3, how.credit, how.loss, RATE, head_rate=2)
    held(out, base, policy, reference.logged(out, "loss"), theirs)
    head = safetensors.torch.load_file(out / "value_head.safetensors")
    assert torch.allclose(policy.head.weight.detach(), head["v_head.summary.weight"].double(), rtol=0, atol=1e-4)
    assert torch.allclose(policy.head.bias.detach(), head["v_head.summary.bias"].double(), rtol=0, atol=1e-4)
