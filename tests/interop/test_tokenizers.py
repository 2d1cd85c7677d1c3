"""Ids and texts of the pipelines of published models against the library that defines them.

`pytest --full -rP` holds all of this to 50 MB instead of a few hundred kilobytes and prints what was counted: some
twenty minutes, less the second time (see holding.py).
"""
import json
import random

import pytest
import sentencepiece
from tokenizers import Tokenizer

import liblm
import pipelines
from conftest import ROOT
from holding import compare_ids, first_differences, texts, versions    # noqa: F401  (a fixture)

# ---- the pipelines of published models, around small vocabularies -----------------------------------------------

@pytest.mark.parametrize("name", pipelines.PIPELINES)
def test_pipeline(name, texts, tmp_path):
    theirs = pipelines.trained(name)
    theirs.save(str(tmp_path / "tokenizer.json"))
    ours = liblm.Tokenizer(tmp_path / "tokenizer.json")
    assert len(ours) == theirs.get_vocab_size()
    document = json.loads(theirs.to_str())
    added, specials = ([t["content"] for t in document["added_tokens"] if t["special"] or every] for every in (True, False))
    read = texts(added)

    depends = versions("tokenizers"), theirs.to_str().encode()

    theirs.encode_special_tokens = True                 # a special token in a text is text
    plain = read
    if document["model"]["type"] == "Unigram":          # where theirs finds it all the same, among the pieces
        plain = [t for t in read if not any(s in t for s in specials)]
    compare_ids(name, plain, ours.encode_batch, lambda b: [e.ids for e in theirs.encode_batch_fast(b, add_special_tokens=False)], *depends, b"plain")
    theirs.encode_special_tokens = False                # of the texts without one a tenth: the same as before, between two more
    special_texts = [t for i, t in enumerate(read) if i % 10 == 0 or any(a in t for a in added)]
    special = liblm.SPECIAL | liblm.ALLOW_SPECIAL
    compare_ids(f"{name}, special tokens allowed", special_texts, lambda b: ours.encode_batch(b, special),
                lambda b: [e.ids for e in theirs.encode_batch_fast(b)], *depends, b"special")

    some = read[:: max(1, len(read) // 3000)]
    ids = [ours.encode(t, special) for t in some]
    for skip in (False, True):
        flags = liblm.SKIP_SPECIAL if skip else 0
        message = first_differences(some, [ours.decode(i, flags) for i in ids], theirs.decode_batch(ids, skip_special_tokens=skip))
        assert not message, message


# ---- bytes that are not UTF-8 -----------------------------------------------------------------------------------

BROKEN = [b"\xe4\xb8", b"\xf0\x9f\x98", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe0\x80\x80", b"\xc0\x80", b"\x80\x80", b"\xf8\x88\x80\x80\x80",
          b"\xe1\x80", b"abc", b" ", "가".encode(), b"\0"]


@pytest.mark.parametrize("name", ["llama2", "bert_korean", "xlm_roberta", "word_level", "sp_bpe", "sp_unigram"])
def test_bytes_that_are_not_utf8(name):
    """tokenizers takes texts, which Python decodes; SentencePiece takes the bytes."""
    draw, path = random.Random(5), ROOT / f"tests/golden/token/{name}"
    texts = [b"".join(draw.choices(BROKEN, k=draw.randrange(1, 8))) for _ in range(500)]
    if name.startswith("sp_"):
        path, theirs = f"{path}.model", sentencepiece.SentencePieceProcessor(model_file=f"{path}.model").encode
    else:
        path, library = f"{path}.json", Tokenizer.from_file(f"{path}.json")
        theirs = lambda text: library.encode(text.decode(errors="replace"), add_special_tokens=False).ids      # noqa: E731
    ours = liblm.Tokenizer(path)
    assert [ours.encode(t) for t in texts] == [theirs(t) for t in texts]
