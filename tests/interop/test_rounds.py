"""GRPO and PPO over three whole rounds against an independent float64 computation (tools/golden/rounds.py) of
the same answers: losses, and the weights that come of them.  That computation of PPO is itself held to TRL 0.11.4
(tools/golden/ppo_trl.py); GRPO is also held to the pinned TRL's trainer, live.

The answers are those that malmoi drew.  Its own numbers are f32: 1e-4 holds losses of the size of 1, and weights that
moved by some 1e-2."""
import json
import sys

import datasets
import peft
import pytest
import safetensors.torch
import torch
import transformers
import trl

import conftest
import material
import reference

sys.path.insert(0, str(conftest.ROOT / "tools/golden"))
import rounds                                                     # noqa: E402

STEPS, PROMPTS, GROUP, PER_UPDATE, RATE = 3, 3, 4, 6, 0.05
PLAIN = ["--steps", STEPS, "--lr", RATE, "--schedule", "constant", "--warmup", 0, "--clip", 0, "--no-shuffle", "--dtype", "f32", "--optimizer", "sgd",
         "--momentum", 0, "--prompts", PROMPTS, "--batch-size", 3, "--accumulate", PER_UPDATE // 3, "--max-new-tokens", 10,
         "--stop", "e", "--reward", "length:<4", "--reward", "0.5*regex:[a-e]", "--log-rollouts", 999, "--log-ids", "--max-kl", 0]


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


@pytest.mark.parametrize("options, per_update, more", [
    (["--loss-type", "grpo", "--epsilon", 0.02, "--beta", 0.3], 6, dict(loss_type="grpo", epsilon=0.02, beta=0.3)),
    (["--loss-type", "dapo", "--epsilon", 0.01, "--epsilon-high", 0.03, "--beta", 0, "--scale-rewards", "batch"], 12,
     dict(loss_type="dapo", epsilon=0.01, epsilon_high=0.03, beta=0.0, scale_rewards="batch")),
    (["--loss-type", "dr_grpo", "--scale-rewards", "none", "--beta", 0.2], 6, dict(loss_type="dr_grpo", scale_rewards="none", beta=0.2)),
    (["--ratio", "sequence", "--epsilon", 0.005, "--beta", 0.04], 6, dict(loss_type="grpo", importance_sampling_level="sequence", epsilon=0.005, beta=0.04))])
def test_grpo_is_that_of_trl(malmoi, folders, prompts, tmp_path, monkeypatch, options, per_update, more):
    """Its trainer gets malmoi's answers and rewards.  It shuffles the answers of a round, which is undone; its KL is
    the paper's once the ratio is left out of it; and its dapo divides by the tokens of a round where malmoi takes those of an
    update, as many here."""
    base, out = folders("llama"), tmp_path / "out"
    steps = run(malmoi, "grpo", base, prompts, out, "--group", GROUP, "--epochs-per-round", 2, "--batch-size", per_update, "--accumulate", 1, *options)
    monkeypatch.setattr(trl.trainer.grpo_trainer, "shuffle_sequence_dict", lambda batch: batch)
    waiting = iter(steps)

    def answer(texts, trainer):
        answers = next(waiting)
        assert len(texts) == len(answers)
        trainer.given = [a.reward for a in answers]
        return dict(prompt_ids=[a.ids[:-a.length] for a in answers], completion_ids=[a.ids[-a.length:] for a in answers], logprobs=None)

    assert len({a.length for answers in steps for a in answers}) > 3, "answers must differ in length"
    losses = []

    class Trainer(trl.GRPOTrainer):
        def training_step(self, *arguments, **named):
            losses.append(super().training_step(*arguments, **named).item())
            return torch.tensor(losses[-1])

    per_round = PROMPTS * GROUP // per_update
    model, tokenizer = material.open_model(base)
    tokenizer.pad_token = tokenizer.eos_token
    trainer = Trainer(model, reward_funcs=lambda **named: trainer.given, rollout_func=answer, processing_class=tokenizer,
                      train_dataset=datasets.Dataset.from_list([json.loads(line) for line in open(prompts)]),
                      args=trl.GRPOConfig(str(tmp_path / "trl"), max_steps=STEPS * 2 * per_round, per_device_train_batch_size=per_update,
                                          steps_per_generation=per_round, num_generations=GROUP, num_iterations=2, max_completion_length=10, use_bias_correction_kl=False,
                                          optim="sgd", learning_rate=RATE, lr_scheduler_type="constant", max_grad_norm=0, shuffle_dataset=False,
                                          bf16=False, use_cpu=True, gradient_checkpointing=False, report_to=[], save_strategy="no", disable_tqdm=True, **more))
    trainer.train()
    assert next(waiting, None) is None and len(losses) == STEPS * 2 * per_round
    theirs = torch.tensor(losses).reshape(STEPS, -1).mean(1).tolist()
    held(out, base, rounds.Policy(model), reference.logged(out, "loss"), theirs)


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


MORE = dict(beta=0.3, clip=0.01, value_clip=0.05, value_weight=0.5)
TOLD = ["--beta", 0.3, "--epsilon", 0.01, "--value-epsilon", 0.05, "--value-weight", 0.5, "--value-rate", 2]


def same_weights(ours, theirs, before):
    """Two sets of weights by name, and that they are not what they were."""
    moved = max((theirs[name] - before[name]).abs().max().item() for name in theirs)
    assert moved > 1e-3, "the updates must have changed something"
    for name, weight in theirs.items():
        assert torch.allclose(ours[name].double(), weight, rtol=0, atol=1e-4), name


