"""Outcome and process reward models on transformers' heads.  The pinned TRL has no PRMTrainer any more; what it did
(each part of a solution encoded by itself, a label at each step's separator) is written out here."""
import json

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

import material
import reference

STEPS, LR = 4, 2e-3
PLAIN = ["--steps", STEPS, "--lr", LR, "--schedule", "constant", "--warmup", 0, "--clip", 0, "--no-shuffle", "--weight-decay", 0,
         "--dtype", "f32", "--batch-size", 4]
QUESTIONS = ["Who waited beside the river?", "Who sang about the river?", "Who could not forget?", "늙은 어부가?"]
LABELS = [[True, False], [True, True, True], [False, None, True], [None, True, False]]


def solutions():
    texts = iter(material.sentences(12, seed=8))
    return [{"prompt": q, "completions": [next(texts) for _ in labels], "labels": labels} for q, labels in zip(QUESTIONS, LABELS)]


def answers():
    return [{"prompt": q, "completion": " " + t, "label": i % 2 == 0} for i, (q, t) in enumerate(zip(QUESTIONS, material.sentences(4, seed=9)))]


@pytest.fixture
def write(tmp_path):
    def file(rows):
        path = tmp_path / f"rows{len(rows[0])}.jsonl"
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        return path
    return file


def headed(kind, folder, labels, tokenizer):
    """A language model with a fresh head, drawn once."""
    torch.manual_seed(3)
    model = kind.from_pretrained(folder, num_labels=labels, dtype=torch.float32, attn_implementation="eager", pad_token_id=tokenizer.eos_token_id)
    return model.eval()                                   # no dropout


def judged(tokenizer, row, separator="\n"):
    """Ids of a solution, and the label of each (-100: none)."""
    ids, labels = tokenizer(row["prompt"])["input_ids"], []
    labels += [-100] * len(ids)
    for step, label in zip(row["completions"], row["labels"]):
        part = [i for text in (step, separator) for i in tokenizer(text, add_special_tokens=False)["input_ids"]]
        ids, labels = ids + part, labels + [-100] * (len(part) - 1) + [-100 if label is None else int(label)]
    return torch.tensor([ids]), torch.tensor(labels)


def train(model, loss):
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=LR, weight_decay=0)
    losses = []
    for _ in range(STEPS):
        optimiser.zero_grad()
        value = loss()
        value.backward()
        optimiser.step()
        losses.append(value.item())
    return losses


def step_loss(model, tokenizer, rows):
    pairs = [judged(tokenizer, row) for row in rows]
    return torch.nn.functional.cross_entropy(torch.cat([model(input_ids=ids).logits[0] for ids, _ in pairs]), torch.cat([labels for _, labels in pairs]))


def answer_loss(model, tokenizer, rows, every):
    """Binary cross-entropy of the last token's score, or of every answer token's."""
    scores, labels = [], []
    for row in rows:
        asked = len(tokenizer(row["prompt"])["input_ids"])
        ids = tokenizer(row["prompt"] + row["completion"])["input_ids"]
        hidden = model.base_model(input_ids=torch.tensor([ids])).last_hidden_state[0]
        found = model.score(hidden)[:, 0][asked:] if every else model.score(hidden)[-1]
        scores.append(found)
        labels.append(torch.full_like(found, row["label"]))
    return torch.nn.functional.binary_cross_entropy_with_logits(torch.cat(scores), torch.cat(labels))


def test_prm_learns_as_transformers_would(malmoi, base, write, tmp_path):
    tokenizer = material.open_model(base)[1]
    start = tmp_path / "start"
    model = headed(AutoModelForTokenClassification, base, 2, tokenizer)
    model.save_pretrained(start)
    tokenizer.save_pretrained(start)
    rows = solutions()
    malmoi("train", "prm", "--model", start, "--data", write(rows), "--out", tmp_path / "out", *PLAIN)
    ours = reference.logged(tmp_path / "out", "loss")
    theirs = train(model, lambda: step_loss(model, tokenizer, rows))
    assert abs(ours[-1] - ours[0]) > 1e-2, "the updates must have changed something"
    assert ours == pytest.approx(theirs, abs=1e-4, rel=1e-4)


