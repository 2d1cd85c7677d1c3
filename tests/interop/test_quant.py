"""Quantised models in both directions with bitsandbytes on a CPU: codes, files, losses, and adapters on them."""
import json

import pytest
import torch
from bitsandbytes import functional
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

import reference

LOSS = dict(abs=1e-4)                  # f32 on both sides, the same codes
FORMATS = ["nf4", "fp4"]
LINEAR = {"llama": "model.layers.0.mlp.down_proj.weight", "gpt2": "transformer.h.0.attn.c_attn.weight"}


def quantised(folder, kind, double=True):
    """A float folder as transformers quantises it, or a quantised one (kind None) as it stands."""
    config = {} if kind is None else {"quantization_config": BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type=kind, bnb_4bit_use_double_quant=double, bnb_4bit_compute_dtype=torch.float32)}
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, device_map="cpu", **config).eval()


def loss_of(model, folder, documents):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        return reference.loss(model, [reference.scored(tokenizer, d) for d in documents]).item()


def loss_here(malmoi, model, data, *options):
    return malmoi("eval", "perplexity", model, "--data", data, "--dtype", "f32", "--json", *options).json["loss"]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("family", LINEAR)
def test_codes_and_scales(malmoi, folders, tmp_path, family, kind):
    malmoi("quantize", folders(family), tmp_path / "q", "--to", kind)
    ours, name = load_file(tmp_path / "q/model.safetensors"), LINEAR[family]
    weight = load_file(folders(family) / "model.safetensors")
    weight = weight.get(name, weight.get(name.removeprefix("transformer."))).float()
    weight = weight.T.contiguous() if family == "gpt2" else weight
    codes, state = functional.quantize_4bit(weight, blocksize=64, quant_type=kind, compress_statistics=True)
    assert torch.equal(ours[name], codes)
    assert torch.equal(ours[f"{name}.quant_map"], state.code)
    assert torch.equal(ours[f"{name}.nested_quant_map"], state.state2.code)
    # torch's mean of the scales may be a few roundings off the nearest float: a scale beside a border takes its neighbour
    assert (ours[f"{name}.absmax"] != state.absmax).float().mean() < 0.01
    torch.testing.assert_close(ours[f"{name}.nested_absmax"], state.state2.absmax, rtol=1e-5, atol=1e-6)


def test_int8_codes(malmoi, folders, tmp_path):
    malmoi("quantize", folders("llama"), tmp_path / "q", "--to", "int8")
    ours, name = load_file(tmp_path / "q/model.safetensors"), LINEAR["llama"]
    codes, rows, _ = functional.int8_vectorwise_quant(load_file(folders("llama") / "model.safetensors")[name].float())
    assert torch.equal(ours[name], codes)
    assert torch.equal(ours[name.replace("weight", "SCB")], rows)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("family", LINEAR)
def test_our_checkpoint_opens_in_transformers(malmoi, folders, held_out, documents, tmp_path, family, kind):
    malmoi("quantize", folders(family), tmp_path / "q", "--to", kind)
    expected = loss_of(quantised(tmp_path / "q", None), folders(family), documents)
    assert loss_here(malmoi, tmp_path / "q", held_out) == pytest.approx(expected, **LOSS)
    assert loss_here(malmoi, folders(family), held_out, "--load-in", kind) == pytest.approx(expected, **LOSS)


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("family", LINEAR)
def test_their_checkpoint_opens_here(malmoi, folders, held_out, documents, tmp_path, family, double):
    model = quantised(folders(family), "nf4", double)
    model.save_pretrained(tmp_path / "q")
    AutoTokenizer.from_pretrained(folders(family)).save_pretrained(tmp_path / "q")
    expected = loss_of(model, folders(family), documents)
    assert loss_here(malmoi, tmp_path / "q", held_out) == pytest.approx(expected, **LOSS)


