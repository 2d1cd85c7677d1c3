"""Steering a small model to positive reviews: the data for examples/recipes/steer.yaml, and what came of it.

    build/venv/bin/python bench/steering.py prepare FOLDER
    build/venv/bin/python bench/steering.py measure FOLDER BASE METHOD=ADAPTER ..      one line of numbers each
    build/venv/bin/python bench/steering.py table FOLDER [--plot FILE.svg]
    build/venv/bin/python bench/steering.py curves FILE.svg NAME=RUN ..                reward and KL by round of any runs

prepare cuts NSMC into disjoint parts: reviews with labels for the judge, pairs of a positive and a negative review for
the reward, beginnings of other reviews as prompts, and held-out pairs and prompts of test.tsv.  measure lets a model
go on from the held-out prompts at temperature 1 and has the judge, which is never the reward, label the reviews:
the share it finds positive, distinct-2 (different pairs of words among all), and the KL to the base, estimated from the
log-probabilities that both give to what was said.

Compute is counted in passes of a token through the trunk: one to write it, to reward it, and to look at it under the
policy or the reference; two more to learn from it (forward and, through frozen weights, backward).
"""
import argparse
import json
import os
import pathlib
import random
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared/data/nsmc"
MALMOI = os.environ.get("MALMOI", str(ROOT / "build/malmoi"))
JUDGED, PAIRS, PROMPTS, TESTED = 30000, 20000, 1000, 400
NEW_TOKENS = 24


def reviews(name):
    lines = (DATA / name).read_text().split("\n")[1:]
    rows = [line.split("\t")[1:] for line in lines if line.count("\t") == 2]
    rows = [(text.strip(), label.strip()) for text, label in rows if len(text.strip()) > 3]
    random.Random(0).shuffle(rows)
    return rows


