"""Models of the Python libraries, opened here: the same loss, the same greedy text."""
import json
import math
import shutil

import pytest
import torch

import material
import reference

# f32 on both sides; sums of some hundred terms in another order.
LOSS = dict(abs=1e-4)


def perplexity(malmoi, folder, data, *options):
    return malmoi("eval", "perplexity", folder, "--data", data, "--dtype", "f32", "--json", *options).json


@pytest.mark.parametrize("family", material.FAMILIES)
def test_perplexity_is_that_of_transformers(malmoi, folders, held_out, documents, family):
    folder = folders(family)
    said = perplexity(malmoi, folder, held_out)
    model, tokenizer = material.open_model(folder)
    sequences = [reference.scored(tokenizer, d) for d in documents]
    with torch.no_grad():
        expected = reference.loss(model, sequences).item()
    targets = sum(len(s) - 1 for s in sequences)

    assert said["tokens"] == targets
    assert said["loss"] == pytest.approx(expected, **LOSS)
    assert said["perplexity"] == pytest.approx(math.exp(said["loss"]), rel=1e-6)
    size = sum(len(d.encode()) for d in documents)
    assert said["bits_per_byte"] == pytest.approx(said["loss"] * targets / math.log(2) / size, rel=1e-6)


def test_windows_score_every_token_once(malmoi, folders, held_out, documents):
    """A document longer than the context: windows 12 apart, each scoring what none before it has."""
    context, stride = 20, 12
    said = perplexity(malmoi, folders("llama"), held_out, "--context", context, "--stride", stride)
    model, tokenizer = material.open_model(folders("llama"))
    total, targets = 0.0, 0
    for ids in (reference.scored(tokenizer, d) for d in documents):
        seen = 0                                           # tokens up to here are scored
        for begin in range(0, len(ids), stride):
            window = ids[begin:begin + context]
            with torch.no_grad():
                logits = model(input_ids=window[None, :-1]).logits[0]
            each = torch.nn.functional.cross_entropy(logits, window[1:], reduction="none")
            fresh = each[max(0, seen - begin):]
            total, targets, seen = total + fresh.sum().item(), targets + len(fresh), begin + len(window) - 1
            if seen == len(ids) - 1:
                break
    assert (said["tokens"], said["loss"]) == (targets, pytest.approx(total / targets, **LOSS))


@pytest.mark.parametrize("storage", ["bfloat16", "float16", "shards"])
def test_storage_types_and_shards_are_read(malmoi, tmp_path, held_out, documents, storage):
    model, tokenizer = material.make_model("llama")
    if storage == "shards":
        model.save_pretrained(tmp_path, max_shard_size="40KB")
        assert (tmp_path / "model.safetensors.index.json").exists()
    else:
        model.to(getattr(torch, storage)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert perplexity(malmoi, tmp_path, held_out)["loss"] == pytest.approx(reference.folder_loss(tmp_path, documents), **LOSS)


def test_the_older_spelling_of_rope_scaling_means_the_same(malmoi, folders, tmp_path, held_out):
    folder = shutil.copytree(folders("llama3"), tmp_path / "older")
    config = json.loads((folder / "config.json").read_text())
    rope = config.pop("rope_parameters")
    config |= {"rope_theta": rope.pop("rope_theta"), "rope_scaling": rope}
    (folder / "config.json").write_text(json.dumps(config))
    assert perplexity(malmoi, folder, held_out)["loss"] == perplexity(malmoi, folders("llama3"), held_out)["loss"]


@pytest.mark.parametrize("family", material.FAMILIES)
def test_greedy_text_is_that_of_transformers(malmoi, folders, family):
    folder = folders(family)
    model, tokenizer = material.open_model(folder)
    prompt = "A grey heron waited beside"
    said = malmoi("generate", folder, "--prompt", prompt, "--greedy", "--max-new-tokens", 24, "--dtype", "f32")
    expected = reference.token_bytes(tokenizer, reference.greedy(model, tokenizer, prompt, 24))
    assert said.raw in (expected, expected + b"\n")


def test_prompts_together_give_what_each_gives_alone(malmoi, base, tmp_path):
    prompts = ["A", "The last ferry waited", "할머니는 강가를 걸었다. The miller could not forget the frozen river."]
    (tmp_path / "prompts.txt").write_text("\n".join(prompts) + "\n")
    options = ["--greedy", "--max-new-tokens", 16, "--dtype", "f32", "--json"]
    together = [json.loads(line) for line in
                malmoi("generate", base, "--prompt-file", tmp_path / "prompts.txt", *options).out.splitlines()]
    assert together == [malmoi("generate", base, "--prompt", p, *options).json for p in prompts]


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_tokenizer_gives_the_same_ids(malmoi, folders, tmp_path, family):
    text = "\n".join(material.sentences(50, seed=3)) + "\n 두 칸  띄고 — ñ 🙂\ttab"
    (tmp_path / "text.txt").write_text(text)
    _, tokenizer = material.open_model(folders(family))
    said = malmoi("tokenizer", "encode", folders(family), "--file", tmp_path / "text.txt", "--json").json
    assert said["ids"] == tokenizer(text).input_ids


def test_inspect_counts_the_parameters(malmoi, base):
    model, _ = material.open_model(base)
    said = malmoi("inspect", base, "--json").json
    assert said["parameters"] == sum(p.numel() for p in model.parameters())
