#!/usr/bin/env python3
"""Golden tokenizers: the pipelines of published models around tiny vocabularies, and what the reference
libraries make of some texts.  The vocabularies are learnt from examples/text alone.

    tools/golden/vocabularies.py [FOLDER]

A tokenizer that FOLDER already has is kept: only the expectations are computed anew.
"""
import io
import json
import sys

import sentencepiece
from tokenizers import BertWordPieceTokenizer, Tokenizer

from golden import ROOT, destination, write_manifest

sys.path.insert(0, str(ROOT / "tests/interop"))
import corpus                                            # noqa: E402
import pipelines                                         # noqa: E402

SEED = 20
PIPELINES = ["gpt2", "llama3", "qwen2", "gpt4", "gpt4o", "tekken", "deepseek_v3", "bloom", "falcon", "roberta", "clip", "gemma", "llama2", "mistral_v3",
             "bert_uncased", "bert_korean", "xlm_roberta", "word_level"]
SENTENCEPIECE = {
    "sp_bpe": dict(model_type="bpe", byte_fallback=True, character_coverage=0.99),
    "sp_unigram": dict(model_type="unigram", user_defined_symbols=["<sep>", "<sep><sep>"]),
    "sp_unigram_spaces": dict(model_type="unigram", remove_extra_whitespaces=False, add_dummy_prefix=False, byte_fallback=True, character_coverage=0.99),
}
# Rules of normalisation, few enough for a small map: from, to, in hexadecimal.
RULES = {"Ａ": "A", "ﬁ": "fi", "\t": " ", "\n": " ", "\u3000": " ", "\u00a0": " ", "½": "1⁄2", "e\u0301": "é", "\u1100\u1161": "가", "…": "..."}

LINES = [line for path in sorted(corpus.EXAMPLES.glob("*.txt")) for line in path.read_text().split("\n") if line]


def rules(folder):
    path = folder / "rules.tsv"
    path.write_text("".join("%s\t%s\n" % tuple(" ".join("%X" % ord(c) for c in side) for side in rule) for rule in RULES.items()))
    return path


def learn_sentencepiece(folder, **options):
    model, tsv = io.BytesIO(), rules(folder)
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(LINES), model_writer=model, vocab_size=700, hard_vocab_limit=False, minloglevel=2,
                                             num_threads=1, normalization_rule_tsv=str(tsv), **options)
    tsv.unlink()
    return model.getvalue()


def character_map(folder):
    model = pipelines.sentencepiece_model_pb2.ModelProto.FromString(learn_sentencepiece(folder, model_type="unigram"))
    return model.normalizer_spec.precompiled_charsmap


def make(folder):
    """The tokenizers that are not there yet."""
    pipelines.material = lambda natural=False: LINES
    pipelines.SIZE, pipelines.PIECES, pipelines.MOST_CHARACTERS = 340, 800, 120
    small = character_map(folder)
    pipelines.character_map = lambda: small
    for name in PIPELINES:
        path = folder / f"{name}.json"
        if not path.exists():
            document = json.loads(pipelines.PIPELINES[name]().to_str())
            path.write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n")
    for name, options in SENTENCEPIECE.items():
        path = folder / f"{name}.model"
        if not path.exists():
            path.write_bytes(learn_sentencepiece(folder, **options))
    if not (folder / "vocab.txt").exists():
        vocabulary = json.loads((folder / "bert_korean.json").read_text())["model"]["vocab"]
        (folder / "vocab.txt").write_text("".join(t + "\n" for t, _ in sorted(vocabulary.items(), key=lambda v: v[1])))


def texts(tokens):
    return [line[:40] for line in LINES[:1] + LINES[-2:]] + ["", " ", "\n", "  two  spaces  ", "１２３ half½ ﬁ…", "don't I'LL 12345"] + corpus.random_texts(600, SEED, tokens)


def of_tokenizer(tokenizer, tokens):
    """Per text: ids with special tokens and their text; where such tokens stand in it, also its ids as plain text."""
    read, out = texts(tokens), []
    for text in read:
        ids = tokenizer.encode(text).ids
        out.append({"text": text, "ids": ids})
        decoded = tokenizer.decode(ids, skip_special_tokens=False)
        if "\ufffd" not in decoded:                      # a text cut inside a character has no one decoding
            out[-1]["decoded"] = decoded
        if any(t in text for t in tokens):
            tokenizer.encode_special_tokens = True
            out[-1]["plain"] = tokenizer.encode(text, add_special_tokens=False).ids
            tokenizer.encode_special_tokens = False
    return out


def of_json(path):
    tokenizer, document = Tokenizer.from_file(str(path)), json.loads(path.read_text())
    out = of_tokenizer(tokenizer, [t["content"] for t in document["added_tokens"]])
    if document["model"]["type"] == "Unigram":           # the library finds special tokens among the pieces
        for case in out:
            case.pop("plain", None)
    return out


def of_sentencepiece(path):
    model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    return [{"text": t, "plain": model.encode(t)} | ({} if model.unk_id() in model.encode(t) else {"decoded_plain": model.decode(model.encode(t))})
            for t in texts(["<sep>", "<s>"])]


def of_vocab_txt(path):
    return of_tokenizer(BertWordPieceTokenizer(str(path), lowercase=True)._tokenizer, ["[MASK]"])


def main():
    folder = destination("tests/golden/token")
    make(folder)
    expected = {f"{n}.json": of_json(folder / f"{n}.json") for n in PIPELINES} | {f"{n}.model": of_sentencepiece(folder / f"{n}.model") for n in SENTENCEPIECE}
    expected["vocab.txt"] = of_vocab_txt(folder / "vocab.txt")
    lines = [json.dumps(name) + ": [\n" + ",\n".join(json.dumps(c, ensure_ascii=False, separators=(",", ":")) for c in cases) + "\n]" for name, cases in expected.items()]
    (folder / "expect.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    write_manifest(folder, __file__, SEED, libraries=("tokenizers", "sentencepiece"))


if __name__ == "__main__":
    main()
