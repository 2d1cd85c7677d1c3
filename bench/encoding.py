"""Encoding, malmoi and its peers in turn, on one thread; and malmoi on one thread and on two.

    build/venv/bin/python bench/encoding.py [--rounds 5] [--only NAME,..]      (or bench/run --only encode)

Speeds are by seconds of CPU and without loading; a row counts only where the ids are the same.
peer_encode.py says how each library is fed, encoding_inputs.py what it is fed with.  The peak is that of a
process that loads Python, the library and one tokenizer, and encodes both texts.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build/bench/encoding"
TEXTS = ("english", "korean")
WANTED = {"tokenizers": 10, "tiktoken": 3}
PEERS = {
    "gpt2": ["tokenizers", "tiktoken"], "llama2": ["tokenizers"], "llama2_sp": ["sentencepiece"], "t5": ["tokenizers"],
    "t5_sp": ["sentencepiece"], "koelectra": ["tokenizers"], "llama3": ["tokenizers", "tiktoken"], "qwen2": ["tokenizers"],
    "gpt4o": ["tokenizers", "tiktoken"], "gemma": ["tokenizers"], "deepseek": ["tokenizers"], "bert": ["tokenizers"],
}
USUAL = [name for name in PEERS if name != "deepseek"]
THREADED, THREADS_WANTED = ("gpt2", "koelectra"), 1.8


def run(library, name):
    command = [sys.executable, ROOT / "bench/peer_encode.py", library, FOLDER / name, *(FOLDER / f"{text}.txt" for text in TEXTS)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def spread(values, digits=1):
    """median [smallest, largest]"""
    return f"{statistics.median(values):.{digits}f} [{min(values):.{digits}f}, {max(values):.{digits}f}]"


def verdict(ratio, wanted):
    return f" ({'reached' if ratio >= wanted else 'LOST'}: ≥ {wanted})" if wanted else ""


def rows(name, rounds):
    runs = {library: [] for library in ("malmoi", *PEERS[name])}
    for i in range(rounds):
        for library, done in runs.items():
            print(f"encode: {name}, round {i + 1} of {rounds}, {library}", file=sys.stderr)
            done.append(run(library, name))
    peak = {library: statistics.median(r["peak_mib"] for r in done) for library, done in runs.items()}
    for text in TEXTS:
        speeds = {library: [r[text]["bytes"] / r[text]["seconds"] / 1e6 for r in done] for library, done in runs.items()}
        for peer in PEERS[name]:
            ratio = statistics.median(speeds["malmoi"]) / statistics.median(speeds[peer])
            same = all(r[text]["ids"] == runs["malmoi"][0][text]["ids"] for r in runs["malmoi"] + runs[peer])
            outcome = f"{ratio:.1f}×{verdict(ratio, WANTED.get(peer))}" if same else "ids differ: does not count"
            yield (f"| {name} | {text} | {spread(speeds['malmoi'])} | {peer} | {spread(speeds[peer])} | {outcome} | "
                   f"{peak['malmoi']:.0f} / {peak[peer]:.0f} |")


def threads(rounds):
    """The Korean acts, 100 MB, on one thread and on two: wall time, since processor time says nothing here."""
    yield from ["", "| tokenizer | 1 thread, MB/s | 2 threads, MB/s | faster by |", "|---|---|---|---|"]
    for name in THREADED:
        print(f"encode: {name} on one thread and on two", file=sys.stderr)
        command = [sys.executable, ROOT / "bench/encoding_threads.py", FOLDER / name, str(rounds)]
        one, two = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
        ratio = statistics.median(two) / statistics.median(one)
        yield f"| {name} | {spread(one)} | {spread(two)} | {ratio:.2f}×{verdict(ratio, THREADS_WANTED)} |"


def table(rounds, only=USUAL):
    subprocess.run([sys.executable, ROOT / "bench/encoding_inputs.py", FOLDER], check=True)
    yield "| tokenizer | text | malmoi, MB/s | peer | its MB/s | speed of malmoi against it | peak MiB, malmoi / peer |"
    yield "|---|---|---|---|---|---|---|"
    for name in only:
        yield from rows(name, rounds)
    yield from threads(rounds)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", type=lambda text: text.split(","), default=USUAL, help=",".join(PEERS))
    arguments = parser.parse_args()
    for row in table(arguments.rounds, arguments.only):
        print(row, flush=True)


if __name__ == "__main__":
    main()
