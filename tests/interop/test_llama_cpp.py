"""Vocabularies that malmoi writes as GGUF, in llama.cpp itself: the same ids.

It is built from source and not among the requirements:

    build/venv/bin/pip install llama-cpp-python       (cmake and a C++ compiler; about a quarter of an hour)
    ./test --interop -k llama_cpp -rs
"""
import re
import unicodedata

import pytest

import corpus
import liblm
import pipelines
from holding import first_differences
from test_tokenizer_convert import convert, lines, model, trained       # noqa: F401  (fixtures)

llama_cpp = pytest.importorskip("llama_cpp", reason="llama.cpp is not here: pip install llama-cpp-python")
VOCABULARIES = corpus.DATA / "tokenizers"
needs_data = pytest.mark.skipif(not VOCABULARIES.exists(), reason="../shared/data/tokenizers is absent")


@pytest.fixture
def opened(malmoi, tmp_path):
    """opened(tokenizer, ...): what is written of it, in llama.cpp."""
    def of(given, *options):
        path = tmp_path / "t.gguf"
        convert(malmoi, given, path, "gguf", *options)
        return llama_cpp.Llama(model_path=str(path), vocab_only=True, verbose=False), liblm.Tokenizer(path)
    return of


def held(lines, given, theirs, again, flags=0):
    """The tokenizer given, what we read of the GGUF file, and llama.cpp."""
    expected = [theirs.tokenize(line.encode(), add_bos=bool(flags), special=False) for line in lines]
    for ours in (liblm.Tokenizer(given), again):
        message = first_differences(lines, [ours.encode(line, flags) for line in lines], expected)
        assert not message, message


def saved(tokenizer, path):
    tokenizer.save(str(path))
    return path


@pytest.mark.parametrize("kind, options", [("bpe", ()), ("wordpiece", ()), ("sentencepiece-bpe", ("--normalizer", "none", "--keep-spaces")),
                                           ("unigram", ("--no-byte-fallback",)), ("unigram", ("--no-byte-fallback", "--normalizer", "none"))], ids=str)
def test_trained(trained, opened, lines, kind, options):
    folder = trained(kind, *options)
    theirs, again = opened(folder)
    assert theirs.n_vocab() == len(again)
    held(lines, folder, theirs, again)
    if kind == "wordpiece":
        held(lines, folder, theirs, again, liblm.SPECIAL)


def test_trained_with_accents_stripped(trained, opened, lines):
    """There llama.cpp keeps the first letter of a Hangul syllable, of which the writer warns."""
    folder = trained("wordpiece", "--lowercase")
    held([line for line in lines if not re.search("[\u1100-\u11ff\uac00-\ud7a3]", line)], folder, *opened(folder))


@pytest.mark.parametrize("name", ["gpt2", "llama3", "gpt4o", "tekken", "bert_cased"])
def test_pipeline(opened, tmp_path, lines, name):
    given = saved(pipelines.trained(name), tmp_path / "tokenizer.json")
    held(lines, given, *opened(given))


@pytest.mark.parametrize("kind, rule", [("bpe", "identity"), ("unigram", "identity"), ("unigram", "nmt_nfkc")])
def test_sentencepiece(opened, model, lines, kind, rule):
    given = model(kind, rule, remove_extra_whitespaces=kind == "unigram")
    theirs, again = opened(given)
    ours = liblm.Tokenizer(given)
    known = lines if kind == "bpe" else [line for line in lines if not any(3 <= i < 259 for i in ours.encode(line))]     # no bytes in its Unigram
    assert len(known) > len(lines) // 4
    held(known, given, theirs, again)


@needs_data
@pytest.mark.parametrize("name", ["gpt2/gpt2_vocab.json", "llama2/tokenizer.model", "t5/sentencepiece.model", "koelectra/vocab.txt"])
def test_published(opened, lines, name):
    given = VOCABULARIES / name
    composed = [line for line in lines if unicodedata.is_normalized("NFC", line)]
    held(composed, given, *opened(given))
