"""QLoRA on models of 1.1 and 7 billion parameters, malmoi and its peer in turn; prints a table in Markdown.

    build/venv/bin/python bench/qlora.py [--rounds 3] [--steps 3] [--only 1.1b,7b] [--malmoi-only] [--limit 1800]

LLaMA shapes with random weights, made under build/bench where they are missing: 1.1b in bf16 (2.2 GB), 7b directly
in NF4 (4 GB).  LoRA of rank 16 on every projection, B 1, T 512, activation checkpointing.  The figure is tokens a
second over the steps after the first, the median over the rounds; peak memory is what the kernel counted for the
process.  Peers: transformers, PEFT and bitsandbytes' NF4, computing in bf16 and in f32, and PEFT over a bf16 base.
"""
import argparse
import json
import shutil
import statistics
import subprocess
import sys

import compare
import inputs
import shapes
from contestants import MALMOI, ROOT, WORK

PEERS = {"bitsandbytes NF4, f32": ("nf4", "f32"), "bitsandbytes NF4, bf16 as in PEFT's guide": ("nf4", "bf16"), "PEFT, bf16 base": ("bf16", "bf16")}
# model: (options of malmoi new, of malmoi train, highest peak in GB, whether the peers run)
MODELS = {"1.1b": (["--preset", "1.1b", "--dtype", "bf16"], ["--load-in", "nf4", "--checkpointing-keep", "420M"], 1.6, True),
          "7b": (["--preset", "7b", "--dtype", "bf16", "--load-in", "nf4"], [], 8, False)}
WANTED = {"nf4": 3, "bf16": 1.5}


def make(name):
    """The model's folder, made unless it stands there."""
    tokenizer, folder = WORK / "tokenizer-32k", WORK / f"qlora-{name}"
    if not (tokenizer / "tokenizer.json").exists():
        inputs.tokenizer_of(32000).save_pretrained(tokenizer)
    if not (WORK / "text.jsonl").exists():
        inputs.write_text(WORK / "text.jsonl")
    if not (folder / "config.json").exists():
        subprocess.run([MALMOI, "new", *MODELS[name][0], "--tokenizer", tokenizer, "--out", folder], check=True, cwd=ROOT)
    return folder


def malmoi(name, steps):
    out = WORK / "run-qlora"
    shutil.rmtree(out, ignore_errors=True)
    return out, [MALMOI, "train", "clm", "--model", make(name), *MODELS[name][1], "--adapter", "lora", "--lora-r",
                 str(shapes.LORA_RANK), "--target-modules", ",".join(shapes.LORA_TARGETS), "--checkpointing", "--data",
                 WORK / "text.jsonl", "--batch-size", "1", "--context", str(shapes.T), "--steps", str(steps), "--save-every", "0",
                 "--out", out]


def malmoi_once(name, steps, limit):
    out, command = malmoi(name, steps)
    done = compare.run(command, limit)
    if done is None:
        return None
    with open(out / "log.jsonl") as log:
        rates = [json.loads(line)["tokens_per_second"] for line in log]
    return statistics.median(rates[1:]), done.peak_mib, done.cpu_seconds


def peer_once(name, base, dtype, steps, limit):
    done = compare.run([sys.executable, ROOT / "bench/peer_qlora.py", make(name), base, dtype, "--steps", str(steps)], limit)
    if done is None:
        return None
    said = json.loads(done.out.splitlines()[-1])
    return said["tokens"] / statistics.median(said["seconds"][1:]), done.peak_mib, done.cpu_seconds


def predicted(name, steps):
    _, command = malmoi(name, steps)
    said = subprocess.run([*command, "--dry-run", "--json"], capture_output=True, text=True, check=True)
    return json.loads(said.stdout)["peak_bytes"] / 2**20


def row(label, runs, limit, tokens):
    """A contestant's medians; None of one that was stopped."""
    if None in runs:
        print(f"| {label} | below {tokens / limit:.1f}: stopped after {limit:.0f} s | | |", flush=True)
        return None
    speed, peak, cpu = (statistics.median(column) for column in zip(*runs))
    print(f"| {label} | {speed:.1f} | {peak * 2**20 / 1e9:.2f} GB | {cpu:.0f} s |", flush=True)
    return speed, peak


def measure(name, arguments):
    _, _, most, peers = MODELS[name]
    peers = {} if arguments.malmoi_only or not peers else PEERS
    series = {"malmoi": [], **{label: [] for label in peers}}
    for _ in range(arguments.rounds):
        series["malmoi"].append(malmoi_once(name, arguments.steps, arguments.limit))
        for label, (base, dtype) in peers.items():
            if None not in series[label]:                          # one that was stopped once does not run again
                series[label].append(peer_once(name, base, dtype, arguments.steps, arguments.limit))
    print(f"\nQLoRA step of LLaMA {name}, rank {shapes.LORA_RANK}, B 1, T {shapes.T}\n")
    print("| | tokens/s | peak memory | CPU time |\n|---|---|---|---|")
    tokens = arguments.steps * shapes.T
    figures = {label: row(label, runs, arguments.limit, tokens) for label, runs in series.items()}
    ours = figures.pop("malmoi")
    if not ours:
        return
    print()
    gb = ours[1] * 2**20 / 1e9
    print(f"Peak {gb:.2f} GB ({'reached' if gb <= most else 'LOST'}: at most {most} GB); "
          f"`--dry-run` predicts {predicted(name, arguments.steps) * 2**20 / 1e9:.2f} GB.")
    for label, figure in figures.items():
        wanted = WANTED[PEERS[label][0]]
        ratio = ours[0] / (figure[0] if figure else tokens / arguments.limit)
        print(f"{'' if figure else 'Over '}{ratio:.2f}x the tokens/s of {label} ({'reached' if ratio >= wanted else 'LOST'}: at least {wanted}x).")


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--steps", type=int, default=3)
    arguments.add_argument("--only", default=",".join(MODELS))
    arguments.add_argument("--malmoi-only", action="store_true")
    arguments.add_argument("--limit", type=float, default=1800)
    arguments = arguments.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    for name in arguments.only.split(","):
        measure(name, arguments)


if __name__ == "__main__":
    main()
