"""How long a tokenizer of LLaMA-3's size takes to start: 128,000 tokens, 280,147 merges.

    startup.py [--rounds N] [--pairs]

malmoi and Hugging Face tokenizers in turn, each in a fresh process: from its start to the first id of
"hello", with the file in the cache.  The ids must agree.  The table goes to standard output.
"""
import argparse
import pathlib
import statistics
import subprocess
import sys
import time

import big_tokenizer

ROOT = pathlib.Path(__file__).resolve().parents[1]
WANTED = 60                                     # ms, of malmoi
TEXT = "hello"
PEER = """
import sys, time
begin = time.perf_counter()
from tokenizers import Tokenizer
ids = Tokenizer.from_file(sys.argv[1]).encode(sys.argv[2]).ids
print(*ids, flush=True)
print(1000 * (time.perf_counter() - begin))
"""


def start(command):
    """(milliseconds to the first line, the first line, what follows) of one process"""
    begin = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    ids = child.stdout.readline()
    took = 1000 * (time.perf_counter() - begin)
    rest = child.stdout.read()
    if child.wait() != 0:
        sys.exit(f"{command[0]}: it failed")
    return took, ids.split(), rest


def spread(values):
    """median [smallest, largest]"""
    return f"{statistics.median(values):.0f} [{min(values):.0f}, {max(values):.0f}]"


def measure(path, rounds):
    """Milliseconds: malmoi's, the peer's, and the peer's without the start of Python."""
    ours, theirs, inside = [], [], []
    for _ in range(rounds):
        took, ids, _ = start([ROOT / "build/malmoi", "tokenizer", "encode", path, TEXT])
        peer_took, peer_ids, peer_inside = start([sys.executable, "-c", PEER, path, TEXT])
        if ids != peer_ids:
            sys.exit(f"{path}: malmoi gives {ids}, Hugging Face tokenizers {peer_ids}")
        ours.append(took)
        theirs.append(peer_took)
        inside.append(float(peer_inside))
    return ours, theirs, inside


def table(ours, theirs, inside):
    median = statistics.median(ours)
    ratio = lambda values: f"{statistics.median(values) / median:.1f}×"
    verdict = "reached" if median <= WANTED else "LOST"
    return ["| | ms to the first id | malmoi is faster by |", "|---|---|---|",
            f"| malmoi | {spread(ours)} ({verdict}: ≤ {WANTED}) | |",
            f"| Hugging Face tokenizers, from the start of Python | {spread(theirs)} | {ratio(theirs)} |",
            f"| Hugging Face tokenizers, in a running Python | {spread(inside)} | {ratio(inside)} |"]


def section(rounds, pairs=False):
    """The lines of the table; the file is made where it is missing."""
    path = ROOT / f"build/bench/big{'_pairs' if pairs else ''}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        big_tokenizer.make(path, pairs)
    return table(*measure(path, rounds))


def main():
    parser = argparse.ArgumentParser(prog="startup.py")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--pairs", action="store_true", help='merges as ["a", "b"], not "a b"')
    arguments = parser.parse_args()
    print("\n".join(section(arguments.rounds, arguments.pairs)))


if __name__ == "__main__":
    main()
