"""The peer's QLoRA step: transformers and PEFT over bitsandbytes' NF4 on the CPU, or over a bf16 base.

    peer_qlora.py MODEL {nf4|bf16} {f32|bf16} [--steps 3]

The base is loaded from the folder and quantised while it is read, with double quantisation; LoRA on every
projection; gradient checkpointing, as in the paper.  The last argument is the type that quantised weights are
multiplied in; all else is f32, as prepare_model_for_kbit_training makes it (PEFT's guide to quantisation).  A base in
bf16 computes under autocast.  One JSON line: seconds of every step (the first warms up) and tokens of a step.
"""
import argparse
import json
import time

import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

import shapes

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("model")
    arguments.add_argument("base", choices=["nf4", "bf16"])
    arguments.add_argument("dtype", choices=DTYPES)
    arguments.add_argument("--steps", type=int, default=3)
    arguments = arguments.parse_args()

    torch.manual_seed(0)
    compute = DTYPES[arguments.dtype]
    if arguments.base == "nf4":
        quantised = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
                                       bnb_4bit_compute_dtype=compute)
        model = AutoModelForCausalLM.from_pretrained(arguments.model, quantization_config=quantised, device_map="cpu")
        model = prepare_model_for_kbit_training(model, gradient_checkpointing_kwargs={"use_reentrant": False})
    else:
        model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=compute)
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.config.use_cache = False
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=shapes.LORA_RANK, lora_alpha=2 * shapes.LORA_RANK,
                                             target_modules=shapes.LORA_TARGETS)).train()
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, fused=True)
    ids = torch.randint(model.config.vocab_size, (arguments.steps, 1, shapes.T))

    seconds = []
    for step in range(arguments.steps):
        start = time.perf_counter()
        optimiser.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=arguments.base == "bf16"):
            loss = model(input_ids=ids[step], labels=ids[step]).loss
        loss.backward()
        optimiser.step()
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": seconds, "tokens": shapes.T, "loss": loss.item()}))


if __name__ == "__main__":
    main()
