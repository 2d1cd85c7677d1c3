"""How fast `malmoi data clean` is, in MB of text a second of one core's CPU, on Korean acts, on short reviews, and on
both (../shared/data).

    build/venv/bin/python bench/clean.py [--rounds 5]      (or bench/run --only clean)

Seconds are of CPU, user and system, of the whole program on one thread: reading JSONL, filtering, writing JSONL.  The
second figure leaves out the time of the same program with a filter that finds nothing to do, that is with reading and
writing only.
"""
import argparse
import json
import pathlib
import resource
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
WORK = ROOT / "build/bench/clean"
DATA = ROOT / "../shared/data"
SIZES = {"acts": 40e6, "reviews": 20e6}
NOTHING = ["--filter", "markup:entities=false"]
WORKS = {"rule filters (preset korean)": (["--preset", "korean"], 80), "personal data masked": (["--filter", "personal"], 150)}


def texts(name):
    packed = {"acts": "law_ko/acts.jsonl.zst", "reviews": "nsmc/raw_reviews.tsv.zst"}[name]
    with subprocess.Popen(["zstdcat", DATA / packed], stdout=subprocess.PIPE, text=True) as unpacked:
        for i, line in enumerate(unpacked.stdout):
            if name == "acts":
                yield json.loads(line)["text"]
            elif i:
                yield line.rstrip("\n").split("\t")[-1]
        unpacked.kill()


def make_input(name):
    """A JSONL file of about as much text as SIZES says; how many bytes of text it has."""
    path, count = WORK / f"{name}.jsonl", WORK / f"{name}.bytes"
    if not count.exists():
        n = 0
        with open(path, "w") as out:
            for text in texts(name):
                out.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
                n += len(text.encode())
                if n >= SIZES[name]:
                    break
        count.write_text(str(n))
    return path, int(count.read_text())


def make_inputs():
    WORK.mkdir(parents=True, exist_ok=True)
    (acts, n), (reviews, m) = make_input("acts"), make_input("reviews")
    return {"acts": ([acts], n), "reviews": ([reviews], m), "both": ([acts, reviews], n + m)}


def seconds(paths, filters):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [ROOT / "build/malmoi", "data", "clean", *paths, *filters, "--threads", "1", "--out", WORK / "out.jsonl"]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def row(text, name, size, whole, nothing, wanted):
    speeds = [size / 1e6 / s for s in whole]
    alone = statistics.median(whole) - statistics.median(nothing)
    verdict = f"({'reached' if statistics.median(speeds) >= wanted else 'LOST'}: ≥ {wanted})" if text == "both" else ""
    filters = f"{size / 1e6 / alone:.0f}" if alone > 0.02 else "too short to tell"
    return f"| {text} | {name} | {statistics.median(speeds):.0f} [{min(speeds):.0f}, {max(speeds):.0f}] {verdict} | {filters} |"


def table(rounds):
    yield "| text | work | MB/s a core, whole program | filters alone |"
    yield "|---|---|---|---|"
    for text, (paths, size) in make_inputs().items():
        runs = {name: [] for name in ("nothing", *WORKS)}
        for i in range(rounds):
            print(f"clean: {text}, round {i + 1} of {rounds}", file=sys.stderr)
            for name, done in runs.items():
                done.append(seconds(paths, WORKS[name][0] if name in WORKS else NOTHING))
        for name, (_, wanted) in WORKS.items():
            yield row(text, name, size, runs[name], runs["nothing"], wanted)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    for line in table(parser.parse_args().rounds):
        print(line, flush=True)


if __name__ == "__main__":
    main()
