"""Holding our ids to theirs over a corpus.

What a reference library says of a batch is remembered in build/reference as a count and a digest of its ids, under
a digest of everything that it depends on: the library's version, the tokenizer, the flags and the texts.  A second
run then computes our ids alone; where they have another digest, the library is asked again.
"""
import hashlib
import importlib.metadata
import itertools

import numpy as np
import pytest

import corpus
from conftest import ROOT

FULL = 50_000_000
QUICK = 250_000
BATCH = 4000
REMEMBERED = ROOT / "build/reference/ids.txt"


@pytest.fixture(scope="module")
def texts(request):
    """texts(tokens): the corpus, with `tokens` strewn into its random part."""
    size, written, made = FULL if request.config.getoption("--full") else QUICK, [], {}

    def of(tokens=()):
        key = tuple(tokens)
        if not written:
            written.extend(corpus.natural(size * 3 // 4))
        if key not in made:
            made.clear()                                 # 50 MB are held once
            made[key] = corpus.mixed(size, tokens=key, written=written)
        return made[key]
    return of


def batches(texts):
    for i in range(0, len(texts), BATCH):
        yield texts[i:i + BATCH]


def first_differences(texts, ours, theirs):
    """A message for each of the shortest texts whose two results differ, "" when none does."""
    def at(a, b):
        n = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
        return f"at {n}: ours {a[max(0, n - 2):n + 6]!r}, theirs {b[max(0, n - 2):n + 6]!r}"
    wrong = [(t, a, b) for t, a, b in zip(texts, ours, theirs, strict=True) if a != b]
    return "\n".join([f"{len(wrong)} of {len(texts)}"] * bool(wrong) + [f"{t[:200]!r} {at(a, b)}" for t, a, b in sorted(wrong, key=lambda w: len(w[0]))[:5]])


def compare(texts, ours, theirs):
    """`ours` takes one text, `theirs` a list of them."""
    for batch in batches(texts):
        message = first_differences(batch, [ours(t) for t in batch], theirs(batch))
        assert not message, message


# ---- many ids ---------------------------------------------------------------------------------------------------

def digest(*parts):
    """Of byte strings, also of where each ends."""
    made = hashlib.blake2b(digest_size=16)
    for part in parts:
        made.update(len(part).to_bytes(8, "little"))
        made.update(part)
    return made.hexdigest()


def versions(*libraries):
    return " ".join(f"{name} {importlib.metadata.version(name)}" for name in libraries).encode()


class Remembered:
    """What a library said of the batches that it was asked for, one line each in a file that only grows."""
    known = None

    def __init__(self, *depends):
        """`depends`: byte strings that say which library, which tokenizer, which flags."""
        self.depends = digest(*depends).encode()
        if Remembered.known is None:
            lines = REMEMBERED.read_text().splitlines() if REMEMBERED.exists() else []
            Remembered.known = dict(line.split(" ", 1) for line in lines if line.count(" ") == 2)

    def of(self, batch, ask):
        """(count, digest) of the ids of a batch; `ask` is called where they are not known, with each text's own."""
        key = digest(self.depends, *(text.encode() for text in batch))
        if key not in self.known:
            ids = ask(batch)
            self.known[key] = summary(np.fromiter(itertools.chain.from_iterable(ids), np.int32), np.fromiter(map(len, ids), np.int64))
            REMEMBERED.parent.mkdir(parents=True, exist_ok=True)
            with REMEMBERED.open("a") as file:
                file.write(f"{key} {self.known[key]}\n")
        return self.known[key]


def summary(ids, lengths):
    return f"{len(ids)} {digest(ids.tobytes(), lengths.tobytes())}"


def compare_ids(name, texts, ours, theirs, *depends):
    """Ids of each text, and how many: `ours` gives those of a list of texts end to end with the length of each,
    `theirs` a list of lists."""
    remembered, total, wrong = Remembered(*depends), 0, []
    for batch in batches(texts):
        ids, lengths = ours(batch)
        total += len(ids)
        if summary(ids, lengths) != remembered.of(batch, theirs):
            mine = [part.tolist() for part in np.split(ids, np.cumsum(lengths)[:-1])]
            wrong.append(first_differences(batch, mine, theirs(batch)) or f"{REMEMBERED} holds what the library does not say")
    print(f"{name}: {sum(len(t.encode()) for t in texts):,} bytes, {total:,} ids, {len(wrong)} of {-(-len(texts) // BATCH)} batches differ")
    assert not wrong, "\n".join(wrong[:5])
