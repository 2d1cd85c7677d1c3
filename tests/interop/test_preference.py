"""Preference objectives against TRL's own trainers: the losses of a run of several updates, so that values,
gradients and the reference all enter."""
import json

import datasets
import pytest
import torch
import transformers
import trl
from trl.experimental.cpo import CPOConfig, CPOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

import material
import reference

STEPS, LR = 4, 2e-3
PLAIN = ["--steps", STEPS, "--lr", LR, "--schedule", "constant", "--warmup", 0, "--clip", 0, "--no-shuffle", "--weight-decay", 0,
         "--dtype", "f32"]
PROMPTS = ["Who waited beside the river?", "Who sang about the river?", "Who could not forget?"]

# The prompts end where a token does, as in test_sft_has_the_loss_of_trl.
ROWS = [{"prompt": prompt, "chosen": f" {chosen}", "rejected": f" {rejected}"}
        for prompt, chosen, rejected in zip(PROMPTS, material.sentences(3, seed=6), material.sentences(3, seed=7))]


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS))
    return path


def arguments(kind, folder, **more):
    """One batch of every row, again and again, in f32 and without noise."""
    return kind(str(folder), max_steps=STEPS, per_device_train_batch_size=len(ROWS), learning_rate=LR, lr_scheduler_type="constant",
                max_grad_norm=0, bf16=False, use_cpu=True, logging_steps=1, report_to=[], save_strategy="no", disable_tqdm=True,
                gradient_checkpointing=False, **more)


def losses_of(trainer):
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def open_for_trl(base):
    model, tokenizer = material.open_model(base)
    tokenizer.pad_token = tokenizer.eos_token
    return model, tokenizer


def held(malmoi, base, objective, data, out, *options):
    malmoi("train", objective, "--model", base, "--data", data, "--batch-size", len(ROWS), "--out", out, *PLAIN, *options)
    return reference.logged(out, "loss")


@pytest.mark.parametrize("form, options, more", [
    ("sigmoid", [], {}), ("hinge", [], {}), ("ipo", [], {}), ("sigmoid_norm", [], {}), ("nca_pair", [], {}), ("bco_pair", [], {}),
    ("sppo_hard", [], {}), ("apo_zero", [], {}), ("apo_down", [], {}),
    ("robust", ["--label-smoothing", 0.2], {"label_smoothing": 0.2}), ("exo_pair", ["--label-smoothing", 0.1], {"label_smoothing": 0.1})])
def test_dpo_has_the_losses_of_trl(malmoi, base, pairs, tmp_path, form, options, more):
    ours = held(malmoi, base, "dpo", pairs, tmp_path / "out", "--beta", 0.3, "--loss-type", form, *options)
    model, tokenizer = open_for_trl(base)
    reference_model, _ = material.open_model(base)
    theirs = losses_of(trl.DPOTrainer(model, reference_model, processing_class=tokenizer, train_dataset=datasets.Dataset.from_list(ROWS),
                                      args=arguments(trl.DPOConfig, tmp_path / "trl", beta=0.3, loss_type=[form], **more)))
    assert abs(ours[-1] - ours[0]) > 1e-2, "the updates must have changed something"
    assert ours == pytest.approx(theirs, abs=1e-4, rel=1e-4)


def test_simpo_has_the_losses_of_trl(malmoi, folders, pairs, tmp_path):
    """LLaMA alone: TRL's CPO puts GPT-2's beginning-of-text token before a prompt, which transformers does not."""
    base = folders("llama")
    ours = held(malmoi, base, "simpo", pairs, tmp_path / "out", "--beta", 2, "--gamma", 0.6)
    model, tokenizer = open_for_trl(base)
    theirs = losses_of(CPOTrainer(model, processing_class=tokenizer, train_dataset=datasets.Dataset.from_list(ROWS),
                                  args=arguments(CPOConfig, tmp_path / "trl", beta=2, loss_type="simpo", simpo_gamma=0.6, cpo_alpha=0)))
    assert ours == pytest.approx(theirs, abs=1e-4, rel=1e-4)


class OrpoOfAnswers(ORPOTrainer):
    """TRL takes the likelihood of the better text with its prompt, the paper (equation 6) that of the answer."""

    def concatenated_forward(self, model, batch):
        better, worse, *logits, _ = super().concatenated_forward(model, batch)
        return better, worse, *logits, -better.mean()


def test_orpo_has_the_losses_of_trl(malmoi, folders, pairs, tmp_path):
    """LLaMA alone, as above."""
    base = folders("llama")
    ours = held(malmoi, base, "orpo", pairs, tmp_path / "out", "--beta", 0.7)
    model, tokenizer = open_for_trl(base)
    theirs = losses_of(OrpoOfAnswers(model, processing_class=tokenizer, train_dataset=datasets.Dataset.from_list(ROWS),
                                     args=arguments(ORPOConfig, tmp_path / "trl", beta=0.7)))
    assert abs(ours[-1] - ours[0]) > 1e-2, "the updates must have changed something"
    assert ours == pytest.approx(theirs, abs=1e-4, rel=1e-4)


@pytest.mark.parametrize("options, more", [(["--desirable-weight", 1.3, "--undesirable-weight", 0.7], {"desirable_weight": 1.3, "undesirable_weight": 0.7}),
                                           (["--loss-type", "apo_zero_unpaired"], {"loss_type": "apo_zero_unpaired"})])
