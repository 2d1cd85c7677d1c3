"""Adapters in both directions: PEFT's are read here, malmoi's are read by PEFT, and a merge is a merge."""
import json
import shutil

import pytest
import torch
from peft import (AdaLoraConfig, AdaptionPromptConfig, IA3Config, LoraConfig, PeftModel, PrefixTuningConfig, PromptEncoderConfig,
                  PromptEncoder, PromptTuningConfig, VeraConfig, get_peft_model)
from safetensors.torch import load_file, save_file

import material
import reference

LOSS = dict(abs=1e-4)       # f32 on both sides
TARGETS = {"llama": ["q_proj", "v_proj", "down_proj"], "gpt2": ["c_attn", "mlp.c_proj"]}


def family_of(folder):
    return "gpt2" if folder.name.startswith("gpt2") else "llama"


def loss_here(malmoi, model, data, *options):
    return malmoi("eval", "perplexity", model, "--data", data, "--dtype", "f32", "--json", *options).json["loss"]


def peft_adapter(base, folder, **options):
    """A random adapter that PEFT writes."""
    model, _ = material.open_model(base)
    options = {"r": 4, "lora_alpha": 8, "target_modules": TARGETS[family_of(base)],
               "fan_in_fan_out": family_of(base) == "gpt2"} | options
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **options))
    torch.manual_seed(3)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(0.1 * torch.randn_like(p))
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def trained(malmoi, base, training, tmp_path):
    """An adapter that malmoi trained on the base."""
    malmoi("train", "clm", "--model", base, "--data", training, "--adapter", "lora", "--lora-r", 4, "--lora-alpha", 8,
           "--target-modules", ",".join(TARGETS[family_of(base)]), "--steps", 8, "--lr", 1e-2, "--dtype", "f32",
           "--out", tmp_path / "trained")
    return tmp_path / "trained"


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"modules_to_save": ["lm_head"]},
                                     {"target_modules": "all-linear"}], ids=str)
def test_an_adapter_of_peft_gives_its_loss(malmoi, folders, held_out, documents, tmp_path, options):
    base = folders("llama")
    adapter = peft_adapter(base, tmp_path / "a", **options)
    expected = reference.folder_loss(base, documents, adapter)
    assert abs(expected - reference.folder_loss(base, documents)) > 0.01, "the adapter must matter"
    assert loss_here(malmoi, base, held_out, "--adapter", adapter) == pytest.approx(expected, **LOSS)


def test_an_adapter_of_peft_on_transposed_weights(malmoi, folders, held_out, documents, tmp_path):
    adapter = peft_adapter(folders("gpt2"), tmp_path / "a")
    assert loss_here(malmoi, folders("gpt2"), held_out, "--adapter", adapter) == pytest.approx(
        reference.folder_loss(folders("gpt2"), documents, adapter), **LOSS)


def test_a_trained_adapter_opens_in_peft(malmoi, base, trained, held_out, documents):
    expected = reference.folder_loss(base, documents, trained)
    assert loss_here(malmoi, base, held_out, "--adapter", trained) == pytest.approx(expected, **LOSS)
    assert expected < reference.folder_loss(base, documents) - 0.05, "eight steps must have taught it something"


def assert_merge_is_that_of_peft(malmoi, base, adapter, merged):
    malmoi("merge", base, adapter, "--out", merged)
    model, tokenizer = material.open_model(base)
    expected = PeftModel.from_pretrained(model, adapter).merge_and_unload().state_dict()
    opened, opened_tokenizer = material.open_model(merged)
    assert opened.state_dict().keys() == expected.keys()
    for name, weight in opened.state_dict().items():
        torch.testing.assert_close(weight, expected[name], atol=1e-6, rtol=1e-5, msg=lambda m: f"{name}: {m}")
    text = " ".join(material.sentences(20, seed=8))
    assert opened_tokenizer(text).input_ids == tokenizer(text).input_ids


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"modules_to_save": ["lm_head"]}], ids=str)
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_merging_an_adapter_of_peft(malmoi, folders, family, tmp_path, options):
    if family == "gpt2" and "modules_to_save" in options:
        options = {"modules_to_save": ["ln_f"]}           # its head is the embedding
    adapter = peft_adapter(folders(family), tmp_path / "a", **options)
    assert_merge_is_that_of_peft(malmoi, folders(family), adapter, tmp_path / "merged")


