"""malmoi adapter: what it says of adapters, combinations as PEFT's add_weighted_adapter makes them, llama.cpp's LoRA file."""
import json

import gguf
import numpy
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file

import material
from test_adapter import TARGETS, family_of, loss_here, peft_adapter, trained        # noqa: F401 (a fixture)


def updates(folder):
    """Every module's scale * B A; a combined adapter has one alpha and one rank."""
    config = json.loads((folder / "adapter_config.json").read_text())
    tensors = load_file(folder / "adapter_model.safetensors")
    a = {n.removesuffix(".lora_A.weight"): t for n, t in tensors.items() if n.endswith(".lora_A.weight")}
    return {n: config["lora_alpha"] / config["r"] * tensors[n + ".lora_B.weight"] @ t for n, t in a.items()}


@pytest.fixture
def pair(base, tmp_path):
    """Two adapters of one rank and different targets, scales and weights."""
    torch.manual_seed(7)
    targets = TARGETS[family_of(base)]
    first = peft_adapter(base, tmp_path / "first", target_modules=targets[:2])
    model, _ = material.open_model(base)
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=3, target_modules=targets[1:], fan_in_fan_out=family_of(base) == "gpt2"))
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.copy_(0.1 * torch.randn_like(p))
    model.save_pretrained(tmp_path / "second")
    return first, tmp_path / "second"


def combined_by_peft(base, pair, weights, method, folder, **options):
    model, _ = material.open_model(base)
    model = PeftModel.from_pretrained(model, pair[0], "first")
    model.load_adapter(pair[1], "second")
    model.base_model.add_weighted_adapter(["first", "second"], weights, "both", combination_type=method, **options)
    model.save_pretrained(folder, selected_adapters=["both"])
    return folder / "both"


METHODS = ["linear", "cat", "svd", "ties", "ties_svd", "magnitude_prune", "magnitude_prune_svd"]


