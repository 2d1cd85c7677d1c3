"""Trained vocabularies against the libraries that users know: byte-level BPE and WordPiece against the
trainers of `tokenizers`, SentencePiece's kinds against `sentencepiece`; and every trained file opens there
with the same ids.
"""
import base64
import itertools
import json
import random
import subprocess
import unicodedata

import pytest
import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from conftest import ROOT

KINDS = ["bpe", "wordpiece", "sentencepiece-bpe", "unigram"]
ACTS = ROOT / "../shared/data/law_ko/acts.jsonl.zst"
SIZE = 3000 if ACTS.exists() else 1200           # what the text is enough for


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """(training file, held-out lines): some of the Korean acts where they are, and the examples."""
    texts = [(ROOT / f"examples/text/{name}.txt").read_text() for name in ("en", "ko")]
    if ACTS.exists():
        head = subprocess.run(f"zstdcat {ACTS} | head -n 25", shell=True, capture_output=True, check=True).stdout
        texts += [json.loads(line)["text"] for line in head.splitlines()]
    lines = [line for text in texts for line in text.splitlines() if line.strip()]
    random.Random(1).shuffle(lines)
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    path.write_text("".join(line + "\n" for line in lines[len(lines) // 5:]))
    return path, lines[:len(lines) // 5]


@pytest.fixture(scope="session")
def train(malmoi, tmp_path_factory):
    """train(kind, file, size, ...): the folder of a tokenizer."""
    def trained(kind, path, size, *options):
        folder = tmp_path_factory.mktemp(kind)
        malmoi("tokenizer", "train", "--kind", kind, "--data", path, "--vocab-size", size, "--out", folder, *options)
        return folder
    return trained


def document(folder):
    return json.loads((folder / "tokenizer.json").read_text())


def ours(malmoi, folder, text, tmp_path):
    (tmp_path / "text").write_text(text)
    return malmoi("tokenizer", "encode", folder, "--file", tmp_path / "text", "--json", "--no-bos").json["ids"]


# ---- every kind opens in the libraries with the same ids ----

AWKWARD = "  two  spaces, a\ttab;  ｆｕｌｌ width ① 한글 (NFD) 🙂 <unk> [UNK] 王 "


@pytest.mark.parametrize("options", [(), ("--normalizer", "nfkc"), ("--normalizer", "none")], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_same_ids_in_the_libraries(malmoi, corpus, train, tmp_path, kind, options):
    path, held_out = corpus
    folder = train(kind, path, SIZE, *options)
    library = Tokenizer.from_file(str(folder / "tokenizer.json"))
    transformer = PreTrainedTokenizerFast.from_pretrained(folder)
    for text in [*held_out[:200], AWKWARD]:
        expected = library.encode(text, add_special_tokens=False).ids
        assert transformer(text, add_special_tokens=False).input_ids == expected
    text = " ".join([*held_out[:300]])
    assert ours(malmoi, folder, text, tmp_path) == library.encode(text, add_special_tokens=False).ids


# ---- tokenizers ----

@pytest.mark.parametrize("options, settings", [
    ((), {}),
    (("--max-token-length", 6), {"max_token_length": 6}),
    (("--min-frequency", 20, "--no-initial-alphabet"), {"min_frequency": 20, "initial_alphabet": []}),
    (("--limit-alphabet", 60, "--no-initial-alphabet"), {"limit_alphabet": 60, "initial_alphabet": []}),
    (("--alphabet", "zq", "--no-initial-alphabet"), {"initial_alphabet": ["z", "q"]}),
], ids=str)
def test_byte_level_merges_are_those_of_tokenizers(corpus, train, options, settings):
    path, _ = corpus
    mine = document(train("bpe", path, SIZE, *options))["model"]
    reference = Tokenizer(models.BPE())
    reference.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    reference.train([str(path)], trainers.BpeTrainer(
        vocab_size=SIZE, special_tokens=["<|endoftext|>"], show_progress=False,
        **{"min_frequency": 2, "initial_alphabet": pre_tokenizers.ByteLevel.alphabet(), **settings}))
    theirs = json.loads(reference.to_str())["model"]
    assert [tuple(m) for m in mine["merges"]] == [tuple(m) for m in theirs["merges"]]
    assert mine["vocab"] == theirs["vocab"]


def train_word_piece(lines, size, **settings):
    reference = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    reference.normalizer = normalizers.BertNormalizer(lowercase=False)
    reference.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    reference.train_from_iterator(lines, trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False, **settings))
    return reference.get_vocab()


def words_without_ties(seed, merges):
    """Words whose first merges are all decided by frequency, as plain training on them finds: {word: count}."""
    rng = random.Random(seed)
    while True:
        words = {"".join(rng.choices("abcd한글", k=rng.randint(2, 5))): rng.randint(100, 9999) for _ in range(40)}
        split = {w: (w[0], *("##" + c for c in w[1:])) for w in words}
        for _ in range(merges):
            pairs = {}
            for word, symbols in split.items():
                for pair in itertools.pairwise(symbols):
                    pairs[pair] = pairs.get(pair, 0) + words[word]
            ranked = sorted(pairs.values(), reverse=True)
            if len(ranked) < 2 or ranked[0] == ranked[1]:
                break
            left, right = best = max(pairs, key=pairs.get)
            for word, symbols in split.items():
                out, i = [], 0
                while i < len(symbols):
                    joined = symbols[i:i + 2] == best
                    out.append(left + right[2:] if joined else symbols[i])
                    i += 1 + joined
                split[word] = tuple(out)
        else:
            return words


@pytest.mark.parametrize("seed", range(3))
def test_word_piece_vocabulary_is_that_of_tokenizers(train, tmp_path, seed):
    """The library numbers "##" letters in the order of a hash table, so that its merges of equally frequent
    pairs differ from run to run; where frequency alone decides, the vocabularies are one set."""
    merges = 15
    words = words_without_ties(seed, merges)
    lines = [word + "\n" for word, count in words.items() for _ in range(count)]
    (tmp_path / "words.txt").write_text("".join(lines))
    letters = {c for w in words for c in w[:1]} | {"##" + c for w in words for c in w[1:]} | {c for w in words for c in w}
    size = 5 + len(letters) + merges
    mine = document(train("wordpiece", tmp_path / "words.txt", size))["model"]["vocab"]
    assert set(mine) == set(train_word_piece(lines, size))
    assert len(mine) == size


def test_word_piece_of_a_corpus_agrees_with_tokenizers_as_it_does_with_itself(corpus, train):
    """On text with ties: no further from the library than the library's own runs are from each other."""
    path, _ = corpus
    lines = path.read_text().splitlines(keepends=True)
    mine = set(document(train("wordpiece", path, SIZE))["model"]["vocab"])
    runs = [set(train_word_piece(lines, SIZE)) for _ in range(3)]
    between = max(len(a ^ b) for a, b in itertools.combinations(runs, 2))
    assert min(len(mine ^ run) for run in runs) <= 1.5 * between + 10       # three runs do not show the whole spread


# ---- sentencepiece ----

def tokens_per_character(encode, lines):
    return sum(len(ids) for ids in encode(lines)) / sum(map(len, lines))


@pytest.mark.skipif(not ACTS.exists(), reason="the Korean acts are absent, and the examples are too short to learn from")
@pytest.mark.parametrize("kind, at_most", [("unigram", 1.0), ("sentencepiece-bpe", 1.01)])
def test_no_more_tokens_than_sentencepiece(corpus, train, tmp_path, kind, at_most):
    """On held-out lines.  BPE has nothing to win but ties: there a hundredth is allowed."""
    path, held_out = corpus
    sentencepiece.SentencePieceTrainer.train(
        input=str(path), model_prefix=str(tmp_path / "m"), vocab_size=SIZE, model_type="unigram" if kind == "unigram" else "bpe",
        character_coverage=0.9995, byte_fallback=True, normalization_rule_name="identity", num_threads=2, minloglevel=2)
    reference = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "m.model"))
    mine = Tokenizer.from_file(str(train(kind, path, SIZE, "--normalizer", "none") / "tokenizer.json"))
    ids = lambda lines: [e.ids for e in mine.encode_batch(lines, add_special_tokens=False)]
    assert tokens_per_character(ids, held_out) <= at_most * tokens_per_character(reference.encode, held_out)


# ---- threads, rows ----

@pytest.mark.parametrize("kind", KINDS)
def test_threads_and_rows_do_not_matter(corpus, train, tmp_path, kind):
    path, _ = corpus
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": line}, ensure_ascii=False) + "\n" for line in path.read_text().splitlines(keepends=True)))
    one = document(train(kind, path, SIZE, "--threads", 1))
    assert document(train(kind, path, SIZE, "--threads", 3)) == one
    assert document(train(kind, rows, SIZE, "--threads", 2)) == one


# ---- bad input ----

@pytest.mark.parametrize("options, said", [
    (("--vocab-size", 20), "need at least"),
    (("--character-coverage", 0), "character coverage"),
    (("--character-coverage", 2), "character-coverage"),
    (("--pattern", "(ab"), "(ab"),
    (("--special", "<x>,<x>"), "stands there twice"),
    (("--normalizer", "nfx"), "nfx"),
    (("--kind", "morse"), "morse"),
])
def test_bad_settings_are_one_clear_line(malmoi, corpus, tmp_path, options, said):
    done = malmoi("tokenizer", "train", "--data", corpus[0], "--out", tmp_path / "t", "--quiet", *options, fails=True)
    assert said in done.err and len(done.err.strip().splitlines()) == 1
    assert not (tmp_path / "t").exists()


def test_no_text(malmoi, tmp_path):
    (tmp_path / "empty").write_text("")
    for kind in KINDS:
        done = malmoi("tokenizer", "train", "--kind", kind, "--data", tmp_path / "empty", "--out", tmp_path / "t", fails=True)
        assert "there is no text" in done.err


# ---- SentencePiece's normalisation ----

@pytest.mark.parametrize("rule", ["nmt_nfkc", "nfkc"])
def test_character_map_is_that_of_sentencepiece(corpus, train, rule):
    """Every character that the normal forms of Unicode 12.0 know, and syllables and accents taken apart.
    The map is tried in SentencePiece itself, in the place of its own."""
    steps = document(train("unigram", corpus[0], SIZE, "--normalizer", rule))["normalizer"]["normalizers"]
    made = base64.b64decode(next(s for s in steps if s["type"] == "Precompiled")["precompiled_charsmap"])
    theirs = sentencepiece.SentencePieceNormalizer(rule_name=rule, add_dummy_prefix=False, remove_extra_whitespaces=False)
    spec = sentencepiece_model_pb2.ModelProto.FromString(theirs.serialized_model_proto())
    spec.normalizer_spec.precompiled_charsmap = made
    mine = sentencepiece.SentencePieceNormalizer(model_proto=spec.SerializeToString(), add_dummy_prefix=False, remove_extra_whitespaces=False)
    old = unicodedata.ucd_3_2_0                   # its characters are older than 12.0 without doubt
    known = [chr(c) for c in range(1, 0x110000) if not 0xd800 <= c < 0xe000 and old.category(chr(c)) != "Cn"]
    apart = [unicodedata.normalize("NFD", c) for c in known] + ["ㄱㅏㄴ", "ｶﾞ", "ﾡￂ", "A\u0302\u0341", "각\u11a8", "ᄒㅏﾤ"]
    for text in [*known, *apart]:
        assert mine.normalize(text) == theirs.normalize(text), ascii(text)
