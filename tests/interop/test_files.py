"""Files that malmoi writes, opened by the libraries that everybody else uses."""
import json
import shutil

import pytest
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

import material
import reference
from conftest import ROOT

STORIES = ROOT / "../shared/data/stories260K"


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_new_opens_in_transformers(malmoi, folders, held_out, documents, tmp_path, family):
    config = tmp_path / "config.json"
    shutil.copy(folders(family) / "config.json", config)
    malmoi("new", family, "--config", config, "--tokenizer", folders(family), "--out", tmp_path / "new", "--seed", 1)

    model, loading = AutoModelForCausalLM.from_pretrained(tmp_path / "new", output_loading_info=True)
    assert not any(loading[problem] for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    text = " ".join(documents)
    assert AutoTokenizer.from_pretrained(tmp_path / "new")(text).input_ids == \
           AutoTokenizer.from_pretrained(folders(family))(text).input_ids
    said = malmoi("eval", "perplexity", tmp_path / "new", "--data", held_out, "--dtype", "f32", "--json").json["loss"]
    assert said == pytest.approx(reference.folder_loss(tmp_path / "new", documents), abs=1e-4)


def test_safetensors_reads_what_is_written(malmoi, folders, tmp_path):
    shutil.copy(folders("llama") / "config.json", tmp_path / "config.json")
    malmoi("new", "llama", "--config", tmp_path / "config.json", "--tokenizer", folders("llama"), "--out", tmp_path / "new")
    model, _ = material.open_model(folders("llama"))
    with safe_open(tmp_path / "new/model.safetensors", "pt") as file:
        assert file.metadata()["format"] == "pt"
        assert {n: list(file.get_slice(n).get_shape()) for n in file.keys()} == \
               {n: list(p.shape) for n, p in model.named_parameters()}


@pytest.mark.skipif(not STORIES.exists(), reason="../shared/data/stories260K is absent")
def test_a_converted_checkpoint_tells_its_story_in_transformers(malmoi, tmp_path):
    malmoi("convert", STORIES / "stories260K.bin", "--from", "llama2c", "--tokenizer", STORIES / "tok512.bin",
           "--out", tmp_path / "m")
    expected = (STORIES / "greedy_200.txt").read_text()
    assert malmoi("generate", tmp_path / "m", "--prompt", "", "--greedy", "--max-new-tokens", 200).out == expected
    model, tokenizer = material.open_model(tmp_path / "m")
    ids = model.generate(tokenizer("", return_tensors="pt").input_ids, do_sample=False, max_new_tokens=200)
    assert tokenizer.decode(ids[0], skip_special_tokens=True).strip() == expected.strip()
