"""Writes the tokenizers and the texts that encoding is measured with, once.

    encoding_inputs.py FOLDER

GPT-2, LLaMA-2, T5 and KoELECTRA are the published vocabularies as tokenizer.json, LLaMA-2 and T5 also the
published SentencePiece models ("_sp"); the others are published pipelines (tests/interop/pipelines.py) around 32000 tokens learnt here
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
    lines = (source / "gpt2_merges.txt").read_text().split("\n")            # some copies have a heading
    merges = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]
    tokenizer = Tokenizer(models.BPE(vocab, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def gemma():
    """Gemma's pipeline; as in the published vocabulary no token goes on behind a word, nor joins a newline to anything else."""
    def finish(tokenizer):
        tokenizer.normalizer = normalizers.Replace(" ", "▁")
        tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    learning = Tokenizer(models.BPE(unk_token="<unk>"))
    learning.normalizer = normalizers.Replace(" ", "▁")
    learning.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split("\n", "contiguous"), pre_tokenizers.Split("▁", "merged_with_next")])
    return pipelines.with_bytes(["<pad>", "<eos>", "<bos>", "<unk>"], learning, finish)


def koelectra():
    words = (DATA / "tokenizers/koelectra/vocab.txt").read_text().split("\n")
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words) if word}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    return tokenizer


def sentencepiece_model(name):
    from sentencepiece import sentencepiece_model_pb2
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString((DATA / "tokenizers" / name).read_bytes())
    return model


def llama2():
    """The published pieces in the published pipeline; a merge is any way to put a piece together, in the order of ids."""
    pieces = {piece.piece: i for i, piece in enumerate(sentencepiece_model("llama2/tokenizer.model").pieces)}
    ways = lambda piece: ((piece[:at], piece[at:]) for at in range(1, len(piece)) if piece[:at] in pieces and piece[at:] in pieces)
    merges = [pair for piece in pieces for pair in sorted(ways(piece), key=lambda pair: (pieces[pair[0]], pieces[pair[1]]))]
    tokenizer = Tokenizer(models.BPE(pieces, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    return tokenizer


def t5():
    model = sentencepiece_model("t5/sentencepiece.model")
    tokenizer = Tokenizer(models.Unigram([(piece.piece, piece.score) for piece in model.pieces], unk_id=2))
    tokenizer.normalizer = normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace("▁", "always")])
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
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
    makers = {"gpt2": gpt2, "llama2": llama2, "t5": t5, "gemma": gemma, "koelectra": koelectra,
              **{name: pipelines.PIPELINES[key] for name, key in LEARNT.items()}}
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
