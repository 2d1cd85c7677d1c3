"""The works that are measured, who does them, and what counts as reached."""
import dataclasses
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
from typing import Callable

import shapes

ROOT = pathlib.Path(__file__).resolve().parents[1]
WORK = ROOT / "build/bench"
MALMOI = ROOT / "build/malmoi"
STEPS = 2                                       # of a training process; the first warms up
PROMPT = "it was a quiet morning"


@dataclasses.dataclass
class Contestant:
    name: str
    command: list
    figure: Callable                            # of a finished run
    prepare: Callable = lambda: None            # before each run


@dataclasses.dataclass
class Work:
    key: str
    title: str
    unit: str
    more_is_better: bool
    speed_wanted: float
    memory_wanted: float | None
    contestants: list                           # malmoi first
    at_limit: Callable                          # seconds of the limit -> the figure that a stopped one missed
    remarks: Callable                           # (median figure, median peak MiB) of malmoi -> lines


# ---- training ----

def peer_speed(run):
    """Tokens a second over the steps after the first."""
    said = json.loads(run.out.splitlines()[-1])
    return said["tokens"] / statistics.median(said["seconds"][1:])


def peer_training(work, dtype):
    label = {"bf16": "PyTorch, bf16 autocast", "f32": "PyTorch, f32"}[dtype]
    return Contestant(label, [sys.executable, ROOT / "bench/peer_train.py", work, dtype, "--steps", str(STEPS)], peer_speed)


def malmoi_training(objective, model, data, *options):
    """Tokens a second of a training, over the steps after the first."""
    out = WORK / "run"
    command = [MALMOI, "train", objective, "--model", WORK / model, "--data", WORK / data, "--out", out, "--steps", str(STEPS), *options]

    def speed(_):
        with open(out / "log.jsonl") as log:
            steps = [json.loads(line) for line in log]
        return statistics.median(s["tokens_per_second"] for s in steps[1:])
    return Contestant("malmoi", command, speed, lambda: shutil.rmtree(out, ignore_errors=True))


def plan_remark(contestant):
    """What malmoi predicts for the contestant's command (train --dry-run) against what was measured."""
    def remark(_, peak):
        said = subprocess.run([*contestant.command, "--dry-run", "--json"], capture_output=True, text=True, check=True)
        predicted = json.loads(said.stdout)["peak_bytes"] / 2**20
        error = predicted / peak - 1
        return [f"`--dry-run` predicts {predicted:.0f} MiB, {error:+.1%} of what was measured "
                f"({'reached' if abs(error) <= 0.05 else 'LOST'}: within 5%)."]
    return remark


def training_work(key, title, model, speed_wanted, dtypes, *options):
    """The key is also the peer's word for the work."""
    malmoi = malmoi_training("clm", model, "text.jsonl", "--batch-size", str(shapes.B), "--context", str(shapes.T), *options)
    peer = "gpt2" if model == "gpt2" else key
    return Work(
        key=key, title=f"{title}, B {shapes.B}, T {shapes.T}", unit="tokens/s", more_is_better=True,
        speed_wanted=speed_wanted, memory_wanted=0.6,
        contestants=[malmoi, *(peer_training(peer, dtype) for dtype in dtypes)],
        at_limit=lambda limit: STEPS * shapes.B * shapes.T / limit,
        remarks=plan_remark(malmoi))


# ---- alignment ----

def peak_of(objective, *options):
    """MiB of a training with LoRA on the answers of the DPO work, as many at a time."""
    import compare                               # which imports this file
    run = malmoi_training(objective, "llama", "answered.jsonl", "--batch-size", str(2 * shapes.PAIRS), *options, *LORA)
    run.prepare()
    return compare.run(run.command, 600).peak_mib


def more_than_sft(_, peak):
    """The peak of sft on the same answers against that of dpo, and of ppo, which writes as many and as long ones."""
    beside = peak_of("sft")
    ppo = peak_of("ppo", "--prompts", str(2 * shapes.PAIRS), "--max-new-tokens", str(shapes.ANSWER), "--reward", "length:<50")
    return [f"`train sft` on the same answers takes {beside:.0f} MiB: {name} {mib / beside:.2f}x of it ({'reached' if mib <= 1.25 * beside else 'LOST'}: ≤ 1.25)."
            for name, mib in (("DPO", peak), ("PPO", ppo))]


def dpo_work():
    tokens = 2 * shapes.PAIRS * (shapes.PROMPT + shapes.ANSWER)
    return Work(
        key="dpo", title=f"DPO step of LLaMA 110M with LoRA, {shapes.PAIRS} pairs of answers of {shapes.ANSWER} tokens to prompts of {shapes.PROMPT}",
        unit="tokens/s", more_is_better=True, speed_wanted=1.5, memory_wanted=None,
        contestants=[malmoi_training("dpo", "llama", "pairs.jsonl", "--batch-size", str(shapes.PAIRS), *LORA),
                     Contestant("TRL, f32", [sys.executable, ROOT / "bench/peer_dpo.py", WORK / "llama", WORK / "pairs.jsonl", "--steps", str(STEPS)], peer_speed)],
        at_limit=lambda limit: STEPS * tokens / limit, remarks=more_than_sft)


