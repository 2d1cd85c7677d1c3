"""Ids and texts of the pipelines of published models against the library that defines them.

`pytest --full -rP` holds all of this to 50 MB instead of a few hundred kilobytes and prints what was counted: some
twenty minutes, less the second time (see holding.py).
"""
import json

import pytest

import liblm
import pipelines
from holding import compare_ids, first_differences, texts, versions    # noqa: F401  (a fixture)

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

    depends = versions("tokenizers"), theirs.to_str().encode()

    theirs.encode_special_tokens = True                 # a special token in a text is text
    plain = read
    if document["model"]["type"] == "Unigram":          # where theirs finds it all the same, among the pieces
        plain = [t for t in read if not any(s in t for s in specials)]
    compare_ids(name, plain, ours.encode_batch, lambda b: [e.ids for e in theirs.encode_batch_fast(b, add_special_tokens=False)], *depends, b"plain")
    theirs.encode_special_tokens = False
    special = liblm.SPECIAL | liblm.ALLOW_SPECIAL
    compare_ids(f"{name}, special tokens allowed", read, lambda b: ours.encode_batch(b, special),
                lambda b: [e.ids for e in theirs.encode_batch_fast(b)], *depends, b"special")

    some = read[:: max(1, len(read) // 3000)]
    ids = [ours.encode(t, special) for t in some]
    for skip in (False, True):
        flags = liblm.SKIP_SPECIAL if skip else 0
        message = first_differences(some, [ours.decode(i, flags) for i in ids], theirs.decode_batch(ids, skip_special_tokens=skip))
        assert not message, message