def test_merging_a_trained_adapter(malmoi, base, trained, held_out, tmp_path):
    assert_merge_is_that_of_peft(malmoi, base, trained, tmp_path / "merged")
    assert loss_here(malmoi, tmp_path / "merged", held_out) == pytest.approx(
        loss_here(malmoi, base, held_out, "--adapter", trained), **LOSS)


def test_the_adapter_file_has_names_and_types_of_peft(base, trained, tmp_path):
    ours = load_file(trained / "adapter_model.safetensors")
    theirs = load_file(peft_adapter(base, tmp_path / "a") / "adapter_model.safetensors")
    assert {n: (t.shape, t.dtype) for n, t in ours.items()} == {n: (t.shape, t.dtype) for n, t in theirs.items()}


def test_an_adapter_of_another_shape_is_refused(malmoi, folders, held_out, tmp_path):
    adapter = peft_adapter(folders("llama"), tmp_path / "a")
    said = malmoi("eval", "perplexity", folders("gpt2"), "--adapter", adapter, "--data", held_out, fails=True)
    assert "adapter" in said.err and len(said.err.strip().splitlines()) == 1


def test_another_base_is_refused_unless_forced(malmoi, base, trained, held_out, documents, tmp_path):
    """Another chat template, and other weights, make another base; an adapter of PEFT names none and opens."""
    def changed(name, change):
        folder = shutil.copytree(base, tmp_path / name)
        change(folder)
        return folder

    def other_weights(folder):
        weights = load_file(folder / "model.safetensors")
        save_file({n: w * 1.1 for n, w in weights.items()}, folder / "model.safetensors", {"format": "pt"})

    for folder in (changed("t", lambda f: (f / "chat_template.jinja").write_text("{{ messages[0].content }}")), changed("w", other_weights)):
        said = malmoi("eval", "perplexity", folder, "--adapter", trained, "--data", held_out, fails=True).err
        assert str(base) in said and str(folder) in said and "--force" in said and len(said.strip().splitlines()) == 1
        for command in (["generate", folder, "--prompt", "a", "-n", 1], ["chat", folder]):
            assert "--force" in malmoi(*command, "--adapter", trained, fails=True).err
        assert "--force" in malmoi("merge", folder, trained, tmp_path / "merged", fails=True).err
        assert loss_here(malmoi, folder, held_out, "--adapter", trained, "--force") == pytest.approx(
            reference.folder_loss(folder, documents, trained), **LOSS)
        loss_here(malmoi, folder, held_out, "--adapter", peft_adapter(base, tmp_path / ("p" + folder.name)))


def test_a_run_goes_on_with_its_own_base_only(malmoi, base, training, tmp_path):
    model = shutil.copytree(base, tmp_path / "model")
    def train(steps, *more, **how):
        return malmoi("train", "clm", "--model", model, "--data", training, "--adapter", "lora", "--lora-r", 2, "--steps", steps, "--schedule", "constant",
                      "--warmup", 0, "--save-every", 2, "--out", tmp_path / "run", *more, **how)
    train(2)
    weights = load_file(model / "model.safetensors")
    save_file({n: w * 1.1 for n, w in weights.items()}, model / "model.safetensors", {"format": "pt"})
    said = train(4, "--resume", fails=True).err
    assert "the run to resume began on a model (weights " in said and "--force" in said
    assert "begun on another base" in train(4, "--resume", "--force").err


# ---- every other method ----

def virtual(config, **options):
    return lambda family: config(task_type="CAUSAL_LM", num_virtual_tokens=5, **options)


