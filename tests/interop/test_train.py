"""Training: the same losses as torch's AdamW, folders that reopen, and runs that survive being killed."""
import hashlib
import json
import signal
import subprocess
import time

import pytest
import torch

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


@pytest.mark.parametrize("adapter", [[], ["--adapter", "lora", "--lora-r", 4, "--lora-dropout", 0.1]], ids=["full", "lora"])
def test_a_killed_run_ends_in_the_same_bits(malmoi, folders, training, tmp_path, adapter):
    options = ["--model", folders("llama"), "--data", training, "--steps", 60, "--save-every", 5, "--seed", 3, *adapter]
    malmoi("train", "clm", *options, "--out", tmp_path / "whole")

    killed = 0
    command = malmoi.arguments("train", "clm", *options, "--out", tmp_path / "killed", "--resume")
    for delay in (0.15, 0.3, 0.45):
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        killed += child.wait() == -signal.SIGKILL
    assert killed > 0, "every run ended before it was killed"
    malmoi("train", "clm", *options, "--out", tmp_path / "killed", "--resume")

    weights = "adapter_model.safetensors" if adapter else "model.safetensors"
    digest = [hashlib.sha256((tmp_path / run / weights).read_bytes()).hexdigest() for run in ("whole", "killed")]
    assert digest[0] == digest[1]
