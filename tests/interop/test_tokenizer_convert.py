"""Converted and trained tokenizers in the libraries whose formats they have: the same ids."""
import io
import json
import unicodedata

import gguf
import pytest
import sentencepiece
import tiktoken
import tiktoken.load
from tokenizers import Tokenizer
from transformers import AutoTokenizer, BertTokenizer

import liblm
import pipelines
from conftest import ROOT
from holding import first_differences

EXAMPLES = [ROOT / f"examples/text/{name}.txt" for name in ("en", "ko")]
SIZE = 1200
SENTENCEPIECE = ["sentencepiece-bpe", "unigram"]
KINDS = ["bpe", "wordpiece", *SENTENCEPIECE]


@pytest.fixture(scope="module")
def lines():
    """Korean and English lines, as people type them, and Hangul in conjoining jamo."""
    written = [line for path in EXAMPLES for line in path.read_text().splitlines()] + pipelines.material(natural=True)[:2000]
    apart = [unicodedata.normalize("NFD", line) for line in written[::20]]
    return [*written, *apart, "  two  spaces ", "a\ttab", "①½ ｆｕｌｌ ㈜ ㅋㅋㅋ", "🙂 \u200b zero"]


@pytest.fixture(scope="module")
def trained(malmoi, tmp_path_factory):
    """trained(kind, ...): the folder of a tokenizer that malmoi trained, made once."""
    made = {}

    def folder(kind, *options):
        key = (kind, *options)
        if key not in made:
            made[key] = tmp_path_factory.mktemp(kind)
            malmoi("tokenizer", "train", "--kind", kind, "--data", ",".join(map(str, EXAMPLES)), "--vocab-size", SIZE, "--out", made[key], *options)
        return made[key]
    return folder


def same(lines, ours, theirs, flags=0):
    message = first_differences(lines, [ours.encode(line, flags) for line in lines], [list(theirs(line)) for line in lines])
    assert not message, message


def convert(malmoi, given, path, form, *options):
    return malmoi("tokenizer", "convert", given, path, "--to", form, *options).err


# ---- what malmoi trains ----

@pytest.mark.parametrize("kind", KINDS)
def test_trained_opens_in_transformers(trained, kind, lines):
    folder = trained(kind)
    theirs = AutoTokenizer.from_pretrained(folder)
    same(lines, liblm.Tokenizer(folder), lambda line: theirs(line).input_ids, liblm.SPECIAL | liblm.ALLOW_SPECIAL)


@pytest.mark.parametrize("normalizer", ["nmt_nfkc", "nfkc", "none"])
@pytest.mark.parametrize("kind", SENTENCEPIECE)
def test_trained_opens_in_sentencepiece(malmoi, trained, tmp_path, kind, normalizer, lines):
    folder = trained(kind, "--normalizer", normalizer)
    convert(malmoi, folder, tmp_path / "t.model", "sentencepiece")
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "t.model"))
    same(lines, liblm.Tokenizer(folder), theirs.encode)
    same(lines, liblm.Tokenizer(tmp_path / "t.model"), theirs.encode)
    library = Tokenizer.from_file(str(folder / "tokenizer.json"))
    same(lines, liblm.Tokenizer(folder), lambda line: library.encode(line, add_special_tokens=False).ids)


@pytest.mark.parametrize("normalizer, composes", [("nmt_nfkc", True), ("nfkc", True), ("nfc", True), ("none", False)])
@pytest.mark.parametrize("kind", SENTENCEPIECE)
def test_hangul_composes_where_the_normaliser_says_so(trained, kind, normalizer, composes):
    ours = liblm.Tokenizer(trained(kind, "--normalizer", normalizer))
    for text in ["대한민국", "훈민정음은 백성을 가르치는 바른 소리", "값싼 닭"]:
        assert (ours.encode(text) == ours.encode(unicodedata.normalize("NFD", text))) == composes


# ---- tiktoken ----

def test_byte_level_as_tiktoken(malmoi, trained, tmp_path, lines):
    """The file holds the ranks; the note that comes with it says the rest."""
    folder = trained("bpe")
    note = convert(malmoi, folder, tmp_path / "t.tiktoken", "tiktoken")
    expression, specials = note.split("pat_str = ")[1].strip().split("; special_tokens = ")
    token, rank = specials.split(" ")
    theirs = tiktoken.Encoding("t", pat_str=expression, mergeable_ranks=tiktoken.load.load_tiktoken_bpe(str(tmp_path / "t.tiktoken")),
                               special_tokens={token: int(rank)})
    same(lines, liblm.Tokenizer(folder), theirs.encode_ordinary)


# ---- BERT ----

def test_word_piece_as_vocab_txt(malmoi, trained, tmp_path, lines):
    folder = trained("wordpiece")
    convert(malmoi, folder, tmp_path / "bert", "vocab.txt")
    theirs = BertTokenizer.from_pretrained(tmp_path / "bert")
    same(lines, liblm.Tokenizer(folder), lambda line: theirs(line).input_ids, liblm.SPECIAL)


