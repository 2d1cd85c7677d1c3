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
