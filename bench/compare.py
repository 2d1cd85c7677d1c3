"""Runs every contestant in turn, each time in a fresh process, and writes the table.

A round runs each contestant of a work once, so that a slow minute of the machine hits all of them;
a figure is the median over the rounds, with the smallest and the largest beside it.  Peak memory is
what the kernel counted for the process (ru_maxrss), for both sides alike: the weights that malmoi
maps from a file count as far as they were touched.
"""
import argparse
import dataclasses
import datetime
import importlib.metadata
import os
import pathlib
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import clean
import contestants
import dedup
import encoding
import startup
import vocabularies

ROOT = pathlib.Path(__file__).resolve().parents[1]


@dataclasses.dataclass
class Run:
    """What one process wrote, and what it cost."""
    out: str
    first_byte: float            # seconds from its start to the first byte it writes
    seconds: float               # to its end
    cpu_seconds: float
    peak_mib: float


def run(command, limit):
    """One process: a Run, or None if it was stopped at the limit.  A failure ends the benchmark."""
    with tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, cwd=ROOT)
        stopped = threading.Event()
        timer = threading.Timer(limit, lambda: (stopped.set(), child.kill()))
        timer.start()
        first = os.read(child.stdout.fileno(), 1)
        first_byte = time.perf_counter() - start
        out = (first + child.stdout.read()).decode()
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        timer.cancel()
        if status != 0 and not stopped.is_set():
            errors.seek(0)
            sys.exit(f"{' '.join(map(str, command))}\n{errors.read().decode()}bench: it failed")
    return None if stopped.is_set() else Run(out, first_byte, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


class Series:
    """A contestant's figures over the rounds."""

    def __init__(self, contestant):
        self.contestant = contestant
        self.speeds, self.peaks, self.stopped = [], [], False

    def measure(self, limit):
        """One more figure; a contestant that was stopped once does not run again."""
        if self.stopped:
            return
        self.contestant.prepare()
        done = run(self.contestant.command, limit)
        self.stopped = done is None
        if done:
            self.speeds.append(self.contestant.figure(done))
            self.peaks.append(done.peak_mib)

    def medians(self):
        return statistics.median(self.speeds), statistics.median(self.peaks)


def spread(values):
    """median [smallest, largest]"""
    return f"{statistics.median(values):.0f} [{min(values):.0f}, {max(values):.0f}]"


def verdict(reached, wanted):
    return f"({'reached' if reached else 'LOST'}: {wanted})"


def stopped_row(work, s, ours, limit):
    """A contestant that ran into the limit: what it is slower than."""
    missed = work.at_limit(limit)
    beaten = ours / missed if work.more_is_better else missed / ours
    return [s.contestant.name, f"{'below' if work.more_is_better else 'over'} {missed:.0f}: stopped after {limit} s", "",
            f"over {beaten:.2f}×", ""]


def peer_row(work, s, ours):
    """A peer's figures, and malmoi's against them."""
    (speed, peak), (theirs, their_peak) = ours, s.medians()
    faster = speed / theirs if work.more_is_better else theirs / speed
    row = [s.contestant.name, spread(s.speeds), spread(s.peaks),
           f"{faster:.2f}× {verdict(faster >= work.speed_wanted, f'≥ {work.speed_wanted}')}", ""]
    if work.memory_wanted:
        row[4] = f"{peak / their_peak:.2f}× {verdict(peak / their_peak <= work.memory_wanted, f'≤ {work.memory_wanted}')}"
    return row


def table(work, series, limit):
    """The Markdown table of one work; malmoi stands first and is held against each peer."""
    ours, *peers = series
    if ours.stopped:
        return [f"malmoi was stopped after {limit} s: LOST."]
    rows = [["", work.unit, "peak MiB", "speed of malmoi against it", "memory of malmoi against it"], ["---"] * 5,
            [ours.contestant.name, spread(ours.speeds), spread(ours.peaks), "", ""]]
    for s in peers:
        rows.append(stopped_row(work, s, ours.medians()[0], limit) if s.stopped else peer_row(work, s, ours.medians()))
    return ["| " + " | ".join(row) + " |" for row in rows] + ["", *work.remarks(*ours.medians())]


def machine():
    with open("/proc/cpuinfo") as cpuinfo:
        lines = cpuinfo.read().splitlines()
    field = lambda name: next((l.split(":", 1)[1].strip() for l in lines if l.startswith(name)), "unknown")
    wanted = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile")
    flags = [f for f in wanted if f in field("flags").split()]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{field('model name')}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB; {' '.join(flags)}"


def heading(arguments):
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    peers = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in ("torch", "transformers", "peft", "tokenizers", "tiktoken", "sentencepiece"))
    return ["# Benchmarks", "",
            "Written by `make bench`: malmoi and its peer in turn on the same work, each time in a fresh process;",
            f"medians of {arguments.rounds} rounds [smallest, largest].  Rows that malmoi loses stay in.", "",
            f"- date: {datetime.date.today()}, malmoi {commit.stdout.strip() or 'unknown'}",
            f"- machine: {machine()}",
            f"- peers: Python {platform.python_version()}, {peers}", ""]


# Works that are no race of a few processes: they make their own table from a number of rounds.
TABLES = {
    "clean": ("Cleaning Korean text, one thread", "bench/clean.py", clean.table),
    "dedup": ("Near-duplicates: MinHash of 128 permutations", "bench/dedup.py", dedup.table),
    "encode": ("Encoding, one thread: English and the Korean acts", "bench/encoding.py", encoding.table),
    "startup": ("Start of a tokenizer of 128,000 tokens, to the first id", "bench/startup.py", startup.section),
}


def own_table(key, rounds):
    title, script, lines = TABLES[key]
    return [f"## {title}", "", *lines(rounds), "", "```", f"build/venv/bin/python {script} --rounds {rounds}", "```", ""]


def race(work, arguments):
    series = [Series(c) for c in work.contestants]
    for i in range(arguments.rounds):
        for s in series:
            print(f"{work.key}: round {i + 1} of {arguments.rounds}, {s.contestant.name}", file=sys.stderr)
            s.measure(arguments.limit)
    return [f"## {work.title}", "", *table(work, series, arguments.limit), "", "```",
            *(shlex.join(map(str, c.command)).replace(f"{ROOT}/", "") for c in work.contestants), "```", ""]


def main():
    works = {w.key: w for w in contestants.WORKS + vocabularies.WORKS}
    parser = argparse.ArgumentParser(prog="bench/run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", type=lambda text: text.split(","), default=[*works, *TABLES], help=",".join([*works, *TABLES]))
    parser.add_argument("--limit", type=int, default=240, help="seconds after which a process is stopped")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs/benchmarks.md")
    arguments = parser.parse_args()

    report = heading(arguments)
    for key in arguments.only:
        section = own_table(key, arguments.rounds) if key in TABLES else race(works[key], arguments)
        print("\n".join(section), flush=True)
        report += section
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text("\n".join(report))


if __name__ == "__main__":
    main()
