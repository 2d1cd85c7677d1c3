"""Near-duplicates by MinHash of 128 permutations, malmoi and its peers in turn, on the words of Korean acts and of
short reviews (../shared/data).

    build/venv/bin/python bench/dedup.py [--rounds 3]      (or bench/run --only dedup)

Seconds are of CPU.  malmoi's are those of the whole program on one thread: it reads the file twice, verifies
each pair by exact Jaccard similarity and writes what is left.  A peer's are those of the library alone, and in
brackets with reading and splitting in Python: it verifies and writes nothing.
"""
import argparse
import json
import pathlib
import resource
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
WORK = ROOT / "build/bench/dedup"
DATA = ROOT / "../shared/data"
THRESHOLD, REVIEWS = 0.8, 100_000
WANTED = {"rensa": 2, "datasketch": 20}


def unpack(path):
    return subprocess.run(["zstdcat", path], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()


def make_inputs():
    WORK.mkdir(parents=True, exist_ok=True)
    acts, reviews = WORK / "acts.jsonl", WORK / "reviews.jsonl"
    if not acts.exists():
        acts.write_text("\n".join(unpack(DATA / "law_ko/acts.jsonl.zst")) + "\n")
    if not reviews.exists():
        texts = [line.split("\t")[-1] for line in unpack(DATA / "nsmc/raw_reviews.tsv.zst")[1:]]
        reviews.write_text("".join(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in texts[:REVIEWS] if t))
    return {"Korean acts": acts, "reviews": reviews}


def children_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run_malmoi(path):
    before = children_seconds()
    command = [ROOT / "build/malmoi", "data", "dedup", path, "--method", "minhash", "--ngram", "1", "--threshold", str(THRESHOLD),
               "--threads", "1", "--out", WORK / "out.jsonl", "--json"]
    done = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    spent = children_seconds() - before
    return {"documents": done["documents"], "duplicates": done["removed"], "seconds": spent, "all": spent}


def run_peer(library, path):
    command = [sys.executable, ROOT / "bench/peer_dedup.py", library, path, str(THRESHOLD)]
    done = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return done | {"all": done["seconds"] + done["reading"]}


def speed(runs, key):
    return statistics.median(r["documents"] / r[key] for r in runs)


def rows(name, path, rounds):
    runs = {"malmoi": [], "rensa": [], "datasketch": []}
    for i in range(rounds):
        for who, done in runs.items():
            print(f"dedup: {name}, round {i + 1} of {rounds}, {who}", file=sys.stderr)
            done.append(run_malmoi(path) if who == "malmoi" else run_peer(who, path))
    ours = speed(runs["malmoi"], "seconds")
    yield f"| {name} | malmoi, whole program | {ours:.0f} | {runs['malmoi'][0]['duplicates']} | |"
    for peer, wanted in WANTED.items():
        alone, whole = speed(runs[peer], "seconds"), speed(runs[peer], "all")
        verdict = "reached" if ours >= wanted * alone else "LOST"
        yield f"| {name} | {peer} | {alone:.0f} ({whole:.0f}) | {runs[peer][0]['duplicates']} | {ours / alone:.2f}× ({verdict}: ≥ {wanted}), {ours / whole:.2f}× with reading |"


def table(rounds):
    yield "| text | | documents/s of CPU | duplicates | speed of malmoi against it |"
    yield "|---|---|---|---|---|"
    for name, path in make_inputs().items():
        yield from rows(name, path, rounds)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    for row in table(parser.parse_args().rounds):
        print(row, flush=True)


if __name__ == "__main__":
    main()