def test_ppo_with_a_value_model_is_the_float64_reference(malmoi, base, prompts, tmp_path):
    """Another trunk, a reward model that transformers made, whose score is the value head."""
    reward, out = tmp_path / "reward", tmp_path / "out"
    torch.manual_seed(7)
    tokenizer = material.open_model(base)[1]
    scored = lambda folder: transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=1, dtype=torch.float64, attn_implementation="eager", pad_token_id=tokenizer.eos_token_id).eval()
    scored(base).float().save_pretrained(reward)
    tokenizer.save_pretrained(reward)
    steps = run(malmoi, "ppo", base, prompts, out, "--group", 2, "--epochs-per-round", 3, "--value-model", reward, *TOLD)
    judge, before = scored(reward), scored(reward).state_dict()
    policy, fixed, how = rounds.Policy(double(base), trunk=judge.base_model, head=judge.score), rounds.Policy(double(base)), rounds.PPO(**MORE)
    theirs = rounds.rounds(policy, fixed, steps, PER_UPDATE, 3, how.credit, how.loss, RATE, head_rate=2)
    held(out, base, policy, reference.logged(out, "loss"), theirs)
    same_weights(scored(out / "value").state_dict(), judge.state_dict(), before)


def test_ppo_with_two_adapters_is_the_float64_reference(malmoi, base, prompts, tmp_path):
    """One base, an adapter for the policy and one for the values.  A run that learns nothing tells how they began."""
    start, out = tmp_path / "start", tmp_path / "out"
    options = ["--group", 2, "--epochs-per-round", 3, "--adapter", "lora", "--lora-r", 4, "--value-apart", *TOLD]
    run(malmoi, "ppo", base, prompts, start, *options, "--lr", 1e-30)
    steps = run(malmoi, "ppo", base, prompts, out, *options)
    adapted = lambda folder: peft.PeftModel.from_pretrained(double(base), folder, is_trainable=True).eval()
    trained = lambda model: peft.get_peft_model_state_dict(model)
    model, values = adapted(start).double(), adapted(start / "value").double()
    before = {which: {name: w.clone() for name, w in trained(m).items()} for which, m in (("policy", model), ("value", values))}
    policy = rounds.Policy(model, values=True, trunk=values.base_model.model.base_model)
    fixed, how = rounds.Policy(double(base)), rounds.PPO(**MORE)
    theirs = rounds.rounds(policy, fixed, steps, PER_UPDATE, 3, how.credit, how.loss, RATE, head_rate=2)
    assert reference.logged(out, "loss") == pytest.approx(theirs, abs=1e-4)
    same_weights(trained(adapted(out)), trained(model), before["policy"])
    same_weights(trained(adapted(out / "value")), trained(values), before["value"])
    head = safetensors.torch.load_file(out / "value_head.safetensors")
    assert torch.allclose(policy.head.weight.detach(), head["v_head.summary.weight"].double(), rtol=0, atol=1e-4)


# ---- that computation against TRL's last PPO ----

TRL = json.loads((conftest.ROOT / "tests/golden/ppo/trl.json").read_text())


class Given(rounds.Answer):
    """An answer of the golden file, with what stands in front of each of its tokens."""

    def __init__(self, row):
        super().__init__(row["tokens"], len(row["tokens"]), row["score"], True, 0)
        self.features = torch.tensor(row["features"], dtype=torch.float64)


class Linear:
    """The golden file's policy and value head: a matrix and a vector over features."""

    def __init__(self, table):
        self.table = torch.tensor(table, dtype=torch.float64, requires_grad=True)
        self.head = torch.zeros(len(table), dtype=torch.float64, requires_grad=True)

    def look(self, answer):
        table = torch.log_softmax(answer.features @ self.table, -1)
        return table.gather(1, torch.tensor(answer.ids)[:, None])[:, 0], -(table.exp() * table).sum(-1), answer.features @ self.head

    def descend(self, loss, rate, head_rate):
        slopes = torch.autograd.grad(loss, [self.table, self.head])
        with torch.no_grad():
            self.table -= rate * slopes[0]
            self.head -= rate * head_rate * slopes[1]


@pytest.mark.parametrize("case", TRL["cases"], ids=["plain", "adaptive, whitened"])
def test_the_float64_reference_is_the_ppo_of_trl(case):
    """Both are float64 and the file has twelve digits, so that 1e-9 leaves room for sums in another order only."""
    near = lambda theirs: pytest.approx(theirs, rel=1e-9, abs=1e-9)
    policy, fixed, how = Linear(TRL["start"]), Linear(TRL["reference"]), rounds.PPO(**case["options"])
    losses = []

    def loss(policy, answers):
        terms = how.terms(policy, answers)
        losses.append([terms[0].item(), terms[1].item()])
        return sum(terms)

    for answers, theirs in zip(TRL["answers"], case["rounds"], strict=True):
        answers = [Given(row) for row in answers]
        assert how.beta == near(theirs["coefficient"])
        losses.clear()
        rounds.rounds(policy, fixed, [answers], TRL["per_update"], TRL["passes"], how.credit, loss, TRL["rate"])
        for name, ours in (("rewards", "rewards"), ("advantages", "advantage"), ("returns", "target")):
            for answer, row in zip(answers, theirs[name], strict=True):
                assert getattr(answer, ours).tolist() == near(row), name
        for ours, row in zip(losses, theirs["losses"], strict=True):
            assert ours == near(row)
        assert policy.table.flatten().tolist() == near(sum(theirs["policy"], []))
        assert policy.head.tolist() == near(theirs["head"])