# ---- SentencePiece ----

@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """model(kind, rule): the file of a model that SentencePiece trained."""
    def trained(kind, rule, **options):
        made, path = io.BytesIO(), tmp_path_factory.mktemp("sp") / "t.model"
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(pipelines.material(natural=True)), model_writer=made, model_type=kind,
                                                 vocab_size=2200, hard_vocab_limit=False, byte_fallback=True, character_coverage=0.98,
                                                 normalization_rule_name=rule, minloglevel=2, num_threads=1, **options)
        path.write_bytes(made.getvalue())
        return path
    return trained


@pytest.mark.parametrize("rule", ["identity", "nmt_nfkc"])
@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_sentencepiece_as_tokenizer_json(malmoi, model, tmp_path, kind, rule, lines):
    """What tokenizer.json says opens in both libraries; where a character map composes jamo, which they leave
    apart, the conversion says that something is lost."""
    given, folder = model(kind, rule), tmp_path / "folder"
    note = convert(malmoi, given, folder, "tokenizer.json", "--allow-loss")
    assert ("not lossless" in note) == (rule == "nmt_nfkc")
    ours, library = liblm.Tokenizer(folder), Tokenizer.from_file(str(folder / "tokenizer.json"))
    same(lines, ours, lambda line: library.encode(line, add_special_tokens=False).ids)
    theirs = AutoTokenizer.from_pretrained(folder)
    same(lines, ours, lambda line: theirs(line, add_special_tokens=False).input_ids, liblm.ALLOW_SPECIAL)
    first = sentencepiece.SentencePieceProcessor(model_file=str(given))
    same(lines, liblm.Tokenizer(given), first.encode)
    if kind == "bpe":                                    # of Unigram's near ties theirs decide in double precision, SentencePiece in single
        same([line for line in lines if unicodedata.is_normalized("NFC", line)], ours, first.encode)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_sentencepiece_and_back(malmoi, model, tmp_path, kind, lines):
    given = model(kind, "identity")
    convert(malmoi, given, tmp_path / "folder", "tokenizer.json")
    convert(malmoi, tmp_path / "folder", tmp_path / "again.model", "sentencepiece")
    first, again = (sentencepiece.SentencePieceProcessor(model_file=str(path)) for path in (given, tmp_path / "again.model"))
    same(lines, liblm.Tokenizer(tmp_path / "again.model"), again.encode)
    same(lines, liblm.Tokenizer(given), again.encode)
    assert [first.encode(line) for line in lines] == [again.encode(line) for line in lines]


# ---- GGUF ----

def vocabulary_of(path):
    fields = gguf.GGUFReader(path).fields
    return {key.removeprefix("tokenizer.ggml."): field.contents() for key, field in fields.items() if key.startswith("tokenizer.")}


def test_byte_level_as_gguf(malmoi, trained, tmp_path, lines):
    folder, path = trained("bpe"), tmp_path / "t.gguf"
    convert(malmoi, folder, path, "gguf")
    read, document = vocabulary_of(path), json.loads((folder / "tokenizer.json").read_text())["model"]
    assert (read["model"], read["pre"]) == ("gpt2", "gpt-2")
    assert {token: i for i, token in enumerate(read["tokens"])} == document["vocab"]
    assert [tuple(m.split(" ")) for m in read["merges"]] == [tuple(m) for m in document["merges"]]
    assert read["token_type"] == [3] + [1] * (SIZE - 1)
    library = Tokenizer.from_file(str(folder / "tokenizer.json"))
    same(lines, liblm.Tokenizer(path), lambda line: library.encode(line, add_special_tokens=False).ids)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_sentencepiece_as_gguf(malmoi, model, tmp_path, kind, lines):
    given, path = model(kind, "identity", remove_extra_whitespaces=False), tmp_path / "t.gguf"
    convert(malmoi, given, path, "gguf")
    theirs, read = sentencepiece.SentencePieceProcessor(model_file=str(given)), vocabulary_of(path)
    assert read["model"] == {"bpe": "llama", "unigram": "t5"}[kind]
    assert read["tokens"] == [theirs.id_to_piece(i) for i in range(len(theirs))]
    assert [read[f"{name}_token_id"] for name in ("bos", "eos", "unknown")] == [theirs.bos_id(), theirs.eos_id(), theirs.unk_id()]
    if kind == "unigram":
        assert read["scores"] == [theirs.get_score(i) for i in range(len(theirs))]
    same(lines, liblm.Tokenizer(path), theirs.encode)


def test_gguf_refuses_what_has_no_name(malmoi, trained, tmp_path):
    done = malmoi("tokenizer", "convert", trained("sentencepiece-bpe"), tmp_path / "t.gguf", fails=True)
    assert "llama.cpp neither normalises" in done.err and not (tmp_path / "t.gguf").exists()