def targets(family):
    return ",".join(TARGETS[family])


METHODS = {                                                # by malmoi's name: PEFT's configuration, malmoi's options (or how they follow from the family)
    "lora, dora": (lambda family: LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, use_dora=True, target_modules=TARGETS[family],
                                             fan_in_fan_out=family == "gpt2"),
                   ["--lora-r", 4, "--lora-alpha", 8, "--use-dora", "--target-modules", targets]),
    "lora, patterns": (lambda family: LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules=TARGETS[family],
                                                 fan_in_fan_out=family == "gpt2", rank_pattern={TARGETS[family][0]: 2},
                                                 alpha_pattern={TARGETS[family][-1]: 3}, layers_to_transform=[1]),
                       ["--lora-r", 4, "--lora-alpha", 8, "--target-modules", targets, "--layers-to-transform", 1, "--rank-pattern",
                        lambda family: TARGETS[family][0] + "=2", "--alpha-pattern", lambda family: TARGETS[family][-1] + "=3"]),
    "lora, head": (lambda family: LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules=[*TARGETS[family][:1], "lm_head"],
                                             fan_in_fan_out=family == "gpt2"),
                   ["--lora-r", 4, "--lora-alpha", 8, "--target-modules", lambda family: TARGETS[family][0] + ",lm_head"]),
    "adalora": (lambda family: AdaLoraConfig(task_type="CAUSAL_LM", init_r=4, target_r=4, lora_alpha=8, total_step=10,
                                             target_modules=TARGETS[family], fan_in_fan_out=family == "gpt2"),
                ["--init-r", 4, "--target-r", 4, "--lora-alpha", 8, "--target-modules", targets]),
    "vera": (lambda family: VeraConfig(task_type="CAUSAL_LM", r=4, target_modules=TARGETS[family][:2], fan_in_fan_out=family == "gpt2"),
             ["--vera-r", 4, "--target-modules", lambda family: ",".join(TARGETS[family][:2])]),
    "ia3": (lambda family: IA3Config(task_type="CAUSAL_LM"), []),
    "llama_adapter": (lambda family: AdaptionPromptConfig(task_type="CAUSAL_LM", adapter_len=4, adapter_layers=1),
                      ["--adapter-len", 4, "--adapter-layers", 1]),
    "prompt": (virtual(PromptTuningConfig), ["--num-virtual-tokens", 5]),
    "p_tuning": (virtual(PromptEncoderConfig, encoder_hidden_size=24), ["--num-virtual-tokens", 5, "--encoder-hidden-size", 24]),
    "p_tuning, LSTM": (virtual(PromptEncoderConfig, encoder_hidden_size=24, encoder_reparameterization_type="LSTM"),
                       ["--num-virtual-tokens", 5, "--encoder-hidden-size", 24, "--encoder-reparameterization-type", "LSTM"]),
    "prefix": (virtual(PrefixTuningConfig), ["--num-virtual-tokens", 5]),
    "prefix, projected": (virtual(PrefixTuningConfig, prefix_projection=True, encoder_hidden_size=24),
                          ["--num-virtual-tokens", 5, "--prefix-projection", "--encoder-hidden-size", 24]),
}


def method_of_peft(base, method, folder):
    """A random adapter of the method, written by PEFT."""
    model, _ = material.open_model(base)
    return material.save_random_adapter(model, METHODS[method][0](family_of(base)), folder, 0.5)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("method", METHODS)
def test_a_method_of_peft_gives_its_loss(malmoi, folders, held_out, documents, tmp_path, family, method):
    base = folders(family)
    adapter = method_of_peft(base, method, tmp_path / "a")
    expected = reference.folder_loss(base, documents, adapter)
    assert abs(expected - reference.folder_loss(base, documents)) > 2e-3, "the adapter must matter far beyond the tolerance"
    assert loss_here(malmoi, base, held_out, "--adapter", adapter) == pytest.approx(expected, **LOSS)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("method", METHODS)
