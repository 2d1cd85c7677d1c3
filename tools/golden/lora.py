"""tests/golden/lora: adapters made by PEFT on the golden models llama and gpt2.

    build/venv/bin/python tools/golden/lora.py [FOLDER]

Each NAME/ is a PEFT folder with a random, non-zero B, and expect_lora.safetensors beside it: what
golden.py describes, computed with the adapter on (grad.<name in adapter_model.safetensors> for what
trains, losses when only that trains), merged.logits.N after merge_and_unload, and merged.<parameter>
for every matrix that the merge changes.

Run after model.py; its models are the bases.
"""
import copy

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

import golden

SEED = 40
BASES = "tests/golden/model"
ADAPTERS = {
    "llama": ("llama", dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])),
    # rank-stabilised scaling alpha / sqrt(r); a regex for the targets; a head that trains whole.
    "llama_rslora": ("llama", dict(r=6, lora_alpha=3, use_rslora=True, modules_to_save=["lm_head"],
                                   target_modules=r".*\.(o_proj|down_proj)")),
    "gpt2": ("gpt2", dict(r=4, lora_alpha=8, target_modules=["c_attn"], fan_in_fan_out=True)),
    # lengths that train; biases, which they must not scale, and transposed weights with gpt2.
    "llama_dora": ("llama", dict(r=4, lora_alpha=8, use_dora=True, target_modules=["q_proj", "v_proj", "down_proj"])),
    "gpt2_dora": ("gpt2", dict(r=4, lora_alpha=8, use_dora=True, target_modules=["c_attn", "mlp.c_proj"], fan_in_fan_out=True)),
    # ranks and alphas by name and by expression, and the embedding.
    "llama_patterns": ("llama", dict(r=4, lora_alpha=8, target_modules=["q_proj", "o_proj", "up_proj", "embed_tokens"],
                                     rank_pattern={"up_proj": 2, r"layers\.\d+\.self_attn\.o_proj": 3, "embed_tokens": 5},
                                     alpha_pattern={r".*\.0\..*q_proj": 3, "proj": 6})),
    "llama_layers": ("llama", dict(r=4, lora_alpha=8, target_modules=["k_proj", "gate_proj"], layers_to_transform=[1])),
}


def attach(base, options):
    """The base model with a random adapter on it."""
    model = AutoModelForCausalLM.from_pretrained(golden.ROOT / BASES / base, attn_implementation="eager")
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **options)).eval()
    config = model.peft_config["default"]
    config.base_model_name_or_path = f"{BASES}/{base}"
    if isinstance(config.target_modules, set):   # a set is written in another order each time
        config.target_modules = sorted(config.target_modules)
    draw = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            if p.requires_grad:
                noise = 0.2 * torch.randn(p.shape, generator=draw)
                p.copy_(p + noise if "modules_to_save" in name or "magnitude" in name else noise)
    return model


def saved_names(model, tensors):
    """`tensors`, keyed by parameter, under the names that PEFT gives those parameters in its file."""
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for name, p in twin.named_parameters():
            if name in tensors:
                p.copy_(tensors[name])
    return get_peft_model_state_dict(twin)


def expectations(model, sequences):
    plain = golden.expectations(model, sequences)
    grads = {n.removeprefix("grad."): plain.pop(n) for n in list(plain) if n.startswith("grad.")}
    return plain | {f"grad.{name}": g for name, g in saved_names(model, grads).items()}


def merged_expectations(model, base, sequences):
    """Logits after the merge, and the matrices that it changed."""
    merged = copy.deepcopy(model).merge_and_unload()
    original = AutoModelForCausalLM.from_pretrained(golden.ROOT / BASES / base).state_dict()
    with torch.no_grad():
        out = {f"merged.logits.{i}": golden.logits_of(merged, ids) for i, ids in enumerate(sequences)}
    return out | {f"merged.{name}": w for name, w in merged.state_dict().items()
                  if not torch.equal(w, original[name])}


def main():
    out = golden.destination("tests/golden/lora")
    for i, (name, (base, options)) in enumerate(ADAPTERS.items()):
        model, sequences = attach(base, options), golden.batch(SEED + i)
        golden.refuse_unstable(name, model, sequences, golden.expectations(model, sequences))
        expected = expectations(model, sequences) | merged_expectations(model, base, sequences)
        for j in range(len(sequences)):
            torch.testing.assert_close(expected[f"merged.logits.{j}"], expected[f"logits.{j}"], atol=1e-4, rtol=0)

        model.save_pretrained(out / name)
        (out / name / "README.md").unlink()
        save_file(golden.contiguous(expected), out / name / "expect_lora.safetensors")
        print(f"{name}: loss {expected['loss']:.4f}, after {golden.STEPS} steps {expected['losses'][-1]:.4f}")
    golden.write_manifest(out, __file__, SEED)


if __name__ == "__main__":
    main()
