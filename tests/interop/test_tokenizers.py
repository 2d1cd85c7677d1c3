"""Ids and texts of every tokenizer against the libraries that define them.

`pytest --full` holds all of this to 50 MB instead of a few hundred kilobytes (some twenty minutes).
"""
import json

import pytest
from tokenizers import Tokenizer

import corpus
import liblm
import pipelines

FULL = 50_000_000
QUICK = 250_000
BATCH = 4000


@pytest.fixture(scope="module")
def texts(request):
    """texts(tokens): the corpus, with `tokens` strewn into its random part; made once for each."""
    size, made = FULL if request.config.getoption("--full") else QUICK, {}

    def of(tokens=()):
        key = tuple(tokens)
        if key not in made:
            made.clear()
            made[key] = corpus.mixed(size, tokens=key)
        return made[key]
    return of


def batches(texts):
    for i in range(0, len(texts), BATCH):
        yield texts[i:i + BATCH]


def first_differences(texts, ours, theirs):
    """A message for each of the first texts whose two lists differ, "" when none does."""
    def at(a, b):
        n = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
        return f"at {n}: ours {a[max(0, n - 2):n + 6]}, theirs {b[max(0, n - 2):n + 6]}"
    wrong = [(t, a, b) for t, a, b in zip(texts, ours, theirs, strict=True) if list(a) != list(b)]
    return "\n".join([f"{len(wrong)} of {len(texts)}"] * bool(wrong) + [f"{t[:200]!r} {at(a, b)}" for t, a, b in sorted(wrong, key=lambda w: len(w[0]))[:5]])


def compare(texts, ours, theirs):
    """`ours` takes one text, `theirs` a list of them."""
    for batch in batches(texts):
        message = first_differences(batch, [ours(t) for t in batch], theirs(batch))
        assert not message, message


# ---- the pipelines of published models, around small vocabularies -----------------------------------------------

@pytest.mark.parametrize("name", pipelines.PIPELINES)
def test_pipeline(name, texts, tmp_path):
    theirs = pipelines.trained(name)
    theirs.save(str(tmp_path / "tokenizer.json"))
    ours = liblm.Tokenizer(tmp_path / "tokenizer.json")
    assert len(ours) == theirs.get_vocab_size()
    document = json.loads(theirs.to_str())
    specials = [t["content"] for t in document["added_tokens"] if t["special"]]
    read = texts([t["content"] for t in document["added_tokens"]])

    theirs.encode_special_tokens = True                 # a special token in a text is text
    plain = read
    if document["model"]["type"] == "Unigram":          # where theirs finds it all the same, among the pieces
        plain = [t for t in read if not any(s in t for s in specials)]
    compare(plain, ours.encode, lambda b: [e.ids for e in theirs.encode_batch(b, add_special_tokens=False)])
    theirs.encode_special_tokens = False
    special = liblm.SPECIAL | liblm.ALLOW_SPECIAL
    compare(read, lambda t: ours.encode(t, special), lambda b: [e.ids for e in theirs.encode_batch(b)])

    some = read[:: max(1, len(read) // 3000)]
    ids = [ours.encode(t, special) for t in some]
    for skip in (False, True):
        flags = liblm.SKIP_SPECIAL if skip else 0
        message = first_differences(some, [ours.decode(i, flags) for i in ids], theirs.decode_batch(ids, skip_special_tokens=skip))
        assert not message, message
