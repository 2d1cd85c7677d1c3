"""tests/golden/model: one tiny random model per behaviour of the families llama and gpt2.

    build/venv/bin/python tools/golden/model.py [FOLDER]

Each NAME/ is a Hugging Face folder as transformers writes it, with expect.safetensors beside the
weights: ids.0 and ids.1 (i32), logits.0 and logits.1 [T, V], loss, grad.<parameter>, losses [10]
(see golden.py), and greedy: the 24 ids that follow the first five of ids.1.  llama_dynamic has no
greedy: its angles change with the length, so what a cache holds depends on how it was filled.

transformers 5 writes `rope_parameters`; every file published before it says `rope_theta` and
`rope_scaling`.  Where a model scales its positions, config_v4.json holds the older spelling of the
same configuration, checked here to compute the same logits.
"""
import json

import torch
from safetensors.torch import save_file
from transformers import (AutoConfig, AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig,
                          LlamaForCausalLM, MistralConfig, MistralForCausalLM, Qwen2Config,
                          Qwen2ForCausalLM)

import golden

SEED = 20
WIDTHS = dict(vocab_size=golden.VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
              num_attention_heads=4, num_key_value_heads=2, rms_norm_eps=1e-5, tie_word_embeddings=False)


def llama(max_positions=64, **rope):
    rope = {"rope_theta": 10000.0, "rope_type": "default"} | rope
    return LlamaForCausalLM, LlamaConfig(**WIDTHS, max_position_embeddings=max_positions, rope_parameters=rope)


# With a head size of 8 the four wavelengths are 6, 63, 628 and 6283 positions; the lengths below put
# them on every branch of each rule.
MODELS = {
    "llama": llama(),
    "llama3_rope": llama(1024, rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                         original_max_position_embeddings=128),
    "llama_linear": llama(256, rope_type="linear", factor=4.0),
    # 17 tokens exceed 12 and are rescaled, 9 are not.
    "llama_dynamic": llama(12, rope_type="dynamic", factor=2.0),
    "llama_yarn": llama(256, rope_type="yarn", factor=4.0, original_max_position_embeddings=64),
    # A window shorter than either sequence, and heads wider than hidden size / heads.
    "mistral": (MistralForCausalLM,
                MistralConfig(**WIDTHS, max_position_embeddings=64, sliding_window=6, head_dim=12,
                              rope_parameters={"rope_theta": 10000.0, "rope_type": "default"})),
    "qwen2": (Qwen2ForCausalLM,
              Qwen2Config(**WIDTHS | dict(tie_word_embeddings=True, rms_norm_eps=1e-6),
                          max_position_embeddings=64,
                          rope_parameters={"rope_theta": 1000000.0, "rope_type": "default"})),
    "gpt2": (GPT2LMHeadModel,
             GPT2Config(vocab_size=golden.VOCABULARY, n_positions=64, n_embd=32, n_layer=2, n_head=4,
                        bos_token_id=1, eos_token_id=2, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)),
}


def build(name):
    kind, config = MODELS[name]
    config._attn_implementation = "eager"
    model = kind(config).eval()
    golden.randomise(model, SEED)
    return model


def scales_positions(config):
    rope = getattr(config, "rope_parameters", None)
    return rope is not None and rope["rope_type"] != "default"


def greedy(model, prompt, count=24):
    """The ids that follow by arg max, each from a full forward pass; exits on a near tie, which
    rounding could turn."""
    ids = prompt
    for _ in range(count):
        with torch.no_grad():
            last = golden.logits_of(model, ids)[-1]
        first, second = last.topk(2).values
        if first - second < 1e-3:
            raise SystemExit(f"greedy: a margin of {first - second:.1e}; choose another seed")
        ids = torch.cat([ids, last.argmax()[None]])
    return ids[len(prompt):].int()


def older_spelling(folder, sequences, expected):
    """config_v4.json, from config.json; proven to mean the same."""
    config = json.loads((folder / "config.json").read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    if rope["rope_type"] in ("linear", "dynamic"):
        rope = {"type": rope.pop("rope_type")} | rope
    config |= {"rope_scaling": rope, "torch_dtype": config.pop("dtype"), "transformers_version": "4.40.0"}
    golden.write_json(folder / "config_v4.json", config)

    read = AutoConfig.from_pretrained(folder / "config_v4.json")
    model = AutoModelForCausalLM.from_pretrained(folder, config=read, attn_implementation="eager").eval()
    with torch.no_grad():
        for i, ids in enumerate(sequences):
            torch.testing.assert_close(golden.logits_of(model, ids), expected[f"logits.{i}"])


def main():
    out = golden.destination("tests/golden/model")
    for i, name in enumerate(MODELS):
        model, sequences = build(name), golden.batch(SEED + i)
        expected = golden.expectations(model, sequences)
        golden.refuse_unstable(name, model, sequences, expected)
        if name != "llama_dynamic":
            expected["greedy"] = greedy(model, sequences[1][:5])

        folder = out / name
        model.save_pretrained(folder)
        save_file(golden.contiguous(expected), folder / "expect.safetensors")
        if scales_positions(model.config):
            older_spelling(folder, sequences, expected)
        print(f"{name}: loss {expected['loss']:.4f}, after {golden.STEPS} steps {expected['losses'][-1]:.4f}")
    golden.write_manifest(out, __file__, SEED)


if __name__ == "__main__":
    main()
