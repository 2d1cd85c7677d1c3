"""Which adapter method to take: every method on one base, three tasks, one recipe; prints a table in Markdown.

    build/venv/bin/python bench/methods.py BASE [--only lora,ia3] [--plots docs/peft] [--threads 1]

BASE: a language model pretrained on nsmc/raw_reviews (docs/peft.md says how).  The tasks:

  generation      NSMC sentiment as text: a review, then " 긍정" or " 부정"; share of right answers, written greedily
  classification  the same with a head of two labels; accuracy
  law             continued training on Korean acts; perplexity on acts that were not seen; also the time of a step

The base has read most of these reviews, without their labels.  What a method forgets is the perplexity of reviews
after the law.  Each method takes the smallest learning rate of three whose validation loss on a quarter of the
generation task is within a tenth of the lowest.  Results are kept in build/bench/methods.jsonl and not made twice.  bitfit is not among them: a LLaMA has no biases.
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import time

import zstandard

ROOT = pathlib.Path(__file__).resolve().parents[1]
WORK = ROOT / "build/bench/methods"
KEPT = ROOT / "build/bench/methods.jsonl"
DATA = ROOT.parent / "shared/data"
MALMOI = pathlib.Path(os.environ.get("MALMOI", ROOT / "build/malmoi"))

SENTIMENT = {"0": " 부정", "1": " 긍정"}
TRAIN, SWEEP, TEST, REVIEWS = 6000, 1500, 2000, 2000
LAW_STEPS, LAW_HELD = 150, 60                              # of 16 blocks of 128 tokens; acts, of each so many characters:
LAW_CHARACTERS = 2000

LOW, MIDDLE, HIGH, HIGHEST = (3e-4, 1e-3, 3e-3), (1e-3, 3e-3, 1e-2), (3e-3, 1e-2, 3e-2), (3e-2, 1e-1, 3e-1)
METHODS = {         # what follows --adapter, and the learning rates to choose from
    "none": (["none"], LOW),
    "last_layers": (["last_layers"], LOW),
    "lora": (["lora", "--lora-r", "8", "--target-modules", "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj"], MIDDLE),
    "dora": (["lora", "--use-dora", "--lora-r", "8", "--target-modules", "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj"], MIDDLE),
    "adalora": (["adalora", "--target-modules", "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj"], MIDDLE),
    "vera": (["vera", "--target-modules", "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj"], HIGH),
    "ia3": (["ia3"], HIGH),
    "bottleneck": (["bottleneck"], MIDDLE),
    "llama_adapter": (["llama_adapter", "--adapter-layers", "4"], HIGH),
    "prefix": (["prefix", "--prefix-projection"], LOW),
    "p_tuning_v2": (["p_tuning_v2"], HIGHEST),
    "p_tuning": (["p_tuning"], HIGH),
    "prompt": (["prompt"], HIGHEST),
}


# ---- data ----

def reviews(name):
    """(text, label) of a file of NSMC, shuffled."""
    lines = (DATA / "nsmc" / name).read_text().split("\n")[1:]
    rows = [line.split("\t")[1:] for line in lines if line.count("\t") == 2]
    rows = [(text.strip(), label.strip()) for text, label in rows if len(text.strip()) > 3]
    random.Random(0).shuffle(rows)
    return rows


def write(name, rows):
    (WORK / name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def prompted(rows):
    return [{"prompt": f"{text} 평가:", "completion": SENTIMENT[label], "text": text, "label": int(label)} for text, label in rows]


def make_data():
    if (WORK / "law.jsonl").exists():
        return
    WORK.mkdir(parents=True, exist_ok=True)
    train, test = reviews("train.tsv"), reviews("test.tsv")
    write("train.jsonl", prompted(train[:TRAIN]))
    write("sweep.jsonl", prompted(train[:SWEEP]))
    write("test.jsonl", prompted(test[:TEST]))
    write("reviews.jsonl", [{"text": text} for text, _ in test[TEST:TEST + REVIEWS]])
    with open(DATA / "law_ko/acts.jsonl.zst", "rb") as packed:
        acts = [json.loads(line)["text"] for line in zstandard.ZstdDecompressor().stream_reader(packed).read().decode().splitlines()]
    random.Random(0).shuffle(acts)
    write("law_held.jsonl", [{"text": text[:LAW_CHARACTERS]} for text in acts[:LAW_HELD]])
    write("law.jsonl", [{"text": text[:4 * LAW_CHARACTERS]} for text in acts[LAW_HELD:LAW_HELD + 600]])


# ---- runs ----

def call(command, **more):
    """One process: its output, seconds and peak MiB."""
    start = time.perf_counter()
    child = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, **more)
    out = child.stdout.read().decode()
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"methods: {' '.join(map(str, command))} failed")
    return out, time.perf_counter() - start, usage.ru_maxrss / 1024


class Bench:
    def __init__(self, base, threads):
        self.base, self.threads = base, ["--threads", str(threads), "--quiet"]

    def train(self, objective, method, lr, data, *more):
        """The folder that came out, what was planned, seconds, and the peak in MiB."""
        out = WORK / f"out-{os.getpid()}"
        shutil.rmtree(out, ignore_errors=True)
        command = [MALMOI, "train", objective, "--model", self.base, "--adapter", *METHODS[method][0], "--lr", lr, "--data", WORK / data,
                   "--out", out, "--save-every", 0, "--json", *more, *self.threads]
        plan = json.loads(call([*command, "--dry-run"])[0])
        _, seconds, peak = call(command)
        return out, plan, seconds, peak

    def sft(self, method, lr, data, epochs, *more):
        return self.train("sft", method, lr, data, "--epochs", epochs, "--batch-size", 32, "--truncate", "--context", 128, *more)

    def over(self, method, out):
        """The model that came out, as arguments."""
        return [out] if method == "none" else [self.base, "--adapter", out]

    def perplexity(self, method, out, data):
        said, _, _ = call([MALMOI, "eval", "perplexity", *self.over(method, out), "--data", WORK / data, "--context", 200, "--json", *self.threads])
        return json.loads(said)["perplexity"]

    # The tasks; each returns numbers.

    def sweep(self, method):
        losses = {}
        for lr in METHODS[method][1]:
            out, *_ = self.sft(method, lr, "sweep.jsonl", 1, "--val-split", 0.2, "--eval-every", 1000)
            with open(out / "log.jsonl") as log:
                losses[lr] = [json.loads(line)["val_loss"] for line in log if "val_loss" in line][-1]
        return {"lr": min(lr for lr, loss in losses.items() if loss <= 1.1 * min(losses.values())), "losses": list(losses.values())}

    def generation(self, method, lr):
        out, plan, seconds, peak = self.sft(method, lr, "train.jsonl", 2)
        said, _, _ = call([MALMOI, "generate", *self.over(method, out), "--prompt-file", WORK / "test.jsonl", "--greedy",
                           "--max-new-tokens", 4, "--json", *self.threads])
        answers = [json.loads(line)["text"].strip() for line in said.splitlines()]
        wanted = [json.loads(line)["completion"].strip() for line in open(WORK / "test.jsonl")]
        assert len(answers) == len(wanted)
        size = sum(f.stat().st_size for f in out.iterdir() if f.suffix == ".safetensors")
        return {"accuracy": sum(map(str.__eq__, answers, wanted)) / len(wanted), "seconds": seconds, "peak_mib": peak, "bytes": size,
                "forgot": self.perplexity(method, out, "reviews.jsonl"), "trained": plan["trained_parameters"], "parameters": plan["parameters"]}

    def classification(self, method, lr):
        out, _, seconds, peak = self.train("classify", method, lr, "train.jsonl", "--epochs", 2, "--batch-size", 32, "--truncate", "--context", 128)
        said, _, _ = call([MALMOI, "eval", "classify", *self.over(method, out), "--data", WORK / "test.jsonl", "--json", *self.threads])
        found = json.loads(said)
        return {"accuracy": found["accuracy"], "macro_f1": found["macro_f1"], "seconds": seconds, "peak_mib": peak}

    def law(self, method, lr):
        out, _, seconds, peak = self.train("clm", method, lr, "law.jsonl", "--steps", LAW_STEPS, "--batch-size", 16, "--context", 128)
        return {"perplexity": self.perplexity(method, out, "law_held.jsonl"), "forgot": self.perplexity(method, out, "reviews.jsonl"),
                "seconds": seconds, "peak_mib": peak}

    def step(self, method, lr):
        """Seconds of a step of the law, the median after two that warm up."""
        out, *_ = self.train("clm", method, lr, "law.jsonl", "--steps", 9, "--batch-size", 16, "--context", 128)
        with open(out / "log.jsonl") as log:
            return {"seconds": statistics.median([json.loads(line)["seconds"] for line in log][2:])}

    def before(self):
        return {name: self.perplexity("none", self.base, data) for name, data in (("law", "law_held.jsonl"), ("reviews", "reviews.jsonl"))}


def results(bench, only):
    """Everything that is asked for, as it was kept or made now: {(method, task): numbers}."""
    kept = {}
    if KEPT.exists():
        kept = {(r["method"], r["task"]): r for r in map(json.loads, KEPT.read_text().splitlines())}

    def once(method, task, *arguments):
        if (method, task) not in kept:
            print(f"methods: {method}, {task}", file=sys.stderr, flush=True)
            kept[method, task] = {"method": method, "task": task, **getattr(bench, task)(*arguments)}
            with open(KEPT, "a") as out:
                out.write(json.dumps(kept[method, task]) + "\n")
        return kept[method, task]

    once("base", "before")
    for method in only:
        lr = once(method, "sweep", method)["lr"]
        for task in ("generation", "classification", "law", "step"):
            once(method, task, method, lr)
    return kept


# ---- what is shown ----

def table(found, methods):
    before = found["base", "before"]
    yield "| method | trains | sentiment, generated | sentiment, head | law, perplexity | reviews after the law | step | peak MiB | file |"
    yield "|---|---|---|---|---|---|---|---|---|"
    yield f"| the base | | | | {before['law']:.0f} | {before['reviews']:.0f} | | | |"
    full = found["none", "step"]["seconds"]
    for m in methods:
        g, c, law = (found[m, task] for task in ("generation", "classification", "law"))
        name = "every weight" if m == "none" else f"`{m}`"
        yield (f"| {name} | {g['trained'] / g['parameters']:.2%} | {g['accuracy']:.1%} | {c['accuracy']:.1%} | {law['perplexity']:.0f} | "
               f"{law['forgot']:.0f} | {found[m, 'step']['seconds'] / full:.2f} | {law['peak_mib']:.0f} | {g['bytes'] / 1e3:.0f} kB |")


def plot(path, title, x, y, points, log=True):
    """Points with their names."""
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "malmoi", "font.size": 9})
    import matplotlib.pyplot as pyplot
    figure, axes = pyplot.subplots(figsize=(7, 4.4))
    for name, at, value in points:
        axes.plot(at, value, "o", color="#2b6cb0")
        axes.annotate(name, (at, value), xytext=(5, 4), textcoords="offset points")
    if log:
        axes.set_xscale("log")
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.margins(x=0.14, y=0.08)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("base", type=pathlib.Path)
    arguments.add_argument("--only", type=lambda text: text.split(","), default=list(METHODS))
    arguments.add_argument("--plots", type=pathlib.Path)
    arguments.add_argument("--threads", type=int, default=1)
    arguments = arguments.parse_args()
    make_data()
    found = results(Bench(arguments.base, arguments.threads), arguments.only)
    print("\n".join(table(found, arguments.only)))
    if arguments.plots:
        arguments.plots.mkdir(parents=True, exist_ok=True)
        share = lambda m: 100 * found[m, "generation"]["trained"] / found[m, "generation"]["parameters"]
        plot(arguments.plots / "quality.svg", "NSMC sentiment with a head", "trained parameters, %", "accuracy, %",
             [(m, share(m), 100 * found[m, "classification"]["accuracy"]) for m in arguments.only])
        plot(arguments.plots / "forgetting.svg", "Korean acts: what is learnt and what is forgotten", "perplexity of unseen acts",
             "perplexity of reviews", [(m, found[m, "law"]["perplexity"], found[m, "law"]["forgot"]) for m in arguments.only])


if __name__ == "__main__":
    main()