def test_a_method_trained_here_opens_in_peft(malmoi, folders, training, held_out, documents, tmp_path, family, method):
    base, ours = folders(family), tmp_path / "ours"
    malmoi("train", "clm", "--model", base, "--data", training, "--adapter", method.split(",")[0], *(o(family) if callable(o) else o for o in METHODS[method][1]),
           "--steps", 4, "--lr", 1e-2, "--dtype", "f32", "--out", ours)
    assert loss_here(malmoi, base, held_out, "--adapter", ours) == pytest.approx(
        reference.folder_loss(base, documents, ours), **LOSS)
    theirs = method_of_peft(base, method, tmp_path / "theirs")
    assert {n: (t.shape, t.dtype) for n, t in load_file(ours / "adapter_model.safetensors").items()} == \
           {n: (t.shape, t.dtype) for n, t in load_file(theirs / "adapter_model.safetensors").items() if ".base_layer." not in n}


@pytest.mark.parametrize("kind", ["MLP", "LSTM"])
def test_the_prompt_encoder_is_that_of_peft(malmoi, folders, training, tmp_path, kind):
    """The network's weights stand in a checkpoint: PEFT's network makes the vectors of them that were saved."""
    malmoi("train", "clm", "--model", folders("llama"), "--data", training, "--adapter", "p_tuning", "--num-virtual-tokens", 5,
           "--encoder-hidden-size", 24, "--encoder-reparameterization-type", kind, "--steps", 4, "--save-every", 4, "--lr", 1e-2,
           "--dtype", "f32", "--out", tmp_path / "a")
    weights = load_file(next((tmp_path / "a/checkpoints").glob("step-*/training.safetensors")))
    encoder = PromptEncoder(PromptEncoderConfig(num_virtual_tokens=5, token_dim=64, num_transformer_submodules=1, encoder_hidden_size=24,
                                                encoder_reparameterization_type=kind))
    with torch.no_grad():
        for name, p in encoder.named_parameters():       # of the two biases of a layer here there is one
            p.copy_(torch.zeros_like(p) if "bias_hh" in name else weights[name])
        made = encoder(torch.arange(5)[None])[0]
    torch.testing.assert_close(load_file(tmp_path / "a/adapter_model.safetensors")["prompt_embeddings"], made, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("method", ["lora, dora", "lora, patterns", "ia3"])
def test_merging_a_method_of_peft(malmoi, folders, family, method, tmp_path):
    assert_merge_is_that_of_peft(malmoi, folders(family), method_of_peft(folders(family), method, tmp_path / "a"), tmp_path / "merged")


@pytest.mark.parametrize("method", ["lora, patterns", "adalora", "vera", "ia3"])
def test_a_merge_taken_back_is_the_base(malmoi, base, held_out, method, tmp_path):
    adapter = method_of_peft(base, method, tmp_path / "a")
    told = malmoi("merge", base, adapter, tmp_path / "merged", "--json").json
    assert told["max_difference"] <= told["bound"] and told["probe"].endswith("tokens of text")
    malmoi("merge", "--undo", tmp_path / "merged", adapter, tmp_path / "again", "--text", held_out)
    before, after = (load_file(f / "model.safetensors") for f in (base, tmp_path / "again"))
    for name, weight in after.items():                   # f32 sums and differences of numbers of about 1
        torch.testing.assert_close(weight, before.get(name, before.get(name.removeprefix("transformer."))), atol=1e-6, rtol=1e-5)
    assert loss_here(malmoi, tmp_path / "again", held_out) == pytest.approx(loss_here(malmoi, base, held_out), **LOSS)


def test_what_a_merge_cannot_give_back(malmoi, base, trained, tmp_path):
    assert "the adapter is not in it" in malmoi("merge", "--undo", base, trained, tmp_path / "no", fails=True).err
    dora = method_of_peft(base, "lora, dora", tmp_path / "dora")
    malmoi("merge", base, dora, tmp_path / "merged")
    assert "DoRA has given the rows other lengths" in malmoi("merge", "--undo", tmp_path / "merged", dora, tmp_path / "no", fails=True).err
    saved = peft_adapter(base, tmp_path / "saved", modules_to_save=["norm" if family_of(base) == "llama" else "ln_f"])
    assert "what stood there is gone" in malmoi("merge", "--undo", base, saved, tmp_path / "no", fails=True).err
    assert not (tmp_path / "no").exists()


def test_merging_the_head(malmoi, folders, tmp_path):
    """Where the head is the embedding, PEFT's merge changes both, which is another model: malmoi refuses."""
    assert_merge_is_that_of_peft(malmoi, folders("llama"), method_of_peft(folders("llama"), "lora, head", tmp_path / "a"), tmp_path / "merged")
    tied = method_of_peft(folders("gpt2"), "lora, head", tmp_path / "b")
    assert "lm_head is the embedding as well" in malmoi("merge", folders("gpt2"), tied, tmp_path / "no", fails=True).err


def test_an_adapter_of_the_embedding(malmoi, folders, training, held_out, documents, tmp_path):
    """PEFT puts the embedding's own weight into its file as well; ours has the update alone."""
    base, options = folders("llama"), {"target_modules": ["embed_tokens", "q_proj"]}
    adapter = peft_adapter(base, tmp_path / "theirs", **options)
    assert loss_here(malmoi, base, held_out, "--adapter", adapter) == pytest.approx(
        reference.folder_loss(base, documents, adapter), **LOSS)
    malmoi("train", "clm", "--model", base, "--data", training, "--adapter", "lora", "--target-modules", "embed_tokens,q_proj",
           "--steps", 4, "--lr", 1e-2, "--dtype", "f32", "--out", tmp_path / "ours")
    assert loss_here(malmoi, base, held_out, "--adapter", tmp_path / "ours") == pytest.approx(
        reference.folder_loss(base, documents, tmp_path / "ours"), **LOSS)


# ---- several at once ----

def test_stacked_adapters_are_those_of_peft(malmoi, base, held_out, documents, tmp_path):
    first = peft_adapter(base, tmp_path / "first")
    second = peft_adapter(base, tmp_path / "second", r=3, lora_alpha=-5, target_modules=TARGETS[family_of(base)][:1])
    model, tokenizer = material.open_model(base)
    model = PeftModel.from_pretrained(model, first, "first")
    model.load_adapter(second, "second")
    model.base_model.set_adapter(["first", "second"])
    with torch.no_grad():
        expected = reference.loss(model.eval(), [reference.scored(tokenizer, d) for d in documents]).item()
    assert abs(expected - reference.folder_loss(base, documents, first)) > 1e-3
    assert loss_here(malmoi, base, held_out, "--adapter", first, "--adapter", second) == pytest.approx(expected, **LOSS)


def test_each_prompt_has_the_adapters_that_it_asks_for(malmoi, base, trained, tmp_path):
    """Rows of one batch say what each says alone."""
    other = method_of_peft(base, "prefix", tmp_path / "prefix")
    asked = [None, "law", "poem", ["law", "poem"], "poem", None, "law"]
    rows = [{"prompt": material.sentences(1, seed=i)[0]} | ({"adapter": a} if a else {}) for i, a in enumerate(asked)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows))
    how = ["--greedy", "-n", 12, "--dtype", "f32", "--ignore-eos", "--json"]
    together = malmoi("generate", base, "--adapter", f"law={trained}", "--adapter", f"poem={other}", "--prompt-file", path, *how).out
    folders = {"law": trained, "poem": other}
    for row, line in zip(rows, together.splitlines(), strict=True):
        names = row.get("adapter") or []
        alone = [x for n in ([names] if isinstance(names, str) else names) for x in ("--adapter", folders[n])]
        assert json.loads(line) == malmoi("generate", base, *alone, "--prompt", row["prompt"], *how).json
    path.write_text('{"prompt": "a", "adapter": "low"}\n')
    said = malmoi("generate", base, "--adapter", f"law={trained}", "--prompt-file", path, fails=True).err
    assert 'rows.jsonl:1: adapter: found "low", --adapter has law' in said


