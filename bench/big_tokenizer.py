"""A tokenizer.json of the size of LLaMA-3's: 128,000 tokens, 280,147 merges, 256 special tokens.

    big_tokenizer.py FILE [--pairs]

The tokens are the parts of made-up words, spelled as bytes are; as in files that were made from a list of
tokens, a merge is any way to put a token together from two others.  --pairs writes the merges as
["a", "b"], as the Hugging Face library does since version 0.20, and not as "a b".
"""
import argparse
import json
import pathlib
import random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

TOKENS, MERGES, SPECIALS = 128_000, 280_147, 256
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
           r"|\s*[\r\n]+|\s+(?!\S)|\s+")
SPACE, SYLLABLES = "\u0120", ("\u00ea\u00b0\u0122", "\u00eb\u0124\u013a", "\u00ec\u013f\u00b4")   # spelled bytes


def make_tokens(draw):
    """The bytes, "hello" and its parts, then all parts of one word after the other."""
    tokens = dict.fromkeys(sorted(pre_tokenizers.ByteLevel.alphabet()))
    words = ["hello"]
    while len(tokens) < TOKENS:
        word = words.pop() if words else SPACE + "".join(draw.choices("etaoinshrdlucmfwypvbgkqjxz", k=draw.randint(3, 9)))
        if draw.random() < 0.1:
            word += "".join(draw.choices(SYLLABLES, k=2))
        for n in range(2, len(word) + 1):
            for at in range(len(word) - n + 1):
                tokens.setdefault(word[at:at + n])
    return list(tokens)[:TOKENS]


def make_merges(draw, ids):
    """For each token one way to make it; of the other ways as many as are wanted; in the order of the tokens."""
    ways = [[(token[:at], token[at:]) for at in range(1, len(token)) if token[:at] in ids and token[at:] in ids]
            for token in ids]
    others = [pair for pairs in ways for pair in pairs[1:]]
    kept = set(draw.sample(others, MERGES - sum(bool(pairs) for pairs in ways)))
    return [pair for pairs in ways for i, pair in enumerate(pairs) if i == 0 or pair in kept]


def make(path, pairs=False):
    draw = random.Random(0)
    ids = {token: i for i, token in enumerate(make_tokens(draw))}
    tokenizer = Tokenizer(models.BPE(ids, make_merges(draw, ids), ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([f"<|special_{i}|>" for i in range(SPECIALS)])
    document = json.loads(tokenizer.to_str())
    if not pairs:
        document["model"]["merges"] = [" ".join(pair) if isinstance(pair, list) else pair for pair in document["model"]["merges"]]
    path.write_text(json.dumps(document, ensure_ascii=False, indent=2))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--pairs", action="store_true")
    arguments = parser.parse_args()
    make(arguments.file, arguments.pairs)
