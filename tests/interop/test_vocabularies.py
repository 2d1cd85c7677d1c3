"""Published vocabularies of ../shared/data, and SentencePiece models of every setting, against the libraries that read them.

`pytest --full` holds the former to 50 MB (see test_tokenizers.py).
"""
import base64
import io
import json

import gguf
import pytest
import sentencepiece
import tiktoken
from tokenizers import BertWordPieceTokenizer, ByteLevelBPETokenizer, Tokenizer, models, pre_tokenizers

import corpus
import liblm
import pipelines
from holding import compare, compare_ids, texts, versions                       # noqa: F401  (a fixture)

VOCABULARIES = corpus.DATA / "tokenizers"
needs_data = pytest.mark.skipif(not VOCABULARIES.exists(), reason="../shared/data/tokenizers is absent")


def ids_of(tokenizer, **options):
    return lambda batch: [e.ids for e in tokenizer.encode_batch(batch, **options)]


def fast(tokenizer):
    """The same ids as encode_batch, without the places of the tokens in the text."""
    return lambda batch: [e.ids for e in tokenizer.encode_batch_fast(batch)]


# ---- files ----------------------------------------------------------------------------------------------

@needs_data
def test_gpt2_vocab_and_merges(texts):
    folder = VOCABULARIES / "gpt2"
    theirs = ByteLevelBPETokenizer(str(folder / "gpt2_vocab.json"), str(folder / "gpt2_merges.txt"))
    compare_ids("GPT-2", texts(), liblm.Tokenizer(folder / "gpt2_vocab.json").encode_batch, fast(theirs._tokenizer), versions("tokenizers"), theirs.to_str().encode())


@needs_data
def test_gpt2_as_tiktoken(texts, tmp_path):
    """The ranks of GPT-2 in a tiktoken file; the expression is the one that tiktoken publishes."""
    vocabulary = json.loads((VOCABULARIES / "gpt2/gpt2_vocab.json").read_text())
    byte_of = {c: b for b, c in enumerate(pipelines.byte_characters())}
    ranks = {bytes(byte_of[c] for c in token): i for token, i in vocabulary.items() if token != "<|endoftext|>"}
    path = tmp_path / "gpt2.tiktoken"
    path.write_bytes(b"".join(base64.b64encode(t) + b" %d\n" % i for t, i in sorted(ranks.items(), key=lambda r: r[1])))
    expression = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""
    theirs = tiktoken.Encoding("gpt2", pat_str=expression, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 50256})
    compare_ids("GPT-2 as tiktoken file", texts(), liblm.Tokenizer(path).encode_batch, lambda batch: theirs.encode_ordinary_batch(batch, num_threads=1),
                versions("tiktoken"), path.read_bytes(), expression.encode())


@needs_data
def test_koelectra_vocab_txt(texts):
    path = VOCABULARIES / "koelectra/vocab.txt"
    theirs = BertWordPieceTokenizer(str(path), lowercase=False)
    theirs._tokenizer.encode_special_tokens = True
    ours = liblm.Tokenizer(path)
    compare_ids("KoELECTRA", texts(), lambda b: ours.encode_batch(b, liblm.SPECIAL), fast(theirs._tokenizer), versions("tokenizers"), theirs.to_str().encode())


@needs_data
@pytest.mark.parametrize("name", ["llama2/tokenizer.model", "t5/sentencepiece.model", "llama2/tokenizer.bin"])
def test_published_sentencepiece(name, texts):
    model = "llama2/tokenizer.model" if name.endswith(".bin") else name
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(VOCABULARIES / model))
    compare_ids(name, texts(), liblm.Tokenizer(VOCABULARIES / name).encode_batch, lambda batch: theirs.encode(batch, num_threads=1), versions("sentencepiece"),
                (VOCABULARIES / model).read_bytes())


# ---- GGUF -------------------------------------------------------------------------------------------------

def gguf_vocabulary(name):
    fields = gguf.GGUFReader(VOCABULARIES / f"gguf_vocab/ggml-vocab-{name}.gguf").fields
    return {key: fields[f"tokenizer.ggml.{key}"].contents() for key in ("tokens", "merges") if f"tokenizer.ggml.{key}" in fields}