def test_what_prm_saves_is_read_there(malmoi, base, write, tmp_path):
    """Probabilities of steps: here, and by transformers and PEFT over what was saved here."""
    tokenizer = material.open_model(base)[1]
    rows, data = solutions(), write(solutions())
    for name, more in ("whole", []), ("tuned", ["--adapter", "lora"]):
        out = tmp_path / name
        malmoi("train", "prm", "--model", base, "--data", data, "--out", out, *PLAIN, *more)
        scored = tmp_path / f"{name}.jsonl"
        malmoi("score", *([base, "--adapter", out] if more else [out]), "--data", data, "--dtype", "f32", "--out", scored)
        theirs = AutoModelForTokenClassification.from_pretrained(base if more else out, dtype=torch.float32, attn_implementation="eager", num_labels=2)
        if more:
            theirs = PeftModel.from_pretrained(theirs, out)
        theirs.eval()
        for row, line in zip(rows, scored.read_text().splitlines()):
            ids, _ = judged(tokenizer, row | {"labels": [1] * len(row["labels"])})
            ends = [i for i, label in enumerate(judged(tokenizer, row | {"labels": [1] * len(row["labels"])})[1]) if label == 1]
            expected = torch.softmax(theirs(input_ids=ids).logits[0, ends], -1)[:, 1].tolist()
            found = json.loads(line)
            assert found["step_scores"] == pytest.approx(expected, abs=1e-4)
            assert found["score"] == min(found["step_scores"])


@pytest.mark.parametrize("at", ["last", "all"])
def test_orm_learns_as_transformers_would(malmoi, base, write, tmp_path, at):
    tokenizer = material.open_model(base)[1]
    start = tmp_path / "start"
    model = headed(AutoModelForSequenceClassification, base, 1, tokenizer)
    model.save_pretrained(start)
    tokenizer.save_pretrained(start)
    rows = answers()
    malmoi("train", "orm", "--model", start, "--data", write(rows), "--out", tmp_path / "out", "--at", at, *PLAIN)
    ours = reference.logged(tmp_path / "out", "loss")
    theirs = train(model, lambda: answer_loss(model, tokenizer, rows, at == "all"))
    assert abs(ours[-1] - ours[0]) > 1e-2, "the updates must have changed something"
    assert ours == pytest.approx(theirs, abs=1e-4, rel=1e-4)


def test_scores_are_those_of_transformers(malmoi, base, write, tmp_path):
    """A reward model scores answers with and without a prompt, and several of a row."""
    tokenizer = material.open_model(base)[1]
    start = tmp_path / "start"
    model = headed(AutoModelForSequenceClassification, base, 1, tokenizer)
    model.save_pretrained(start)
    tokenizer.save_pretrained(start)
    first, second = answers()[:2]
    rows = [first, {"text": second["completion"]}, {"prompt": first["prompt"], "completions": [first["completion"], second["completion"]]}]
    data, out = tmp_path / "rows.jsonl", tmp_path / "scored.jsonl"
    data.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    malmoi("score", start, "--data", data, "--out", out, "--dtype", "f32")
    score = lambda text: model(input_ids=torch.tensor([tokenizer(text)["input_ids"]])).logits[0, 0].item()
    found = [row.get("score", row.get("scores")) for row in map(json.loads, out.read_text().splitlines())]
    assert found[0] == pytest.approx(score(first["prompt"] + first["completion"]), abs=1e-4)
    assert found[1] == pytest.approx(score(second["completion"]), abs=1e-4)
    assert found[2] == pytest.approx([score(first["prompt"] + row["completion"]) for row in (first, second)], abs=1e-4)
