"""The peer's DPO step: TRL's trainer with PEFT's LoRA over a LLaMA in f32, the reference being the model without it.

    peer_dpo.py MODEL PAIRS [--steps 2]

One JSON line: seconds of every step (the first warms up) and the tokens of a step, prompts counted once for each
answer.  Off, since it costs the peer time and is not asked for: dropout, checkpointing, saving, reports.
"""
import argparse
import json
import pathlib
import tempfile
import time

from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import DPOConfig, DPOTrainer

import shapes


class Clock(TrainerCallback):
    def __init__(self):
        self.seconds = []

    def on_step_begin(self, *_, **__):
        self.start = time.perf_counter()

    def on_step_end(self, *_, **__):
        self.seconds.append(time.perf_counter() - self.start)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("model", type=pathlib.Path)
    arguments.add_argument("pairs", type=pathlib.Path)
    arguments.add_argument("--steps", type=int, default=2)
    arguments = arguments.parse_args()
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        config = DPOConfig(output_dir=folder, per_device_train_batch_size=shapes.PAIRS, max_steps=arguments.steps, max_length=shapes.T,
                           learning_rate=1e-4, lr_scheduler_type="constant", gradient_checkpointing=False, bf16=False, use_cpu=True,
                           save_strategy="no", report_to=[], logging_strategy="no", disable_tqdm=True, optim="adamw_torch_fused")
        trainer = DPOTrainer(
            model=AutoModelForCausalLM.from_pretrained(arguments.model), args=config, processing_class=AutoTokenizer.from_pretrained(arguments.model),
            train_dataset=load_dataset("json", data_files=str(arguments.pairs), split="train", cache_dir=folder),
            peft_config=LoraConfig(task_type="CAUSAL_LM", r=shapes.LORA_RANK, lora_alpha=2 * shapes.LORA_RANK, target_modules=shapes.LORA_TARGETS),
            callbacks=[clock])
        trainer.train()
    print(json.dumps({"seconds": clock.seconds, "tokens": 2 * shapes.PAIRS * (shapes.PROMPT + shapes.ANSWER)}))


if __name__ == "__main__":
    main()