# ---- bad input ----

@pytest.mark.parametrize("options, said", [
    ("lora --target-modules q_prj", 'target module "q_prj" matches no linear of this llama model, did you mean "q_proj"'),
    ("lora --lora-r 4000", "rank 4000 is larger than a side of model.layers.0.self_attn.q_proj, which is 64 by 64"),
    ("adalora --init-r 4000", "rank 4000 is larger"),
    ("adalora --init-r 4 --target-r 8", "target rank 8 is larger than the initial rank 4"),
    ("prefix --num-virtual-tokens 60000", "60000 virtual tokens: expected at least 1 and fewer than the model's 128 positions"),
    ("vera --target-modules (q_proj", "does not compile: expected )"),
    ("llama_adapter --adapter-layers 99", "99 adapter layers: the model has 2"),
    ("lora --layers-to-transform 7", 'expected 0 to 1, found "7"'),
    ("lora --modules-to-save nosuch", '"nosuch" names no module'),
    ("lora --rank-pattern q_proj", "expected NAME=NUMBER above 0"),
    ("lora --use-dora --target-modules lm_head", "the head cannot be a target"),
    ("none --load-in nf4", "--load-in nf4: a model in this format is frozen; give --adapter METHOD"),
    ("lora --load-in int3", 'there is no weight format "int3"'),
    ("lorra", "there is no 'lorra'"),
])
def test_bad_settings(malmoi, folders, training, tmp_path, options, said):
    err = malmoi("train", "clm", "--model", folders("llama"), "--data", training, "--steps", 1, "--out", tmp_path / "x", "--adapter", *options.split(), fails=True).err
    assert said in err and len(err.strip().splitlines()) == 1 and not (tmp_path / "x").exists()


