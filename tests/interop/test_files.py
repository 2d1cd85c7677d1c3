"""Files that malmoi writes, opened by the libraries that everybody else uses."""
import pytest
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

import material
import reference
from conftest import ROOT

STORIES = ROOT / "../shared/data/stories260K"


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("sizes", ["preset", "config"])
def test_new_opens_in_transformers(malmoi, folders, held_out, documents, tmp_path, family, sizes):
    of = ["--family", family, "--preset", "tiny"] if sizes == "preset" else ["--config", folders(family) / "config.json"]
    new = tmp_path / "new"
    malmoi("new", *of, "--tokenizer", folders(family), "--out", new, "--seed", 1)

    _, loading = AutoModelForCausalLM.from_pretrained(new, output_loading_info=True)
    assert not any(loading[problem] for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    text = " ".join(documents)
    assert AutoTokenizer.from_pretrained(new)(text).input_ids == \
           AutoTokenizer.from_pretrained(folders(family))(text).input_ids
    said = malmoi("eval", "perplexity", new, "--data", held_out, "--dtype", "f32", "--json").json["loss"]
    assert said == pytest.approx(reference.folder_loss(new, documents), abs=1e-4)


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2"])
def test_new_writes_the_tensors_that_transformers_writes(malmoi, folders, tmp_path, family):
    """The same names, shapes and types, and the metadata without which transformers refuses the file."""
    malmoi("new", "--config", folders(family) / "config.json", "--tokenizer", folders(family), "--out", tmp_path / "new")

    def contents(folder):
        with safe_open(folder / "model.safetensors", "pt") as file:
            return file.metadata()["format"], {n: (t.get_shape(), t.get_dtype())
                                               for n, t in ((n, file.get_slice(n)) for n in file.keys())}
    assert contents(tmp_path / "new") == contents(folders(family))


@pytest.mark.skipif(not STORIES.exists(), reason="../shared/data/stories260K is absent")
def test_a_converted_checkpoint_tells_its_story_in_transformers(malmoi, tmp_path):
    malmoi("convert", STORIES / "stories260K.bin", "--from", "llama2c", "--tokenizer", STORIES / "tok512.bin",
           "--out", tmp_path / "m")
    expected = (STORIES / "greedy_200.txt").read_text()
    assert malmoi("generate", tmp_path / "m", "--prompt", "", "--greedy", "--max-new-tokens", 200).out == expected
    model, tokenizer = material.open_model(tmp_path / "m")
    ids = model.generate(tokenizer("", return_tensors="pt").input_ids, do_sample=False, max_new_tokens=200)
    assert tokenizer.decode(ids[0], skip_special_tokens=True).strip() == expected.strip()
