"""Holding our ids to theirs over a corpus."""
import pytest

import corpus

FULL = 50_000_000
QUICK = 250_000
BATCH = 4000


@pytest.fixture(scope="module")
def texts(request):
    """texts(tokens): the corpus, with `tokens` strewn into its random part."""
    size, made = FULL if request.config.getoption("--full") else QUICK, {}

    def of(tokens=()):
        key = tuple(tokens)
        if key not in made:
            made.clear()                                 # 50 MB are held once
            made[key] = corpus.mixed(size, tokens=key)
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
