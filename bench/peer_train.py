"""The peer's training step: PyTorch eager with transformers, and PEFT for adapters on a LLaMA.

    peer_train.py {gpt2|METHOD} {f32|bf16} [--steps 3]      METHOD: a key of METHODS below, or last_layers

One fresh process, one JSON line: seconds of every step (the first warms up), tokens of a step, and
the peak resident memory in MiB (VmHWM).  bf16 is torch.autocast over f32 weights.  What costs the
peer time and is not asked for is off: dropout, gradient clipping, the KV cache, saving; AdamW is
the fused one.
"""
import argparse
import json
import time

import torch
from peft import (AdaLoraConfig, AdaptionPromptConfig, IA3Config, LoraConfig, PrefixTuningConfig, PromptEncoderConfig,
                  PromptTuningConfig, VeraConfig, get_peft_model)
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

import shapes


def gpt2():
    """Every parameter trains."""
    return GPT2LMHeadModel(GPT2Config(**shapes.GPT2, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0))


CAUSAL = dict(task_type="CAUSAL_LM")
LORA = dict(CAUSAL, lora_alpha=2 * shapes.LORA_RANK, target_modules=shapes.LORA_TARGETS)
VIRTUAL = dict(CAUSAL, num_virtual_tokens=shapes.VIRTUAL_TOKENS)
METHODS = {
    "lora": lambda steps: LoraConfig(**LORA, r=shapes.LORA_RANK),
    "dora": lambda steps: LoraConfig(**LORA, r=shapes.LORA_RANK, use_dora=True),
    "adalora": lambda steps: AdaLoraConfig(**LORA, init_r=shapes.LORA_RANK, target_r=shapes.LORA_RANK // 2, total_step=steps),
    "vera": lambda steps: VeraConfig(**CAUSAL, r=shapes.VERA_RANK, target_modules=shapes.VERA_TARGETS),
    "ia3": lambda steps: IA3Config(**CAUSAL),
    "prompt": lambda steps: PromptTuningConfig(**VIRTUAL),
    "p_tuning": lambda steps: PromptEncoderConfig(**VIRTUAL, encoder_hidden_size=shapes.LLAMA["hidden_size"]),
    "prefix": lambda steps: PrefixTuningConfig(**VIRTUAL),
    "llama_adapter": lambda steps: AdaptionPromptConfig(**CAUSAL, adapter_len=shapes.ADAPTER_LEN, adapter_layers=shapes.ADAPTER_LAYERS),
}


def adapted(method, steps):
    """A LLaMA of which only a part trains."""
    model = LlamaForCausalLM(LlamaConfig(**shapes.LLAMA))
    if method != "last_layers":
        return get_peft_model(model, METHODS[method](steps))
    model.requires_grad_(False)
    model.model.layers[-shapes.LAST_LAYERS:].requires_grad_(True)
    return model


def peak_mib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("work", choices=["gpt2", *METHODS, "last_layers"])
    arguments.add_argument("dtype", choices=["f32", "bf16"])
    arguments.add_argument("--steps", type=int, default=3)
    arguments = arguments.parse_args()

    torch.manual_seed(0)
    model = (gpt2() if arguments.work == "gpt2" else adapted(arguments.work, arguments.steps)).train()
    model.config.use_cache = False
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, fused=True)
    ids = torch.randint(model.config.vocab_size, (arguments.steps, shapes.B, shapes.T))

    seconds = []
    for step in range(arguments.steps):
        start = time.perf_counter()
        optimiser.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=arguments.dtype == "bf16"):
            loss = model(input_ids=ids[step], labels=ids[step]).loss
        loss.backward()
        optimiser.step()
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": seconds, "tokens": shapes.B * shapes.T, "peak_mib": peak_mib()}))


if __name__ == "__main__":
    main()
