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
