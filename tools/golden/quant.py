"""tests/golden/quant: matrices as bitsandbytes quantises them on a CPU, and models as transformers saves them.

    build/venv/bin/python tools/golden/quant.py [FOLDER]

blocks.safetensors holds, for each matrix NAME, NAME.x and what became of it:
  NAME.FORMAT.codes, .absmax                 quantize_4bit without double quantisation (nf4, fp4), and the
                                             row-wise int8 with its row maxima
  NAME.FORMAT.double.absmax, .nested_absmax, .offset       the scales after double quantisation
map is the dynamic 8-bit code.

llama_nf4, llama_fp4, gpt2_nf4 and llama_int8 are folders of save_pretrained; expect_quant.safetensors
beside the weights has ids.N and logits.N.  Run after model.py; its models are what is quantised.
"""
import warnings

import torch
from bitsandbytes import functional
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

import golden

SEED = 60
BASES = "tests/golden/model"
# Blocks over the ends of rows, a last block that is short, an odd number of elements, more than one outer block.
SHAPES = {"square": (64, 64), "over": (24, 80), "odd": (5, 13), "large": (160, 192)}
MODELS = {
    "llama_nf4": ("llama", dict(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
                                bnb_4bit_compute_dtype=torch.float32)),
    "llama_fp4": ("llama", dict(load_in_4bit=True, bnb_4bit_quant_type="fp4", bnb_4bit_compute_dtype=torch.float32)),
    "gpt2_nf4": ("gpt2", dict(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
                              bnb_4bit_compute_dtype=torch.float32)),
    "llama_int8": ("llama", dict(load_in_8bit=True)),
}


def matrix(shape, draw):
    """Normal numbers with a few large ones, a block of zeros and numbers that lie on levels exactly."""
    x = torch.randn(shape, generator=draw)
    flat = x.reshape(-1)
    flat[torch.randint(0, len(flat), (len(flat) // 50,), generator=draw)] *= 8
    if len(flat) >= 256:
        flat[64:128] = 0
        flat[128:144] = functional.get_4bit_type("nf4", device="cpu") * 2
        flat[144:192] = 0.5
    return x


def blocks():
    draw, out = torch.Generator().manual_seed(SEED), {"map": functional.create_dynamic_map()}
    for name, shape in SHAPES.items():
        x = out[f"{name}.x"] = matrix(shape, draw)
        for kind in ("nf4", "fp4"):
            codes, state = functional.quantize_4bit(x, blocksize=64, quant_type=kind)
            out |= {f"{name}.{kind}.codes": codes.reshape(-1), f"{name}.{kind}.absmax": state.absmax}
            _, state = functional.quantize_4bit(x, blocksize=64, quant_type=kind, compress_statistics=True)
            out |= {f"{name}.{kind}.double.absmax": state.absmax, f"{name}.{kind}.double.offset": state.offset.reshape(1),
                    f"{name}.{kind}.double.nested_absmax": state.state2.absmax}
        codes, rows, _ = functional.int8_vectorwise_quant(x)
        out |= {f"{name}.int8.codes": codes, f"{name}.int8.absmax": rows}
    return {name: t.contiguous().clone() for name, t in out.items()}


def main():
    warnings.filterwarnings("ignore")
    out = golden.destination("tests/golden/quant")
    save_file(blocks(), out / "blocks.safetensors")
    for i, (name, (base, options)) in enumerate(MODELS.items()):
        model = AutoModelForCausalLM.from_pretrained(golden.ROOT / BASES / base, dtype=torch.float32, device_map="cpu",
                                                     attn_implementation="eager",
                                                     quantization_config=BitsAndBytesConfig(**options)).eval()
        sequences = golden.batch(SEED + i)
        with torch.no_grad():
            expected = {f"ids.{j}": ids.int() for j, ids in enumerate(sequences)}
            expected |= {f"logits.{j}": golden.logits_of(model, ids).float() for j, ids in enumerate(sequences)}
        model.save_pretrained(out / name)
        save_file(golden.contiguous(expected), out / name / "expect_quant.safetensors")
        print(name, sorted(f.name for f in (out / name).iterdir()))
    golden.write_manifest(out, __file__, SEED)


if __name__ == "__main__":
    main()