def byte_bpe(name, pre_tokenizer):
    vocabulary = gguf_vocabulary(name)
    tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate(vocabulary["tokens"])}, [tuple(m.split(" ")) for m in vocabulary["merges"]]))
    tokenizer.pre_tokenizer = pre_tokenizer
    return tokenizer


def bge(name, _):
    """llama.cpp marks the beginning of a word instead of its continuation."""
    tokens = [t if t.startswith("[") and t.endswith("]") else t[1:] if t.startswith("▁") else "##" + t for t in gguf_vocabulary(name)["tokens"]]
    return BertWordPieceTokenizer({t: i for i, t in enumerate(tokens)})


@needs_data
@pytest.mark.parametrize("name, make, pre_tokenizer", [
    ("gpt-2", byte_bpe, pipelines.gpt2_bytes()),
    ("starcoder", byte_bpe, pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pipelines.gpt2_bytes()])),
    ("falcon", byte_bpe, pre_tokenizers.Sequence([pre_tokenizers.Punctuation("contiguous"), pipelines.gpt2_bytes(), pre_tokenizers.Digits(False),
                                                  pipelines.split("[0-9][0-9][0-9]")])),
    ("bert-bge", bge, None),
], ids=lambda v: v if isinstance(v, str) else "")
def test_gguf(name, make, pre_tokenizer, texts):
    ours = liblm.Tokenizer(VOCABULARIES / f"gguf_vocab/ggml-vocab-{name}.gguf")
    compare(texts()[::4], ours.encode, ids_of(make(name, pre_tokenizer), add_special_tokens=False))


@needs_data
@pytest.mark.parametrize("name", ["llama-spm", "phi-3"])
def test_gguf_sentencepiece(name, texts):
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(VOCABULARIES / "llama2/tokenizer.model"))
    ours = liblm.Tokenizer(VOCABULARIES / f"gguf_vocab/ggml-vocab-{name}.gguf")
    added = ["<|"] if name == "phi-3" else []              # its own added tokens stand in no text without these
    compare([t for t in texts()[::4] if not any(a in t for a in added)], ours.encode, theirs.encode)


# ---- SentencePiece: every setting ---------------------------------------------------------------------------

SETTINGS = {
    "plain": {},
    "no_prefix": dict(add_dummy_prefix=False),
    "all_spaces": dict(remove_extra_whitespaces=False, normalization_rule_name="identity"),
    "no_prefix_all_spaces": dict(add_dummy_prefix=False, remove_extra_whitespaces=False),
    "bytes": dict(byte_fallback=True, character_coverage=0.98),
    "bytes_identity": dict(byte_fallback=True, character_coverage=0.98, normalization_rule_name="identity", remove_extra_whitespaces=False),
    "folded": dict(normalization_rule_name="nmt_nfkc_cf"),
    "digits": dict(split_digits=True),
    "symbols": dict(user_defined_symbols=["<sep>", "<cls>", "대한민국", "<sep><sep>"], remove_extra_whitespaces=False),
    "symbols_squeezed": dict(user_defined_symbols=["<sep>", "<cls>", "대한민국"]),
    "symbols_no_prefix": dict(user_defined_symbols=["<sep>", "..."], add_dummy_prefix=False, byte_fallback=True, character_coverage=0.98),
    "controls": dict(control_symbols=["<ctl>"], bos_id=-1, pad_id=3),
}


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_sentencepiece(kind, settings, tmp_path):
    options = SETTINGS[settings]
    tokens = options.get("user_defined_symbols", []) + options.get("control_symbols", []) + ["<s>", "<unk>"]
    read = corpus.mixed(60_000, tokens=tokens)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(pipelines.material(natural=True)), model_writer=model, model_type=kind,
                                             vocab_size=2200 if kind == "unigram" else 1800, hard_vocab_limit=False, minloglevel=2, num_threads=1, **options)
    path = tmp_path / "tokenizer.model"
    path.write_bytes(model.getvalue())
    theirs = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    ours = liblm.Tokenizer(path)
    compare(read, ours.encode, theirs.encode)
    known = [t for t in read if theirs.unk_id() not in theirs.encode(t)]     # theirs writes " ⁇ " for the unknown token
    compare(known, lambda t: ours.decode(theirs.encode(t)), lambda batch: theirs.decode(theirs.encode(batch)))