def test_kto_has_the_losses_of_trl(malmoi, base, tmp_path, options, more):
    """The KL term comes from each prompt with the answer of the row above it, in both."""
    rows = [{"prompt": row["prompt"], "completion": row["chosen"], "label": i != 1} for i, row in enumerate(ROWS)]
    data = tmp_path / "labelled.jsonl"
    data.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    ours = held(malmoi, base, "kto", data, tmp_path / "out", "--beta", 0.3, *options)
    model, tokenizer = open_for_trl(base)
    theirs = losses_of(trl.KTOTrainer(model, material.open_model(base)[0], processing_class=tokenizer, train_dataset=datasets.Dataset.from_list(rows),
                                      args=arguments(trl.KTOConfig, tmp_path / "trl", beta=0.3, **more)))
    assert abs(ours[-1] - ours[0]) > 1e-2, "the updates must have changed something"
    assert ours == pytest.approx(theirs, abs=1e-4, rel=1e-4)


RANKS = [{"prompt": prompt, "completions": [f" {s}" for s in material.sentences(3, seed=20 + i)], "scores": scores}
         for i, (prompt, scores) in enumerate(zip(PROMPTS, ([0.2, 0.9, 0.4], [3, 1, 1], [1, 2, 3])))]


def answer_costs(model, tokenizer, prompt, answer):
    """log p of an answer with its end of text, summed, and how many tokens that is."""
    asked = tokenizer(prompt).input_ids
    ids = tokenizer(prompt + answer).input_ids + [tokenizer.eos_token_id]
    assert ids[:len(asked)] == asked, "the text divides where the prompt ends"
    table = torch.log_softmax(model(torch.tensor([ids])).logits[0, len(asked) - 1:-1], -1)
    return table.gather(1, torch.tensor(ids[len(asked):])[:, None]).sum(), len(ids) - len(asked)


def rrhf(p, n, scores):
    mean = p / n
    pairs = [torch.relu(mean[i] - mean[j]) for i in range(len(p)) for j in range(len(p)) if scores[i] < scores[j]]
    return sum(pairs) - mean[max(range(len(p)), key=lambda i: scores[i])]


def slic(form, beta, weight):
    """Zhao et al. 2023, equation 1 (rank), and 2022, section 2.3; answers that score the same are no pair, and of them the
    first given stands first."""
    def loss(p, n, scores):
        order = sorted(range(len(p)), key=lambda i: (-scores[i], i))
        margins = {"rank": lambda i, j: beta, "margin": lambda i, j: beta * (scores[order[i]] - scores[order[j]]), "list": lambda i, j: beta * (j - i)}[form]
        pairs = [(0, len(p) - 1)] if form == "rank" else [(i, j) for i in range(len(p)) for j in range(i + 1, len(p)) if scores[order[i]] != scores[order[j]]]
        best = order[0]
        return sum(torch.relu(margins(i, j) - p[order[i]] + p[order[j]]) for i, j in pairs) / len(pairs) - weight * p[best] / n[best]
    return loss


@pytest.mark.parametrize("objective, options, loss", [
    ("rrhf", [], rrhf), ("slic", ["--beta", 30, "--lambda", 0.3], slic("rank", 30, 0.3)),
    ("slic", ["--loss-type", "margin", "--beta", 20, "--lambda", 0.1], slic("margin", 20, 0.1)),
    ("slic", ["--loss-type", "list", "--beta", 10, "--lambda", 0.1], slic("list", 10, 0.1))], ids=["rrhf", "slic", "slic by scores", "slic by places"])
def test_ranking_has_the_losses_of_pytorch(malmoi, base, tmp_path, objective, options, loss):
    data = tmp_path / "ranks.jsonl"
    data.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in RANKS))
    ours = held(malmoi, base, objective, data, tmp_path / "out", *options)
    model, tokenizer = open_for_trl(base)
    optimiser, theirs = torch.optim.AdamW(model.eval().parameters(), lr=LR, weight_decay=0), []
    for _ in range(STEPS):
        optimiser.zero_grad()
        rows = []
        for row in RANKS:
            sums, lengths = zip(*(answer_costs(model, tokenizer, row["prompt"], answer) for answer in row["completions"]))
            rows.append(loss(torch.stack(sums), torch.tensor(lengths), row["scores"]))
        value = sum(rows) / len(rows)
        value.backward()
        optimiser.step()
        theirs.append(value.item())
    assert abs(ours[-1] - ours[0]) > 1e-2, "the updates must have changed something"
    assert ours == pytest.approx(theirs, abs=1e-4, rel=1e-4)


def test_reward_has_the_losses_of_trl(malmoi, base, pairs, tmp_path):
    """Both begin with the same head, which transformers made; what malmoi saves is a model with one label."""
    _, tokenizer = open_for_trl(base)
    fresh = lambda folder: transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.float32,
                                                                                           pad_token_id=tokenizer.pad_token_id)
    start = tmp_path / "start"
    torch.manual_seed(3)
    fresh(base).save_pretrained(start)
    material.open_model(base)[1].save_pretrained(start)
    ours = held(malmoi, start, "reward", pairs, tmp_path / "out", "--center-rewards", 0.02)
    theirs = losses_of(trl.RewardTrainer(fresh(start), processing_class=tokenizer, train_dataset=datasets.Dataset.from_list(ROWS),
                                         args=arguments(trl.RewardConfig, tmp_path / "trl", center_rewards_coefficient=0.02)))
    assert abs(ours[-1] - ours[0]) > 1e-2, "the updates must have changed something"
    assert ours == pytest.approx(theirs, abs=1e-4, rel=1e-4)
    assert fresh(tmp_path / "out").config.num_labels == 1
