"""Training: the same losses as torch's AdamW, folders that reopen, and runs that survive being killed."""
import hashlib
import json
import random
import re
import signal
import subprocess
import time

import datasets
import pytest
import torch
import trl

import material
import reference

ADAMW = dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8)         # malmoi's own settings, but for a plain schedule
PLAIN = ["--lr", ADAMW["lr"], "--schedule", "constant", "--warmup", 0, "--clip", 0, "--no-shuffle", "--no-pack",
         "--dtype", "f32"]


@pytest.fixture
def four_documents(tmp_path):
    """(documents, their file): one full batch of four."""
    documents = material.sentences(4, seed=5)
    path = tmp_path / "four.jsonl"
    path.write_text("".join(json.dumps({"text": d}, ensure_ascii=False) + "\n" for d in documents))
    return documents, path


def train(malmoi, base, data, out, *options):
    malmoi("train", "clm", "--model", base, "--data", data, "--out", out, *options)
    return out


@pytest.mark.parametrize("split", [("--batch-size", 4), ("--batch-size", 2, "--accumulate", 2)], ids=["4x1", "2x2"])
def test_ten_steps_have_the_losses_of_torch(malmoi, base, four_documents, tmp_path, split):
    documents, data = four_documents
    out = train(malmoi, base, data, tmp_path / "out", "--steps", 10, *split, *PLAIN)
    model, tokenizer = material.open_model(base)
    batch = [reference.learnt(tokenizer, d) for d in documents]
    assert reference.logged(out, "loss") == pytest.approx(reference.adamw_losses(model, [batch] * 10, **ADAMW), abs=1e-3)


def test_what_was_trained_reopens(malmoi, base, training, held_out, documents, tmp_path):
    out = train(malmoi, base, training, tmp_path / "out", "--steps", 10, *PLAIN)
    said = malmoi("eval", "perplexity", out, "--data", held_out, "--dtype", "f32", "--json").json["loss"]
    assert said == pytest.approx(reference.folder_loss(out, documents), abs=1e-4)
    assert said < reference.folder_loss(base, documents) - 0.05, "ten steps must have taught it something"
    _, before = material.open_model(base)
    _, after = material.open_model(out)
    assert before(" ".join(documents)).input_ids == after(" ".join(documents)).input_ids


def test_sft_has_the_loss_of_trl(malmoi, base, tmp_path):
    """The first loss of TRL's own trainer, where prompts and completions meet between two tokens: elsewhere
    malmoi keeps the prompt's tokens as generate will see them, and TRL those of the joint text."""
    rows = [{"prompt": f"Who {verb} the river?", "completion": f" {answer}"} for verb, answer in
            zip(("waited beside", "sang about", "could not forget"), material.sentences(3, seed=6))]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    malmoi("train", "sft", "--model", base, "--data", data, "--out", tmp_path / "out", "--steps", 1, "--batch-size", 3, *PLAIN)

    model, tokenizer = material.open_model(base)
    tokenizer.pad_token = tokenizer.eos_token
    trainer = trl.SFTTrainer(model, processing_class=tokenizer, train_dataset=datasets.Dataset.from_list(rows),
                             args=trl.SFTConfig(tmp_path / "trl", max_steps=1, per_device_train_batch_size=3, bf16=False,
                                                use_cpu=True, logging_steps=1, report_to=[], save_strategy="no",
                                                disable_tqdm=True, gradient_checkpointing=False))
    trainer.train()
    assert reference.logged(tmp_path / "out", "loss")[0] == pytest.approx(trainer.state.log_history[0]["loss"], abs=1e-4)


def test_sft_learns_the_answer_only(malmoi, folders, tmp_path):
    base = folders("gpt2")
    prompt, completion = "Who waited beside the river? ", "A grey heron waited beside the frozen river."
    (tmp_path / "row.jsonl").write_text(json.dumps({"prompt": prompt, "completion": completion}) + "\n")
    malmoi("train", "sft", "--model", base, "--data", tmp_path / "row.jsonl", "--out", tmp_path / "out", "--steps", 1, *PLAIN)
    model, tokenizer = material.open_model(base)
    asked, answer = tokenizer(prompt).input_ids, tokenizer(completion).input_ids + [tokenizer.eos_token_id]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([asked + answer])).logits[0]
    expected = torch.nn.functional.cross_entropy(logits[len(asked) - 1:-1], torch.tensor(answer)).item()
    assert reference.logged(tmp_path / "out", "loss")[0] == pytest.approx(expected, abs=1e-4)


def newest_checkpoint(run):
    """The step of the newest checkpoint of a run folder; 0 for none."""
    names = (re.fullmatch(r"step-(\d+)", c.name) for c in run.glob("checkpoints/*"))
    return max((int(name[1]) for name in names if name), default=0)


def kill_after_a_checkpoint(command, run, delay):
    """Starts the run, waits for one more checkpoint and `delay` seconds, and kills it: whether it still ran."""
    before = newest_checkpoint(run)
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while child.poll() is None and newest_checkpoint(run) == before:
        time.sleep(0.001)
    time.sleep(delay)
    child.kill()
    return child.wait() == -signal.SIGKILL


@pytest.mark.parametrize("adapter", [[], ["--adapter", "lora", "--lora-r", 4, "--lora-dropout", 0.1]], ids=["full", "lora"])
def test_a_killed_run_ends_in_the_same_bits(malmoi, folders, training, tmp_path, adapter):
    steps = 60
    options = ["--model", folders("llama"), "--data", training, "--steps", steps, "--save-every", 5, "--seed", 3, *adapter]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    malmoi("train", "clm", *options, "--out", whole)

    command = malmoi.arguments("train", "clm", *options, "--out", killed, "--resume")
    draw = random.Random(1)
    assert all(kill_after_a_checkpoint(command, killed, draw.uniform(0, 0.02)) for _ in range(4))
    assert 0 < newest_checkpoint(killed) < steps
    malmoi("train", "clm", *options, "--out", killed, "--resume")

    weights = "adapter_model.safetensors" if adapter else "model.safetensors"
    assert hashlib.sha256((whole / weights).read_bytes()).digest() == hashlib.sha256((killed / weights).read_bytes()).digest()
    assert reference.logged(whole, "loss") == reference.logged(killed, "loss")