@pytest.mark.parametrize("family", LINEAR)
def test_modules_that_stay_as_they_are(malmoi, folders, held_out, documents, tmp_path, family):
    """llm_int8_skip_modules of their checkpoint is honoured, and kept where the model is written again."""
    skipped = ["lm_head", "down_proj" if family == "llama" else "mlp.c_proj"]
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32, llm_int8_skip_modules=skipped)
    model = AutoModelForCausalLM.from_pretrained(folders(family), dtype=torch.float32, device_map="cpu", quantization_config=config).eval()
    model.save_pretrained(tmp_path / "theirs")
    AutoTokenizer.from_pretrained(folders(family)).save_pretrained(tmp_path / "theirs")
    expected = loss_of(model, folders(family), documents)
    assert loss_here(malmoi, tmp_path / "theirs", held_out) == pytest.approx(expected, **LOSS)
    assert abs(expected - loss_of(quantised(folders(family), "nf4"), folders(family), documents)) > 1e-4
    ia3 = tmp_path / "ia3"
    malmoi("train", "clm", "--model", tmp_path / "theirs", "--adapter", "ia3", "--data", held_out, "--steps", 1, "--dtype", "f32", "--out", ia3)
    malmoi("merge", tmp_path / "theirs", ia3, tmp_path / "merged")
    assert json.loads((tmp_path / "merged/config.json").read_text())["quantization_config"]["llm_int8_skip_modules"] == skipped
    assert load_file(tmp_path / "merged/model.safetensors")[{"llama": "model.layers.0.mlp.down_proj.weight", "gpt2": "transformer.h.0.mlp.c_proj.weight"}[family]].is_floating_point()
    loss_here(malmoi, tmp_path / "merged", held_out)


def test_an_adapter_trained_on_nf4_opens_in_peft(malmoi, folders, training, held_out, documents, tmp_path):
    base, q = folders("llama"), tmp_path / "q"
    malmoi("quantize", base, q, "--to", "nf4")
    malmoi("train", "clm", "--model", q, "--data", training, "--adapter", "lora", "--lora-r", 4, "--steps", 8, "--lr", 1e-2,
           "--dtype", "f32", "--out", tmp_path / "a")
    plain = quantised(q, None)
    before = loss_of(plain, base, documents)
    expected = loss_of(PeftModel.from_pretrained(plain, tmp_path / "a").eval(), base, documents)
    assert loss_here(malmoi, q, held_out, "--adapter", tmp_path / "a") == pytest.approx(expected, **LOSS)
    assert expected < before - 0.05, "eight steps must have taught it something"


def test_a_merge_requantises_and_says_what_it_cost(malmoi, folders, training, held_out, tmp_path):
    base, a = folders("llama"), tmp_path / "a"
    malmoi("train", "clm", "--model", base, "--load-in", "nf4", "--data", training, "--adapter", "lora", "--lora-r", 4, "--steps", 8,
           "--lr", 1e-2, "--dtype", "f32", "--out", a)
    said = malmoi("merge", base, a, tmp_path / "m", "--load-in", "nf4", "--json").json
    assert said["requantised"]["format"] == "nf4" and 0 < said["requantised"]["weight"] < 0.16
    assert said["max_difference"] < said["requantised"]["logit"]
    apart, merged = loss_here(malmoi, base, held_out, "--load-in", "nf4", "--adapter", a), loss_here(malmoi, tmp_path / "m", held_out)
    assert abs(apart - merged) < 0.2
    # The same adapter fits the base in floats, which it was quantised from.
    assert abs(loss_here(malmoi, base, held_out, "--adapter", a) - apart) < 0.2


@pytest.mark.parametrize("options", [["--load-in", "nf4"], ["--load-in", "nf5", "--adapter", "lora"]])
def test_what_is_refused(malmoi, folders, training, tmp_path, options):
    done = malmoi("train", "clm", "--model", folders("llama"), "--data", training, "--out", tmp_path / "o", *options, fails=True)
    assert options[1] in done.err and len(done.err.splitlines()) == 1
