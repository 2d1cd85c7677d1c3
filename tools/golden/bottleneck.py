"""tests/golden/bottleneck: adapters made by the library `adapters` on the golden models llama and gpt2.

    VENV/bin/python tools/golden/bottleneck.py [FOLDER]

`adapters` 1.3.0 wants transformers 4.57, which cannot be installed beside the version that everything else is
held to: this script needs an environment of its own (pip install adapters==1.3.0 torch==2.13.0), and so the
library is met by golden data and not live in ./test --interop.

Each NAME/ is a folder of `adapters` with random numbers, and expect.safetensors beside it: what golden.py
describes, computed with the adapter active.
"""
import json

import adapters
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

import golden

SEED = 60
BASES = "tests/golden/model"
ADAPTERS = {
    "llama_pfeiffer": ("llama", adapters.SeqBnConfig(reduction_factor=4)),
    "llama_houlsby": ("llama", adapters.DoubleSeqBnConfig(reduction_factor=8, non_linearity="gelu")),
    "llama_parallel": ("llama", adapters.ParBnConfig(reduction_factor=3)),
    "gpt2_houlsby": ("gpt2", adapters.DoubleSeqBnConfig(reduction_factor=4)),
    "gpt2_parallel": ("gpt2", adapters.ParBnConfig(reduction_factor=4, scaling=0.5, leave_out=[0])),
}


def open_base(base):
    model = AutoModelForCausalLM.from_pretrained(golden.ROOT / BASES / base, attn_implementation="eager")
    adapters.init(model)
    return model


def attach(base, config):
    """The base model with a random adapter on it, which alone trains."""
    model = open_base(base)
    model.add_adapter("tuned", config=config)
    model.train_adapter("tuned")
    model.eval()
    draw = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            if p.requires_grad:
                p.copy_(0.2 * torch.randn(p.shape, generator=draw))
    return model


def main():
    out = golden.destination("tests/golden/bottleneck")
    for i, (name, (base, config)) in enumerate(ADAPTERS.items()):
        model, sequences = attach(base, config), golden.batch(SEED + i)
        expected = golden.expectations(model, sequences)
        golden.refuse_unstable(name, model, sequences, expected)
        (out / name).mkdir(exist_ok=True)
        model.save_adapter(out / name, "tuned", with_head=False, use_safetensors=True)
        written = out / name / "adapter_config.json"
        golden.write_json(written, json.loads(written.read_text()) | {"model_name": f"{BASES}/{base}"})
        save_file(golden.contiguous(expected), out / name / "expect.safetensors")
        print(f"{name}: loss {expected['loss']:.4f}, after {golden.STEPS} steps {expected['losses'][-1]:.4f}")
    golden.write_manifest(out, __file__, SEED, ("torch", "transformers", "adapters", "safetensors"))


if __name__ == "__main__":
    main()