@pytest.mark.parametrize("weights", [[0.7, 0.4], [1.5, -0.5]], ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_combined_as_peft_does(malmoi, base, pair, tmp_path, method, weights):
    options = {} if method in ("linear", "cat", "svd") else {"density": 0.6}
    malmoi("adapter", "combine", *pair, "--weights=" + ",".join(map(str, weights)), "--method", method, "--out", tmp_path / "ours",
           *(("--density", 0.6) if options else ()))
    theirs = combined_by_peft(base, pair, weights, method, tmp_path / "theirs", **options)
    ours, expected = updates(tmp_path / "ours"), updates(theirs)
    assert ours.keys() == expected.keys()
    for name, update in ours.items():                    # f32, and a singular value decomposition of updates of about 1
        torch.testing.assert_close(update, expected[name], atol=2e-5, rtol=1e-4, msg=lambda m: f"{name}: {m}")
    opened, _ = material.open_model(base)
    PeftModel.from_pretrained(opened, tmp_path / "ours")


def test_cat_is_the_stack(malmoi, base, pair, held_out, tmp_path):
    malmoi("adapter", "combine", *pair, "--method", "cat", "--out", tmp_path / "both")
    assert loss_here(malmoi, base, held_out, "--adapter", tmp_path / "both") == pytest.approx(
        loss_here(malmoi, base, held_out, "--adapter", pair[0], "--adapter", pair[1]), abs=1e-5)


def test_dare_keeps_a_share_and_its_mean(malmoi, base, pair, tmp_path):
    """Kept numbers are the given ones over the density, their share is the density, the seed chooses them."""
    one = pair[0]
    def made(name, *options):
        malmoi("adapter", "combine", one, "--method", "dare_linear", "--density", 0.25, "--out", tmp_path / name, *options)
        return load_file(tmp_path / name / "adapter_model.safetensors")
    given, found, again, other = load_file(one / "adapter_model.safetensors"), made("x"), made("y"), made("z", "--seed", 5)
    scale = (8 / 4) ** 0.5                               # alpha over rank, shared by A and B
    kept = total = 0
    for name, t in found.items():
        assert torch.equal(t, again[name])
        there = t != 0
        torch.testing.assert_close(t[there], given[name][there] * scale / 0.25)
        kept, total = kept + there.sum().item(), total + t.numel()
    assert abs(kept / total - 0.25) < 5 * (0.25 * 0.75 / total) ** 0.5
    assert any(not torch.equal(found[n], other[n]) for n in found)


def test_combining_what_does_not_fit_is_refused(malmoi, folders, base, pair, tmp_path):
    def refusal(*arguments):
        said = malmoi("adapter", "combine", *arguments, "--out", tmp_path / "no", fails=True).err
        assert len(said.strip().splitlines()) == 1 and not (tmp_path / "no").exists()
        return said
    narrow = peft_adapter(base, tmp_path / "narrow", r=2)
    assert "linear wants one rank" in refusal(pair[0], narrow, "--method", "linear")
    other = folders("gpt2" if family_of(base) == "llama" else "llama")
    foreign = peft_adapter(other, tmp_path / "foreign")
    said = refusal(pair[0], foreign)
    assert str(base) in said and str(other) in said and "--force" in said
    assert "use_dora" in refusal(pair[0], peft_adapter(base, tmp_path / "dora", use_dora=True))
    assert "--weights: 3 for 2 adapters" in refusal(*pair, "--weights", "1,2,3")
    assert "larger than a side" in refusal(*pair, "--rank", 4000)


def test_list_show_and_diff(malmoi, base, trained, pair, tmp_path):
    listed = malmoi("adapter", "list", tmp_path, "--json").json["adapters"]
    by_folder = {a["folder"]: a for a in listed}
    assert {str(trained), *map(str, pair)} <= by_folder.keys()
    tensors = load_file(trained / "adapter_model.safetensors")
    shown = malmoi("adapter", "show", trained, "--json").json
    for found in (by_folder[str(trained)], shown):
        assert (found["method"], found["base"], found["trainable_parameters"]) == ("lora", str(base), sum(t.numel() for t in tensors.values()))
        assert found["fingerprint"].startswith("weights ")
    assert by_folder[str(pair[0])]["fingerprint"] is None
    assert {t["name"]: t["norm"] for t in shown["tensors"]} == pytest.approx({n: t.norm().item() for n, t in tensors.items()})
    assert "lora_alpha" in malmoi("adapter", "show", trained).out

    same = malmoi("adapter", "diff", trained, trained, "--json").json
    assert same["config"] == {} and all((t["change"], t["cosine"]) == (0, 1) for t in same["tensors"])
    found = malmoi("adapter", "diff", pair[0], pair[1], "--json").json
    assert found["config"]["lora_alpha"] == [8, 3]
    a, b = (load_file(p / "adapter_model.safetensors") for p in pair)
    for t in found["tensors"]:
        if t["name"] in a and t["name"] in b:
            x, y = a[t["name"]].flatten(), b[t["name"]].flatten()
            assert (t["change"], t["cosine"]) == pytest.approx((((y - x).norm() / x.norm()).item(), torch.cosine_similarity(x, y, 0).item()), abs=1e-6)
        else:
            assert t["only_in"] == str(pair[0] if t["name"] in a else pair[1])


# ---- llama.cpp ----

def permuted(weight, heads):
    """Rows of queries and keys in llama.cpp's order."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


@pytest.mark.parametrize("options", [{}, {"use_rslora": True, "alpha_pattern": {"v_proj": 5, "c_attn": 5}, "rank_pattern": {"q_proj": 2, "mlp.c_proj": 2}}], ids=str)
def test_a_lora_file_of_llama_cpp(malmoi, base, tmp_path, options):
    family = family_of(base)
    table = {"llama": "embed_tokens", "gpt2": "wte"}[family]
    adapter = peft_adapter(base, tmp_path / "a", target_modules=TARGETS[family] + (["k_proj", "lm_head"] if family == "llama" else []) + [table], **options)
    malmoi("adapter", "export", adapter, "--to", "gguf", "--out", tmp_path / "a.gguf")
    read = gguf.GGUFReader(tmp_path / "a.gguf")
    field = lambda key: read.get_field(key).contents()
    assert (field("general.type"), field("adapter.type"), field("general.architecture"), field("adapter.lora.alpha")) == ("adapter", "lora", family, 8)
    tensors = {t.name: t.data for t in read.tensors}

    model, _ = material.open_model(base)
    config = model.config
    names = gguf.get_tensor_name_map(getattr(gguf.MODEL_ARCH, family.upper()), config.num_hidden_layers)
    opened = PeftModel.from_pretrained(model, adapter).base_model.model
    seen = 0
    for name, module in opened.named_modules():
        if not hasattr(module, "lora_A") or not (module.lora_A or module.lora_embedding_A):
            continue
        delta = module.get_delta_weight("default").detach()
        theirs = names.get_name(name) + ".weight"
        a, b = tensors[theirs + ".lora_a"], tensors[theirs + ".lora_b"]
        rank = b.shape[1]
        if theirs == "token_embd.weight":
            found, expected = (b @ a.T).T, delta.numpy()
        else:
            found, expected = b @ a, (delta.T if family == "gpt2" else delta).numpy()
        if family == "llama" and name.endswith(("q_proj", "k_proj")):
            expected = permuted(expected, config.num_attention_heads if name.endswith("q_proj") else config.num_key_value_heads)
        numpy.testing.assert_allclose(found * (8 / rank), expected, atol=1e-6)
        seen += 1
    assert 2 * seen == len(tensors) and seen > 4


def test_exporting_what_llama_cpp_cannot_have_is_refused(malmoi, base, tmp_path):
    adapter = peft_adapter(base, tmp_path / "saved", modules_to_save=["norm" if family_of(base) == "llama" else "ln_f"])
    said = malmoi("adapter", "export", adapter, "--out", tmp_path / "x.gguf", fails=True).err
    assert "no part of a pair of LoRA" in said and len(said.strip().splitlines()) == 1
    if family_of(base) == "gpt2":                        # tied
        adapter = peft_adapter(base, tmp_path / "head", target_modules=["lm_head"])
        assert "it is the embedding as well" in malmoi("adapter", "export", adapter, "--out", tmp_path / "x.gguf", fails=True).err