def write(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def pairs(rows):
    good, bad = ([text for text, label in rows if label == wanted] for wanted in "10")
    return [{"prompt": "", "chosen": c, "rejected": r} for c, r in zip(good, bad) if c != r]


def beginnings(rows):
    """The first two words of reviews that have more than four, each once."""
    found = {" ".join(text.split()[:2]): None for text, _ in rows if len(text.split()) > 4}
    return [{"prompt": text} for text in found if len(text) < 24]


def prepare(folder):
    folder.mkdir(parents=True, exist_ok=True)
    train, test = reviews("train.tsv"), reviews("test.tsv")
    write(folder / "judge.jsonl", [{"text": text, "label": int(label)} for text, label in train[:JUDGED]])
    write(folder / "judge_test.jsonl", [{"text": text, "label": int(label)} for text, label in test[:4000]])
    write(folder / "pairs.jsonl", pairs(train[JUDGED:JUDGED + 2 * PAIRS]))
    write(folder / "pairs_test.jsonl", pairs(test[4000:8000]))
    write(folder / "prompts.jsonl", beginnings(train[JUDGED + 2 * PAIRS:])[:PROMPTS])
    write(folder / "prompts_test.jsonl", beginnings(test[8000:])[:TESTED])


def call(*arguments):
    return subprocess.run([MALMOI, *map(str, arguments)], check=True, stdout=subprocess.PIPE, text=True).stdout


def log_probability(model, data, field):
    """The sum of log p over the texts of a field."""
    said = json.loads(call("eval", "perplexity", *model, "--data", data, "--field", field, "--context", 128, "--json", "--quiet"))
    return -said["loss"] * said["tokens"]


def kl(model, base, data, n):
    """Nats a review: log p - log p_base of what was said, without the part of the prompts."""
    gain = lambda field: log_probability(model, data, field) - log_probability(base, data, field)
    return (gain("text") - gain("prompt")) / n


def measured(folder):
    """What was measured so far: method -> its last numbers."""
    return {r["method"]: r for r in map(json.loads, (folder / "measured.jsonl").read_text().splitlines())}


def passes(folder, adapter):
    """Passes of tokens through the trunk that a method took, its answers and their rewards included; the base must
    have been measured, for the length of its answers."""
    options = json.loads((adapter / "run.json").read_text())
    steps = [json.loads(line) for line in (adapter / "log.jsonl").read_text().splitlines()]
    steps = [step for step in steps if "tokens" in step]
    learnt = sum(step["tokens"] for step in steps)
    whole = learnt / sum(step["supervised_tokens"] for step in steps)              # prompt and answer to answer
    if "reward" in steps[0]:                                                       # writes, rewards, looks twice
        said = sum(step["length"] for step in steps) * options["options"]["prompts"] * options["options"]["group"] * whole
        return 4 * said + 2 * learnt
    rows = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    said = sum(len(row["completions"]) for row in rows) * measured(folder)["base"]["length"] * whole
    return 2 * said + (3 if options["objective"] == "dpo" else 2) * learnt         # dpo looks at the reference


def measure(folder, base, name, adapter):
    model = [base, "--adapter", adapter] if adapter else [base]
    said = call("generate", *model, "--prompt-file", folder / "prompts_test.jsonl", "--samples", 2, "--temperature", 1, "--top-k", 0, "--top-p", 1,
                "--min-p", 0, "--max-new-tokens", NEW_TOKENS, "--seed", 7, "--json", "--quiet")
    answers = [json.loads(line) for line in said.split("\n") if line]      # an answer may hold other ends of lines
    texts = [(a["prompt"] + a["text"]).replace("\n", " ") for a in answers]
    write(folder / f"{name}_said.jsonl", [{"text": text, "prompt": a["prompt"]} for text, a in zip(texts, answers)])
    labels = json.loads(call("classify", folder / "judge", "--file", folder / f"{name}_said.jsonl", "--json", "--quiet"))["texts"]
    positive = sum(str(row["label"]) == "1" for row in labels) / len(labels)
    words = [text.split() for text in texts]
    bigrams = [pair for w in words for pair in zip(w, w[1:])]
    tokens = [a["tokens"] for a in answers]
    result = {"method": name, "positive": positive, "distinct_2": len(set(bigrams)) / max(1, len(bigrams)), "length": sum(tokens) / len(tokens)}
    if adapter:
        result["passes"] = passes(folder, pathlib.Path(adapter))
        result["kl"] = kl(model, [base], folder / f"{name}_said.jsonl", len(texts))
    return result


def table(folder):
    rows = measured(folder)
    base = rows["base"]
    yield "| | positive | distinct-2 of the base's | KL, nats a review | tokens a review | passes of a token |"
    yield "|---|---|---|---|---|---|"
    for r in rows.values():
        kl = f"{r['kl']:.1f}" if "kl" in r else ""
        compute = f"{r['passes'] / 1000:.0f}k" if "passes" in r else ""
        yield f"| {r['method']} | {r['positive']:.1%} | {r['distinct_2'] / base['distinct_2']:.2f} | {kl} | {r['length']:.1f} | {compute} |"


def plot(runs, path):
    """Reward and KL of each round of runs that have rounds; name -> folder."""
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "malmoi", "font.size": 9})
    import matplotlib.pyplot as pyplot
    figure, (rewards, kls) = pyplot.subplots(1, 2, figsize=(8, 3.4))
    for name, folder in runs.items():
        rounds = [json.loads(line) for line in (pathlib.Path(folder) / "log.jsonl").read_text().splitlines()]
        rounds = [r for r in rounds if "reward" in r]
        rewards.plot([r["step"] for r in rounds], [r["reward"] for r in rounds], label=name)
        kls.plot([r["step"] for r in rounds], [r["kl"] for r in rounds], label=name)
    rewards.set(title="mean reward", xlabel="round")
    kls.set(title="KL from where it began, nats an answer", xlabel="round")
    for axes in (rewards, kls):
        axes.grid(alpha=0.3), axes.legend()
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("what", choices=["prepare", "measure", "table", "curves"])
    arguments.add_argument("folder", type=pathlib.Path)
    arguments.add_argument("rest", nargs="*")
    arguments.add_argument("--plot", type=pathlib.Path)
    arguments = arguments.parse_args()
    if arguments.what == "prepare":
        prepare(arguments.folder)
    elif arguments.what == "table":
        print("\n".join(table(arguments.folder)))
        if arguments.plot:
            plot({name: arguments.folder / name for name in ("best_of_n", "grpo", "ppo")}, arguments.plot)
    elif arguments.what == "curves":
        plot(dict(given.split("=", 1) for given in arguments.rest), arguments.folder)
    else:
        base, *methods = arguments.rest
        for given in methods or ["base="]:
            name, _, adapter = given.partition("=")
            found = measure(arguments.folder, base, name, adapter)
            print(json.dumps(found), flush=True)
            with open(arguments.folder / "measured.jsonl", "a") as out:
                out.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    sys.exit(main())