@pytest.mark.parametrize("method", ["prefix", "prompt", "p_tuning", "llama_adapter"])
def test_what_is_no_change_of_weights_is_not_merged(malmoi, base, tmp_path, method):
    said = malmoi("merge", base, method_of_peft(base, method, tmp_path / "a"), tmp_path / "no", fails=True).err
    assert f"{method} cannot be merged: it is not a change of weights; keep the adapter beside the model" in said


@pytest.mark.parametrize("change, said", [
    (lambda t: t.pop(next(n for n in t if "q_proj.lora_A" in n)), "lora_A.weight is missing"),
    (lambda t: t.update({"base_model.model.extra.lora_A.weight": torch.zeros(4, 4)}), "extra.lora_A.weight is not one that adapter_config.json implies"),
    (lambda t: t.update({n: torch.zeros(3, 3) for n in t if "q_proj.lora_B" in n}), "q_proj.lora_B.weight: shape [3, 3], expected [64, 4]"),
], ids=["missing", "extra", "misshapen"])
def test_a_file_that_does_not_fit(malmoi, folders, held_out, tmp_path, change, said):
    adapter = peft_adapter(folders("llama"), tmp_path / "a")
    tensors = load_file(adapter / "adapter_model.safetensors")
    change(tensors)
    save_file(tensors, adapter / "adapter_model.safetensors", {"format": "pt"})
    err = malmoi("eval", "perplexity", folders("llama"), "--adapter", adapter, "--data", held_out, fails=True).err
    assert said in err and len(err.strip().splitlines()) == 1


def test_an_unknown_method_is_refused(malmoi, folders, held_out, tmp_path):
    adapter = peft_adapter(folders("llama"), tmp_path / "a")
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"peft_type": "LOHA"}))
    assert 'peft_type: found "LOHA"' in malmoi("eval", "perplexity", folders("llama"), "--adapter", adapter, "--data", held_out, fails=True).err
