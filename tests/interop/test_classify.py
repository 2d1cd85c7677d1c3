"""Classification both ways: a checkpoint of transformers' ...ForSequenceClassification is read here, what
malmoi trains is read there, and adapters of the task SEQ_CLS in the same way."""
import json
import random

import pytest
import torch
from peft import (AdaLoraConfig, IA3Config, LoraConfig, PeftModel, PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig,
                  VeraConfig)
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import material

LABELS = ["calm", "loud", "odd"]
TARGETS = {"llama": ["q_proj", "down_proj"], "gpt2": ["c_attn"]}


def rows(count, seed):
    """Sentences whose label hangs on their verb, with some noise."""
    draw = random.Random(seed)
    return [(s, LABELS[sum(v in s for v in material.VERBS[:4]) + (draw.random() < 0.2)]) for s in material.sentences(count, seed)]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Files of labelled rows: (training, held out)."""
    folder = tmp_path_factory.mktemp("labelled")
    for name, count, seed in (("train", 96, 5), ("test", 40, 6)):
        (folder / f"{name}.jsonl").write_text("".join(
            json.dumps({"text": t, "label": l}, ensure_ascii=False) + "\n" for t, l in rows(count, seed)))
    return folder / "train.jsonl", folder / "test.jsonl"


@pytest.fixture(scope="module")
def classifiers(folders, tmp_path_factory):
    """classifiers(family): a random classifier that transformers wrote, made once."""
    made = {}

    def folder(family):
        if family not in made:
            made[family] = tmp_path_factory.mktemp("classifier")
            model = AutoModelForSequenceClassification.from_pretrained(
                folders(family), id2label=dict(enumerate(LABELS)), label2id={l: i for i, l in enumerate(LABELS)})
            torch.manual_seed(1)
            torch.nn.init.normal_(model.score.weight, std=0.3)
            model.save_pretrained(made[family])
            AutoTokenizer.from_pretrained(folders(family)).save_pretrained(made[family])
        return made[family]
    return folder


def open_classifier(folder, base=None):
    """A folder of transformers', or with `base` an adapter's over a language model, as the libraries read it."""
    model = AutoModelForSequenceClassification.from_pretrained(base or folder, dtype=torch.float32, attn_implementation="eager",
                                                               **(dict(num_labels=len(LABELS)) if base else {}))
    if model.config.pad_token_id is None:
        model.config.pad_token_id = model.config.eos_token_id
    if base:
        model = PeftModel.from_pretrained(model, folder)
    return model.eval(), AutoTokenizer.from_pretrained(base or folder)


def probabilities_there(folder, texts, base=None):
    model, tokenizer = open_classifier(folder, base)
    with torch.no_grad():
        return torch.stack([model(**tokenizer(t, return_tensors="pt")).logits[0].softmax(-1) for t in texts])


def probabilities_here(malmoi, model, texts, tmp_path, *options):
    (tmp_path / "texts").write_text("".join(t + "\n" for t in texts))
    found = malmoi("classify", model, "--file", tmp_path / "texts", "--dtype", "f32", "--json", *options).json["texts"]
    assert [f["text"] for f in found] == texts
    return found, torch.tensor([list(f["probabilities"].values()) for f in found])


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "gpt2"])
def test_a_classifier_of_transformers(malmoi, classifiers, family, tmp_path):
    texts = material.sentences(12, seed=20)
    expected = probabilities_there(classifiers(family), texts)
    found, ours = probabilities_here(malmoi, classifiers(family), texts, tmp_path)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)
    assert [f["label"] for f in found] == [LABELS[i] for i in expected.argmax(-1)]


def train(malmoi, model, data, out, *options):
    malmoi("train", "classify", "--model", model, "--data", data, "--steps", 10, "--lr", 1e-2, "--dtype", "f32", "--out", out, *options)
    return out


def test_what_is_trained_opens_in_transformers(malmoi, base, labelled, tmp_path):
    texts = [t for t, _ in rows(40, 6)]
    ours = train(malmoi, base, labelled[0], tmp_path / "out")
    expected = probabilities_there(ours, texts)
    found, probabilities = probabilities_here(malmoi, ours, texts, tmp_path)
    torch.testing.assert_close(probabilities, expected, atol=1e-5, rtol=1e-4)
    config = AutoModelForSequenceClassification.from_pretrained(ours).config
    assert config.id2label == dict(enumerate(LABELS)) and config.label2id == {l: i for i, l in enumerate(LABELS)}
    assert config.architectures[0].endswith("ForSequenceClassification") and config.pad_token_id is not None
    assert set(load_file(ours / "model.safetensors")) == set(AutoModelForSequenceClassification.from_pretrained(ours).state_dict())


@pytest.mark.parametrize("pack", ["--pack", "--no-pack"])
def test_steps_are_those_of_torch(malmoi, classifiers, labelled, tmp_path, pack):
    """Batches padded to the right there, nothing padded here: the same loss step by step."""
    folder, data = classifiers("llama"), rows(96, 5)
    log = train(malmoi, folder, labelled[0], tmp_path / "out", "--no-shuffle", "--batch-size", 4 if pack == "--pack" else 8, pack, "--schedule", "constant",
                "--warmup", 0, "--weight-decay", 0, "--lr", 1e-3, "--clip", 0) / "log.jsonl"
    steps = [json.loads(line) for line in log.read_text().splitlines()]
    if pack == "--pack":                                 # in blocks of several rows, in an order of their own
        assert steps[0]["supervised_tokens"] > 4 and steps[-1]["loss"] < steps[0]["loss"]
        return
    model, tokenizer = open_classifier(folder)
    tokenizer.pad_token = tokenizer.eos_token
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0)
    losses = []
    for i in range(10):
        batch = data[8 * i:8 * i + 8]
        inputs = tokenizer([t for t, _ in batch], return_tensors="pt", padding=True, padding_side="right")
        optimiser.zero_grad()
        loss = model(**inputs, labels=torch.tensor([LABELS.index(l) for _, l in batch])).loss
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert [s["loss"] for s in steps] == pytest.approx(losses, rel=2e-3)


def test_measures(malmoi, classifiers, labelled):
    truths = [l for _, l in rows(40, 6)]
    expected = probabilities_there(classifiers("llama"), [t for t, _ in rows(40, 6)])
    pairs = list(zip(truths, [LABELS[i] for i in expected.argmax(-1)]))
    found = malmoi("eval", "classify", classifiers("llama"), "--data", labelled[1], "--dtype", "f32", "--json").json
    assert found["rows"] == 40 and found["labels"] == LABELS
    assert found["accuracy"] == pytest.approx(sum(t == g for t, g in pairs) / 40)
    assert found["confusion"] == [[pairs.count((t, g)) for g in LABELS] for t in LABELS]
    f1 = []
    for label in LABELS:
        right, truth, guess = pairs.count((label, label)), truths.count(label), sum(g == label for _, g in pairs)
        measured = found["classes"][label]
        assert measured["rows"] == truth and measured["recall"] == pytest.approx(right / truth)
        assert measured["precision"] == pytest.approx(right / guess if guess else 0)
        f1.append(2 * right / (truth + guess))
        assert measured["f1"] == pytest.approx(f1[-1])
    assert found["macro_f1"] == pytest.approx(sum(f1) / 3)
    assert found["loss"] == pytest.approx(-sum(expected[i, LABELS.index(l)].log().item() for i, l in enumerate(truths)) / 40, abs=1e-4)


# ---- adapters ----

def virtual(config, **options):
    return lambda family: config(task_type="SEQ_CLS", num_virtual_tokens=4, **options)


METHODS = {                                              # PEFT's configuration, malmoi's options
    "lora": (lambda family: LoraConfig(task_type="SEQ_CLS", r=4, lora_alpha=8, target_modules=TARGETS[family], fan_in_fan_out=family == "gpt2"),
             lambda family: ["--lora-r", 4, "--lora-alpha", 8, "--target-modules", ",".join(TARGETS[family])]),
    "adalora": (lambda family: AdaLoraConfig(task_type="SEQ_CLS", init_r=4, target_r=4, lora_alpha=8, total_step=10, target_modules=TARGETS[family],
                                             fan_in_fan_out=family == "gpt2"),
                lambda family: ["--init-r", 4, "--target-r", 4, "--lora-alpha", 8, "--target-modules", ",".join(TARGETS[family])]),
    "vera": (lambda family: VeraConfig(task_type="SEQ_CLS", r=4, target_modules=TARGETS[family][:1], fan_in_fan_out=family == "gpt2"),
             lambda family: ["--vera-r", 4, "--target-modules", TARGETS[family][0]]),
    "ia3": (lambda family: IA3Config(task_type="SEQ_CLS"), lambda family: []),
    "prompt": (virtual(PromptTuningConfig), lambda family: ["--num-virtual-tokens", 4]),
    "p_tuning": (virtual(PromptEncoderConfig, encoder_hidden_size=24), lambda family: ["--num-virtual-tokens", 4, "--encoder-hidden-size", 24]),
    "p_tuning_v2": (virtual(PrefixTuningConfig), lambda family: ["--num-virtual-tokens", 4]),
    "prefix": (virtual(PrefixTuningConfig), lambda family: ["--num-virtual-tokens", 4]),
}


def adapter_of_peft(base, method, family, folder):
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=len(LABELS), attn_implementation="eager")
    return material.save_random_adapter(model, METHODS[method][0](family), folder, 0.3)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("method", METHODS)
def test_an_adapter_of_peft(malmoi, folders, method, family, tmp_path):
    base, texts = folders(family), material.sentences(6, seed=21)
    adapter = adapter_of_peft(base, method, family, tmp_path / "a")
    found, ours = probabilities_here(malmoi, base, texts, tmp_path, "--adapter", adapter)
    torch.testing.assert_close(ours, probabilities_there(adapter, texts, base), atol=1e-5, rtol=1e-4)
    assert {f["label"] for f in found} <= {"LABEL_0", "LABEL_1", "LABEL_2"}


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("method", METHODS)
def test_an_adapter_trained_here_opens_in_peft(malmoi, folders, labelled, method, family, tmp_path):
    base, texts = folders(family), material.sentences(6, seed=21)
    ours = train(malmoi, base, labelled[0], tmp_path / "ours", "--adapter", method, *METHODS[method][1](family))
    found, probabilities = probabilities_here(malmoi, base, texts, tmp_path, "--adapter", ours)
    torch.testing.assert_close(probabilities, probabilities_there(ours, texts, base), atol=1e-5, rtol=1e-4)
    assert {f["label"] for f in found} <= set(LABELS)
    theirs = adapter_of_peft(base, method, family, tmp_path / "theirs")
    assert {n: t.shape for n, t in load_file(ours / "adapter_model.safetensors").items()} == \
           {n: t.shape for n, t in load_file(theirs / "adapter_model.safetensors").items()}


def test_a_merged_adapter_is_a_classifier(malmoi, folders, labelled, tmp_path):
    base, texts = folders("llama"), material.sentences(6, seed=21)
    ours = train(malmoi, base, labelled[0], tmp_path / "ours", "--adapter", "lora")
    malmoi("merge", base, ours, "--out", tmp_path / "merged")
    _, expected = probabilities_here(malmoi, base, texts, tmp_path, "--adapter", ours)
    torch.testing.assert_close(probabilities_there(tmp_path / "merged", texts), expected, atol=1e-5, rtol=1e-4)
