"""Training vocabularies on the Korean acts (../shared/data/law_ko), byte-level BPE and Unigram, against the
libraries that make them.  Without the acts there is nothing to measure."""
import json
import subprocess
import sys

from contestants import MALMOI, ROOT, WORK, Contestant, Work

ACTS, DECREES = (ROOT / f"../shared/data/law_ko/{name}.jsonl.zst" for name in ("acts", "decrees_rules"))
TEXT = WORK / "acts.txt"
SIZE = 32000
OPTIONS = {"bpe": [], "unigram": ["--no-byte-fallback"]}       # sentencepiece has none unless asked
LIBRARY = {"bpe": "tokenizers", "unigram": "sentencepiece"}


def rows(path, most=None):
    packed = subprocess.Popen(["zstdcat", path], stdout=subprocess.PIPE, text=True)
    for i, line in enumerate(packed.stdout):
        if i == most:
            break
        yield json.loads(line)["text"]
    packed.kill()
    packed.wait()


def write_text():
    """The acts as one text file, made once."""
    if not TEXT.exists():
        WORK.mkdir(parents=True, exist_ok=True)
        unfinished = TEXT.with_suffix(".part")
        unfinished.write_text("".join(text + "\n" for text in rows(ACTS)))
        unfinished.rename(TEXT)


def same_merges(mine, peer):
    ours, theirs = (json.loads(path.read_text())["model"]["merges"] for path in (mine / "tokenizer.json", peer.with_suffix(".json")))
    same = [tuple(m) for m in ours] == [tuple(m) for m in theirs]
    return f"{len(ours)} merges, {'all those of the peer (reached' if same else 'not those of the peer (LOST'}: identical)."


def fewer_tokens(mine, peer):
    """Tokens per character of decrees and rules, of which the training has seen none."""
    import sentencepiece
    from tokenizers import Tokenizer
    lines = [line for text in rows(DECREES, 100) for line in text.splitlines() if line.strip()]
    characters = sum(map(len, lines))
    ours = sum(len(e.ids) for e in Tokenizer.from_file(str(mine / "tokenizer.json")).encode_batch(lines, add_special_tokens=False))
    theirs = sum(map(len, sentencepiece.SentencePieceProcessor(model_file=str(peer.with_suffix(".model"))).encode(lines)))
    return (f"Tokens per character of other law text: {ours / characters:.4f}, of the peer {theirs / characters:.4f} "
            f"({'reached' if ours <= theirs else 'LOST'}: no more).")


def work(kind, title, speed_wanted, quality):
    mine, peer = WORK / f"{kind}_malmoi", WORK / f"{kind}_peer"
    spent = {"malmoi": [], LIBRARY[kind]: []}

    def contestant(name, command):
        def milliseconds(run):
            spent[name].append(run.cpu_seconds)
            return 1000 * run.seconds
        return Contestant(name, command, milliseconds, write_text)

    def remarks(*_):
        cpu = ", ".join(f"{name} {sum(s) / len(s):.1f} s" for name, s in spent.items() if s)
        return [f"Processor time, mean: {cpu}."] + ([quality(mine, peer)] if spent[LIBRARY[kind]] else [])
    return Work(
        key=kind, title=title, unit="ms", more_is_better=False, speed_wanted=speed_wanted, memory_wanted=0.5,
        contestants=[
            contestant("malmoi", [MALMOI, "tokenizer", "train", "--kind", kind, "--data", TEXT, "--vocab-size", str(SIZE), "--out", mine,
                                  "--quiet", *OPTIONS[kind]]),
            contestant(LIBRARY[kind], [sys.executable, ROOT / "bench/peer_vocabulary.py", kind, str(SIZE), TEXT, peer])],
        at_limit=lambda limit: 1000 * limit, remarks=remarks)


WORKS = [
    work("bpe", f"Training byte-level BPE, {SIZE} tokens, on the Korean acts (100 MB)", 3.0, same_merges),
    work("unigram", f"Training Unigram, {SIZE} tokens, on the Korean acts (100 MB)", 2.0, fewer_tokens),
] if ACTS.exists() else []
"""Writes the tokenizers and the texts that encoding is measured with, once.

    vocabularies.py FOLDER

GPT-2 and KoELECTRA are the published vocabularies as tokenizer.json, LLaMA-2 and T5 the published
SentencePiece models; the others are published pipelines (tests/interop/pipelines.py) around 32000 tokens learnt here
from the texts themselves.  English is tinyshakespeare four times over, Korean six megabytes of acts.
"""
import json
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/interop"))

import pipelines
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

DATA = ROOT / "../shared/data"
KOREAN_BYTES = 6_000_000
LEARNT = {"llama3": "llama3", "qwen2": "qwen2", "gpt4o": "gpt4o", "deepseek": "deepseek_v3", "bert": "bert_uncased"}


def korean():
    unpack = subprocess.Popen(["zstd", "-dcq", DATA / "law_ko/acts.jsonl.zst"], stdout=subprocess.PIPE)
    texts, size = [], 0
    with unpack.stdout as stream:
        for i, record in enumerate(stream):
            if i % 8:                                # a few acts of every kind
                continue
            texts.append(json.loads(record)["text"] + "\n")
            size += len(texts[-1].encode())
            if size > KOREAN_BYTES:
                unpack.kill()
                break
    return "".join(texts)


def english():
    return (DATA / "text/tinyshakespeare.txt").read_text() * 4


def gpt2():
    source = DATA / "tokenizers/gpt2"
    vocab = json.loads((source / "gpt2_vocab.json").read_text())
    merges = [tuple(line.split(" ")) for line in (source / "gpt2_merges.txt").read_text().split("\n")[1:] if line]
    tokenizer = Tokenizer(models.BPE(vocab, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def gemma():
    """Gemma's pipeline; like the published vocabulary, this one has no token that goes on behind a word."""
    def finish(tokenizer):
        tokenizer.normalizer = normalizers.Replace(" ", "▁")
        tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    return pipelines.with_bytes(["<pad>", "<eos>", "<bos>", "<unk>"], pipelines.words_of_marks(), finish)


def koelectra():
    words = (DATA / "tokenizers/koelectra/vocab.txt").read_text().split("\n")
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words) if word}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    return tokenizer


def main():
    folder = pathlib.Path(sys.argv[1])
    texts = {"english": english, "korean": korean}
    for name, make in texts.items():
        if not (folder / f"{name}.txt").exists():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}.txt").write_text(make())
    pipelines.SIZE = 32000
    pipelines.material = lambda natural=False: [line for name in texts for line in (folder / f"{name}.txt").read_text().split("\n\n")]
    makers = {"gpt2": gpt2, "gemma": gemma, "koelectra": koelectra, **{name: pipelines.PIPELINES[key] for name, key in LEARNT.items()}}
    for name, make in makers.items():
        if (folder / name / "tokenizer.json").exists():
            continue
        print(f"{name}: making the vocabulary", file=sys.stderr)
        (folder / name).mkdir(exist_ok=True)
        make().save(str(folder / name / "tokenizer.json"))
    for name, file in (("llama2", "llama2/tokenizer.model"), ("t5", "t5/sentencepiece.model")):
        (folder / f"{name}_sp").mkdir(exist_ok=True)
        shutil.copyfile(DATA / "tokenizers" / file, folder / f"{name}_sp/tokenizer.model")


if __name__ == "__main__":
    main()
