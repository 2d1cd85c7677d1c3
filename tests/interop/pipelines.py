"""Tokenizers with the pipelines of published models, trained small by the reference library.

What is published in each model's tokenizer.json is the pipeline: expressions, normalisers, the flags of
added tokens.  Here they stand around vocabularies of about a thousand tokens, learnt in seconds.
"""
import functools
import io

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import corpus

SIZE, PIECES, MOST_CHARACTERS = 1200, 4000, 500     # of vocabularies; of those of Unigram, which wants every character
BYTES = [f"<0x{b:02X}>" for b in range(256)]
ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())

CASELESS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LLAMA3 = CASELESS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = CASELESS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
O200K = "|".join([r"[^\r\n\p{L}\p{N}]?" + UPPER + "*" + LOWER + "+" + CASELESS + "?",
                  r"[^\r\n\p{L}\p{N}]?" + UPPER + "+" + LOWER + "*" + CASELESS + "?",
                  r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"])
TEKKEN = "|".join([r"[^\r\n\p{L}\p{N}]?" + UPPER + "*" + LOWER + "+", r"[^\r\n\p{L}\p{N}]?" + UPPER + "+" + LOWER + "*",
                   r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"])
DEEPSEEK = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+""")
BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"
CLIP = r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""


def byte_characters():
    """The character that spells each byte, as GPT-2 has it."""
    plain = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
    other = iter(range(256, 512))
    return [chr(b if b in plain else next(other)) for b in range(256)]


@functools.cache
def material(natural=False):
    return [t.replace("\0", "") for t in (corpus.natural if natural else corpus.mixed)(160_000)]


def sequence(kind, *members):
    return kind.Sequence(list(members))


def split(expression, behaviour="isolated", invert=False):
    return pre_tokenizers.Split(Regex(expression), behaviour, invert=invert)


def template(before="", after="", tokens=()):
    parts = [before] * bool(before) + ["$A"] + [after] * bool(after)
    return processors.TemplateProcessing(single=parts, pair=[*parts, "$B:1"], special_tokens=list(tokens))


def learn(tokenizer, specials, trainer=trainers.BpeTrainer, natural=False, **options):
    options = dict(vocab_size=SIZE, special_tokens=list(specials), show_progress=False) | options
    tokenizer.train_from_iterator(material(natural), trainer(**options))
    return tokenizer


def byte_level(specials, *steps, normalizer=None, plain=(), bos=None, **model):
    """Byte-level BPE whose text is cut by `steps`, the last of which is ByteLevel."""
    tokenizer = Tokenizer(models.BPE(**model))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = sequence(pre_tokenizers, *steps) if len(steps) > 1 else steps[0]
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    learn(tokenizer, specials, initial_alphabet=ALPHABET)
    tokenizer.add_tokens([AddedToken(t, normalized=False, special=False) for t in plain])
    if bos:
        tokenizer.post_processor = sequence(processors, processors.ByteLevel(trim_offsets=True), template(bos, "", [(bos, tokenizer.token_to_id(bos))]))
    return tokenizer


def raw_bytes():
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def gpt2_bytes(prefix=False):
    return pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=True)


def with_bytes(specials, learnt_by, finished):
    """BPE with byte fallback: the pieces <0xXX> are ordinary vocabulary and no special tokens, so the model is
    made anew from what was learnt."""
    import json
    vocabulary = learn(learnt_by, [*specials, *BYTES], limit_alphabet=MOST_CHARACTERS)
    learnt = json.loads(vocabulary.to_str())["model"]["merges"]
    tokenizer = Tokenizer(models.BPE(vocabulary.get_vocab(), [tuple(m) for m in learnt], unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    finished(tokenizer)
    tokenizer.add_special_tokens(list(specials))
    tokenizer.post_processor = template("<s>" if "<s>" in specials else "<bos>", "", [(t, tokenizer.token_to_id(t)) for t in specials if t in ("<s>", "<bos>")])
    return tokenizer


FUSED = (decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse())


def gpt2():
    return byte_level(["<|endoftext|>"], gpt2_bytes())


def gpt_neox():
    return byte_level(["<|endoftext|>", "<|padding|>"], gpt2_bytes(), normalizer=normalizers.NFC(), plain=["  ", "    ", "        "])


def llama3():
    return byte_level(["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"], split(LLAMA3), raw_bytes(), bos="<|begin_of_text|>", ignore_merges=True)


def qwen2():
    return byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"], split(QWEN2), raw_bytes(), normalizer=normalizers.NFC(), plain=["<tool_call>", "<think>"])


def gpt4():
    return byte_level(["<|endoftext|>", "<|fim_prefix|>"], split(CL100K), raw_bytes())


def gpt4o():
    return byte_level(["<|endoftext|>", "<|endofprompt|>"], split(O200K), raw_bytes(), normalizer=None)


def tekken():
    return byte_level(["<unk>", "<s>", "</s>", "[INST]"], split(TEKKEN), raw_bytes(), bos="<s>", ignore_merges=True)


def deepseek_v3():
    return byte_level(["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"], split(r"\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(DEEPSEEK), raw_bytes(),
                      plain=["<｜User｜>"], bos="<｜begin▁of▁sentence｜>")


def deepseek_coder():
    return byte_level(["<｜begin▁of▁sentence｜>"], split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split("[一-龥ࠀ-一가-\ud7ff]+"),
                      pre_tokenizers.Digits(individual_digits=True), raw_bytes(), plain=["õ", "<|EOT|>"])


def bloom():
    return byte_level(["<unk>", "<s>", "</s>", "<pad>"], split(BLOOM), raw_bytes())


def falcon():
    return byte_level([">>TITLE<<", "<|endoftext|>"], pre_tokenizers.Punctuation("contiguous"), gpt2_bytes(), pre_tokenizers.Digits(False), split("[0-9][0-9][0-9]"))


def starcoder():
    return byte_level(["<|endoftext|>", "<fim_prefix>"], pre_tokenizers.Digits(individual_digits=True), gpt2_bytes())


def command_r():
    return byte_level(["<PAD>", "<BOS_TOKEN>"], pre_tokenizers.Digits(individual_digits=True), gpt2_bytes(), normalizer=normalizers.NFC(), bos="<BOS_TOKEN>")


def roberta():
    tokenizer = byte_level(["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True, special=True)], gpt2_bytes())
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False, trim_offsets=True)
    return tokenizer


def clip():
    tokenizer = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix="</w>"))
    tokenizer.normalizer = sequence(normalizers, normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase())
    tokenizer.pre_tokenizer = sequence(pre_tokenizers, split(CLIP, "removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False))
    tokenizer.decoder = decoders.ByteLevel()
    learn(tokenizer, [AddedToken("<|startoftext|>", normalized=True), AddedToken("<|endoftext|>", normalized=False)], initial_alphabet=ALPHABET,
          end_of_word_suffix="</w>")
    tokenizer.model.unk_token = "<|endoftext|>"
    end, start = ((t, tokenizer.token_to_id(t)) for t in ("<|endoftext|>", "<|startoftext|>"))
    tokenizer.post_processor = processors.RobertaProcessing(end, start, add_prefix_space=False, trim_offsets=False)
    return tokenizer


def gemma():
    blanks = ["\n" * n for n in range(2, 6)] + ["▁" * n for n in range(2, 6)] + ["\t\t"]

    def finish(tokenizer):
        tokenizer.normalizer = normalizers.Replace(" ", "▁")
        tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
        tokenizer.decoder = sequence(decoders, *FUSED)
        tokenizer.add_tokens([AddedToken(t, normalized=False, special=False) for t in blanks])
    learning = Tokenizer(models.BPE(unk_token="<unk>"))
    learning.normalizer = normalizers.Replace(" ", "▁")
    return with_bytes(["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>"], learning, finish)


def words_of_marks():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", "always")
    return tokenizer


def llama2():
    def finish(tokenizer):
        tokenizer.normalizer = sequence(normalizers, normalizers.Prepend("▁"), normalizers.Replace(" ", "▁"))
        tokenizer.decoder = sequence(decoders, *FUSED, decoders.Strip(" ", 1, 0))
    return with_bytes(["<unk>", "<s>", "</s>"], words_of_marks(), finish)


def mistral_v3():
    def finish(tokenizer):
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", "first", split=False)
        tokenizer.decoder = sequence(decoders, *FUSED, decoders.Strip(" ", 1, 0))
    return with_bytes(["<unk>", "<s>", "</s>", "[INST]"], words_of_marks(), finish)


def bert(**settings):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(**settings)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    learn(tokenizer, ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], trainers.WordPieceTrainer, limit_alphabet=MOST_CHARACTERS)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def bert_uncased():
    return bert(lowercase=True)


def bert_cased():
    return bert(lowercase=False)


def bert_korean():
    return bert(lowercase=True, strip_accents=False)


@functools.cache
def character_map():
    """The map of NFKC and white space that SentencePiece compiles into its models."""
    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(["a b c"] * 9), model_writer=file, vocab_size=7, hard_vocab_limit=False,
                                             normalization_rule_name="nmt_nfkc", minloglevel=2)
    return sentencepiece_model_pb2.ModelProto.FromString(file.getvalue()).normalizer_spec.precompiled_charsmap


def unigram(specials, normalizer, pre_tokenizer, before, after):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizer
    tokenizer.decoder = decoders.Metaspace("▁", "always")
    learn(tokenizer, specials, trainers.UnigramTrainer, natural=True, vocab_size=PIECES, unk_token="<unk>")
    tokenizer.post_processor = template(before, after, [(t, tokenizer.token_to_id(t)) for t in (before, after) if t])
    return tokenizer


def t5():
    return unigram(["<pad>", "</s>", "<unk>"], normalizers.Precompiled(character_map()),
                   sequence(pre_tokenizers, pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace("▁", "always")), "", "</s>")


def xlm_roberta():
    return unigram(["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True, special=True)], normalizers.Precompiled(character_map()),
                   sequence(pre_tokenizers, pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace("▁", "always")), "<s>", "</s>")


def albert():
    normal = sequence(normalizers, normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(), normalizers.StripAccents(),
                      normalizers.Lowercase(), normalizers.Precompiled(character_map()), normalizers.Replace(Regex(" {2,}"), " "))
    return unigram(["<pad>", "<unk>", "[CLS]", "[SEP]"], normal, pre_tokenizers.Metaspace("▁", "always"), "[CLS]", "[SEP]")


def deberta_v3():
    normal = sequence(normalizers, normalizers.Strip(True, True), normalizers.Precompiled(character_map()), normalizers.Replace(Regex(" {2,}"), " "))
    return unigram(["[PAD]", "[CLS]", "[SEP]", "<unk>"], normal, pre_tokenizers.Metaspace("▁", "always"), "[CLS]", "[SEP]")


def sentencepiece_unigram():
    """As the library's own SentencePieceUnigramTokenizer."""
    normal = sequence(normalizers, normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " "))
    return unigram(["<pad>", "<unk>"], normal, pre_tokenizers.Metaspace("▁", "always"), "", "")


def fixed_length():
    """Stretches of three characters, as models of genes have them."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.FixedLength(3)
    return learn(tokenizer, ["[UNK]"], trainers.WordLevelTrainer)


def word_level():
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.normalizer = sequence(normalizers, normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents())
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return learn(tokenizer, ["[UNK]"], trainers.WordLevelTrainer)


PIPELINES = {make.__name__: make for make in [
    gpt2, gpt_neox, llama3, qwen2, gpt4, gpt4o, tekken, deepseek_v3, deepseek_coder, bloom, falcon, starcoder, command_r, roberta, clip, gemma, llama2,
    mistral_v3, bert_uncased, bert_cased, bert_korean, t5, xlm_roberta, albert, deberta_v3, sentencepiece_unigram,
    fixed_length, word_level]}


@functools.cache
def trained(name):
    return PIPELINES[name]()
