"""Encodes a text with one library, on one thread, and says how long that took.

    peer_encode.py malmoi|tokenizers|tiktoken|sentencepiece FOLDER TEXT..

At most MOST bytes of each text are taken.  It goes in as documents of a few thousand characters, cut at blank lines; loading, reading and turning
ids into something comparable are not counted.  tokenizers gets batches by encode_batch_fast, which is its
fastest call; the others one document after another.  Prints {"peak_mib", TEXT: {"bytes", "seconds" (of CPU), "ids" (a
hash)}}; the peak is of the whole process, Python included.
"""
import array
import hashlib
import json
import os
import pathlib
import resource
import sys
import time

os.environ.update(TOKENIZERS_PARALLELISM="false", RAYON_NUM_THREADS="1", OMP_NUM_THREADS="1")
ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCUMENT, BATCH, MOST = 4000, 64, 3_000_000


def documents(path):
    text, begin = path.read_bytes()[:MOST].decode(errors="ignore"), 0
    while begin < len(text):
        end = text.find("\n\n", begin + DOCUMENT)
        end = len(text) if end < 0 else end + 2
        yield text[begin:end]
        begin = end


def malmoi(folder):
    import ctypes
    sys.path.insert(0, str(ROOT / "tests/interop"))
    import liblm
    tokenizer = liblm.Tokenizer(folder)

    def encode(texts):
        for text in texts:
            data = text.encode()
            start = time.process_time()
            tokenizer.ids.len = 0
            tokenizer.check(tokenizer.lib.lm_encoder_run(tokenizer.encoder, ctypes.byref(tokenizer.ids), data, len(data), 0,
                                                         ctypes.byref(tokenizer.err)))
            seconds = time.process_time() - start
            yield seconds, array.array("i", ctypes.string_at(tokenizer.ids.data, 4 * tokenizer.ids.len))
    return encode


def tokenizers(folder):
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def encode(texts):
        for i in range(0, len(texts), BATCH):
            start = time.process_time()
            done = tokenizer.encode_batch_fast(texts[i:i + BATCH], add_special_tokens=False)
            seconds = time.process_time() - start
            for encoding in done:
                yield seconds, array.array("i", encoding.ids)
                seconds = 0
    return encode


def spelled_bytes():
    """The byte that each character of a byte-level vocabulary spells."""
    plain = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
    rest = [b for b in range(256) if b not in plain]
    return {chr(b): b for b in plain} | {chr(0x100 + i): b for i, b in enumerate(rest)}


def tiktoken(folder):
    import tiktoken
    file = json.loads((folder / "tokenizer.json").read_text())
    steps = file["pre_tokenizer"].get("pretokenizers", [file["pre_tokenizer"]])
    pattern = steps[0].get("pattern", {}).get("Regex") or r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    spelled, special = spelled_bytes(), {t["content"] for t in file["added_tokens"]}
    ranks = {bytes(map(spelled.get, t)): i for t, i in file["model"]["vocab"].items() if t not in special and t != "<|endoftext|>"}
    tokenizer = tiktoken.Encoding("bench", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    return one_by_one(tokenizer.encode_ordinary)


def sentencepiece(folder):
    import sentencepiece
    return one_by_one(sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model")).encode)


def one_by_one(call):
    def encode(texts):
        for text in texts:
            start = time.process_time()
            ids = call(text)
            yield time.process_time() - start, array.array("i", ids)
    return encode


def measure(encode, path):
    texts = list(documents(path))
    for _ in encode(texts[:4]):                          # whatever is made at the first call
        pass
    digest, seconds = hashlib.sha256(), 0.0
    for took, ids in encode(texts):
        seconds += took
        digest.update(ids.tobytes())
    return {"bytes": sum(len(text.encode()) for text in texts), "seconds": seconds, "ids": digest.hexdigest()}


def main():
    name, folder, paths = sys.argv[1], pathlib.Path(sys.argv[2]), map(pathlib.Path, sys.argv[3:])
    encode = {"malmoi": malmoi, "tokenizers": tokenizers, "tiktoken": tiktoken, "sentencepiece": sentencepiece}[name](folder)
    figures = {path.stem: measure(encode, path) for path in paths}
    print(json.dumps(figures | {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


if __name__ == "__main__":
    main()
