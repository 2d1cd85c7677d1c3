"""data dedup --method minhash against Jaccard similarities computed exactly, and against the banding of datasketch."""
import itertools
import json
import pathlib
import random
import subprocess

import pytest

ACTS = pathlib.Path(__file__).resolve().parents[3] / "shared/data/law_ko/revisions.jsonl.zst"


def words_of(text, n=3):
    words = text.split()
    return {tuple(words[i:i + n]) for i in range(max(1, len(words) - n + 1))}


def jaccard(a, b):
    return len(a & b) / len(a | b)


def write(path, texts):
    path.write_text("".join(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in texts))
    return path


def clusters_of(malmoi, folder, source, n, *options):
    """The cluster that each row is in, by the number of one of its rows."""
    clusters = folder / "clusters.jsonl"
    malmoi("data", "dedup", source, "--method", "minhash", "--out", folder / "out.jsonl", "--clusters", clusters, *options)
    cluster = list(range(n))
    for line in clusters.read_text().splitlines():
        found = json.loads(line)
        rows = [int(place.rsplit(":", 1)[1]) - 1 for place in [found["kept"], *found["removed"]]]
        for row in rows:
            cluster[row] = rows[0]
    return cluster


@pytest.fixture(scope="module")
def texts():
    """Families of texts whose members lie on both sides of the threshold."""
    draw = random.Random(3)
    made = []
    for _ in range(150):
        words = [f"낱말{draw.randrange(3000)}" for _ in range(150)]
        for edits in (0, 2, 4, 5, 6, 8):
            copy = list(words)
            for i in draw.sample(range(len(copy)), edits):
                copy[i] = f"낱말{draw.randrange(3000)}"
            made.append(" ".join(copy))
    return made


def test_true_pairs_are_found_and_nothing_else(malmoi, tmp_path, texts):
    sets = [words_of(t) for t in texts]
    true = [(i, k) for i, k in itertools.combinations(range(len(sets)), 2) if k - i < 6 and jaccard(sets[i], sets[k]) >= 0.8]
    cluster = clusters_of(malmoi, tmp_path, write(tmp_path / "in.jsonl", texts), len(texts), "--ngram", "3", "--threshold", "0.8")
    found = sum(cluster[i] == cluster[k] for i, k in true)
    assert len(true) > 200 and found >= 0.95 * len(true)
    joined = {}                                  # what true pairs join, transitively
    for i in range(len(sets)):
        joined[i] = i
    for i, k in true:
        old, new = joined[k], joined[i]
        joined = {row: new if c == old else c for row, c in joined.items()}
    for i, k in itertools.combinations(range(len(sets)), 2):
        assert cluster[i] != cluster[k] or joined[i] == joined[k]


def test_misses_are_as_few_as_datasketch_would_have(malmoi, tmp_path, texts):
    """At the same threshold the banding misses less at it than the one that datasketch chooses by default."""
    datasketch = pytest.importorskip("datasketch")
    report = tmp_path / "report.json"
    malmoi("data", "dedup", write(tmp_path / "in.jsonl", texts[:50]), "--method", "minhash", "--threshold", "0.8", "--out", tmp_path / "out.jsonl", "--report", report)
    ours = json.loads(report.read_text())["minhash"]
    theirs = datasketch.MinHashLSH(threshold=0.8, num_perm=128)
    missed = lambda b, r: (1 - 0.8 ** r) ** b
    assert ours["missed_at_threshold"] == pytest.approx(missed(ours["bands"], ours["rows"]), rel=1e-6)
    assert ours["missed_at_threshold"] <= 0.02 < missed(theirs.b, theirs.r)


def test_no_two_acts_are_one_cluster(malmoi, tmp_path):
    if not ACTS.exists():
        pytest.skip(f"{ACTS} is not there")
    rows = [json.loads(line) for line in subprocess.run(["zstdcat", ACTS], capture_output=True, text=True, check=True).stdout.splitlines()]
    for threshold, least in ((0.8, 190), (0.4, 217)):        # versions of 20 acts; some were rewritten from one to the next
        cluster = clusters_of(malmoi, tmp_path, ACTS, len(rows), "--ngram", "1", "--threshold", str(threshold))
        acts = {}
        for row, c in zip(rows, cluster):
            acts.setdefault(c, set()).add(row["path"])
        assert all(len(paths) == 1 for paths in acts.values())
        assert len(rows) - len(acts) >= least
