"""Encoding, malmoi and its peers in turn, on one thread: prints a table.

    build/venv/bin/python bench/encoding.py [--rounds 5] [--only NAME,..]

Seconds are of CPU and without loading; a row counts only where the ids are the same.  peer_encode.py says
how each library is fed, encoding_inputs.py what it is fed with.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build/bench/encoding"
TIKTOKEN = ("gpt2", "llama3", "gpt4o")
WANTED = {"tokenizers": 10, "tiktoken": 3}
PEERS = {name: ["tokenizers"] + ["tiktoken"] * (name in TIKTOKEN)
         for name in ("gpt2", "koelectra", "llama3", "qwen2", "gpt4o", "gemma", "deepseek", "bert")}
PEERS |= {"llama2_sp": ["sentencepiece"], "t5_sp": ["sentencepiece"]}


def run(library, name, text):
    done = subprocess.run([sys.executable, ROOT / "bench/peer_encode.py", library, FOLDER / name, FOLDER / f"{text}.txt"],
                          capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def figures(runs):
    speeds = [r["bytes"] / r["seconds"] / 1e6 for r in runs]
    return statistics.median(speeds), f"{statistics.median(speeds):.1f} [{min(speeds):.1f}, {max(speeds):.1f}]"


def rows(name, text, rounds):
    runs = {library: [] for library in ("malmoi", *PEERS[name])}
    for _ in range(rounds):
        for library, list_of in runs.items():
            list_of.append(run(library, name, text))
    ours, shown = figures(runs["malmoi"])
    for peer in PEERS[name]:
        theirs, their = figures(runs[peer])
        same = runs["malmoi"][0]["ids"] == runs[peer][0]["ids"]
        wanted = WANTED.get(peer)
        verdict = "" if not wanted else f" ({'reached' if ours >= wanted * theirs else 'LOST'}: ≥ {wanted})"
        yield f"| {name} | {text} | {shown} | {peer} | {their} | {f'{ours / theirs:.1f}×{verdict}' if same else 'ids differ: does not count'} |"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(PEERS), help=",".join(PEERS))
    arguments = parser.parse_args()
    subprocess.run([sys.executable, ROOT / "bench/encoding_inputs.py", FOLDER], check=True)
    print("| tokenizer | text | malmoi, MB/s | peer | its MB/s | speed of malmoi against it |\n|---|---|---|---|---|---|")
    for name in arguments.only:
        for text in ("english", "korean"):
            for row in rows(name, text, arguments.rounds):
                print(row, flush=True)


if __name__ == "__main__":
    main()
