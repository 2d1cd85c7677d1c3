"""Trains a vocabulary as the peers do: `tokenizers` for byte-level BPE, `sentencepiece` for Unigram.

    peer_vocabulary.py bpe|unigram SIZE TEXT OUT
"""
import sys


def bpe(size, text, out):
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train([text], trainers.BpeTrainer(vocab_size=size, min_frequency=2, special_tokens=["<|endoftext|>"], show_progress=False,
                                                initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.save(out + ".json")


def unigram(size, text, out):
    import os
    import sentencepiece
    sentencepiece.SentencePieceTrainer.train(input=text, model_prefix=out, vocab_size=size, model_type="unigram", character_coverage=0.9995,
                                             num_threads=len(os.sched_getaffinity(0)), max_sentence_length=1 << 20, minloglevel=2)


if __name__ == "__main__":
    kind, size, text, out = sys.argv[1:]
    {"bpe": bpe, "unigram": unigram}[kind](int(size), text, out)