def rollout_work():
    tokens = shapes.ROLLOUTS * shapes.ROLLOUT_TOKENS
    command = [MALMOI, "generate", WORK / "llama", "--prompt-file", WORK / "prompts.txt", "--temperature", "1", "--top-k", "0", "--top-p", "1",
               "--min-p", "0", "--ignore-eos", "--json", "--max-new-tokens"]

    def ours(run):
        """Without opening the model, as the peer counts: that is what a run takes which writes nothing."""
        import compare                           # which imports this file
        return tokens / (run.seconds - compare.run([*command, "0"], 60).seconds)

    def theirs(run):
        said = json.loads(run.out.splitlines()[-1])
        return said["tokens"] / said["seconds"]
    return Work(
        key="rollout", title=f"Rollout of LLaMA 110M: {shapes.ROLLOUTS} prompts of 64 tokens, {shapes.ROLLOUT_TOKENS} new ones each, drawn",
        unit="tokens/s", more_is_better=True, speed_wanted=3, memory_wanted=None,
        contestants=[
            Contestant("malmoi", [*command, str(shapes.ROLLOUT_TOKENS)], ours),
            Contestant("transformers, f32", [sys.executable, ROOT / "bench/peer_rollout.py", WORK / "llama", WORK / "prompts.txt",
                       str(shapes.ROLLOUT_TOKENS)], theirs)],
        at_limit=lambda limit: tokens / limit, remarks=lambda *_: [])


# ---- first token ----

def first_token_work(title, folder):
    milliseconds = lambda run: 1000 * run.first_byte
    return Work(
        key="first-token", title=title, unit="ms", more_is_better=False, speed_wanted=1.0, memory_wanted=None,
        contestants=[
            Contestant("malmoi", [MALMOI, "generate", folder, "--prompt", PROMPT, "--greedy", "--max-new-tokens", "1"],
                       milliseconds),
            Contestant("transformers", [sys.executable, ROOT / "bench/peer_generate.py", folder, PROMPT], milliseconds)],
        at_limit=lambda limit: 1000 * limit,
        remarks=lambda figure, _: [f"First token of malmoi after {figure:.0f} ms "
                                   f"({'reached' if figure < 150 else 'LOST'}: under 150 ms)."])


LORA_TARGETS = ["--target-modules", ",".join(shapes.LORA_TARGETS)]
LORA = ["--adapter", "lora", "--lora-r", str(shapes.LORA_RANK), *LORA_TARGETS]
VIRTUAL = ["--num-virtual-tokens", shapes.VIRTUAL_TOKENS]
PARTS = [           # the other ways to train a part: the peer's word, a title, and what follows --adapter
    ("dora", "DoRA", "lora", "--use-dora", "--lora-r", shapes.LORA_RANK, *LORA_TARGETS),
    ("adalora", "AdaLoRA", "adalora", "--init-r", shapes.LORA_RANK, "--target-r", shapes.LORA_RANK // 2, *LORA_TARGETS),
    ("vera", "VeRA", "vera", "--vera-r", shapes.VERA_RANK, "--target-modules", ",".join(shapes.VERA_TARGETS)),
    ("ia3", "(IA)3", "ia3"),
    ("prompt", "Prompt tuning", "prompt", *VIRTUAL),
    ("p_tuning", "P-tuning", "p_tuning", *VIRTUAL),
    ("prefix", "Prefix tuning", "prefix", *VIRTUAL),
    ("llama_adapter", "LLaMA-Adapter", "llama_adapter", "--adapter-len", shapes.ADAPTER_LEN, "--adapter-layers", shapes.ADAPTER_LAYERS),
    ("last_layers", "The last layer", "last_layers", "--last-layers", shapes.LAST_LAYERS),
]
WORKS = [
    training_work("full", "Training step of GPT-2 124M, every parameter, AdamW", "gpt2", 1.2, ["bf16", "f32"]),
    training_work("lora", f"LoRA step of LLaMA 110M, rank {shapes.LORA_RANK} on every projection", "llama", 1.3, ["bf16", "f32"],
                  *LORA),
    *(training_work(key, f"{title} step of LLaMA 110M", "llama", 1.3, ["f32"], "--adapter", *map(str, options))
      for key, title, *options in PARTS),
    dpo_work(),
    rollout_work(),
    first_token_work("First token from a mapped model of 500 MB in f32, warm file cache, from the start of the process",
                     WORK / "gpt2"),
]
