"""ROUGE-L of data/rouge.h and data/novelty.h against rouge-score, and what is new against its maximum over a pool.

rouge-score takes everything but a-z and 0-9 for white space, so that nothing is left of Korean: there it is given tokens."""
import ctypes
import random
import re

import pytest
from rouge_score import rouge_scorer

import liblm

MIXED, WORD = 0, 1                                       # enum of data/rouge.h
LETTERS = "a-z0-9가-힣"


class Span(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("len", ctypes.c_size_t)]


class Likeness(ctypes.Structure):
    _fields_ = [("text", ctypes.c_int64), ("rouge_l", ctypes.c_double)]


class Pool:
    def __init__(self, unit, texts):
        self.lib, p = liblm.library(), ctypes.c_void_p
        for name, result, arguments in [("lm_novelty_new", p, [ctypes.c_int]), ("lm_novelty_free", None, [p]),
                                        ("lm_novelty_add", ctypes.c_int64, [p, Span]),
                                        ("lm_novelty_find", Likeness, [p, Span, p, ctypes.c_int64])]:
            function = getattr(self.lib, name)
            function.restype, function.argtypes = result, arguments
        self.pool = self.lib.lm_novelty_new(unit)
        for text in texts:
            self.add(text)

    def __del__(self):
        self.lib.lm_novelty_free(self.pool)

    def span(self, text):
        self.bytes = text.encode()
        return Span(self.bytes, len(self.bytes))

    def add(self, text):
        self.lib.lm_novelty_add(self.pool, self.span(text))

    def nearest(self, text):
        found = self.lib.lm_novelty_find(self.pool, self.span(text), None, 0)
        return found.text, found.rouge_l


class Tokens:
    """A tokenizer of rouge-score's."""
    def __init__(self, expression):
        self.expression = re.compile(expression)

    def tokenize(self, text):
        return self.expression.findall(text.lower())


def sentences(seed, words, n=40):
    draw = random.Random(seed)
    signs = ["", "", "", ",", ".", "!", "-", "_", " "]
    return ["".join(draw.choice(words) + draw.choice(signs) + " " for _ in range(draw.randint(0, 25))) for _ in range(n)]


ENGLISH = "write a poem on the cat and its 2 owners Don't STOP e-mail x_y v1.0 of in".split()
KOREAN = "고양이가 고양이를 시를 써라 쓰세요 짧은 짧게 Python으로 3개 또는 및 이야기".split()


@pytest.mark.parametrize("unit, words, tokens", [(WORD, ENGLISH, None), (MIXED, ENGLISH, None), (WORD, KOREAN, f"[{LETTERS}]+"),
                                                 (MIXED, KOREAN, "[a-z0-9]+|[가-힣]")])
def test_rouge_l_is_that_of_rouge_score(unit, words, tokens):
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False, tokenizer=tokens and Tokens(tokens))
    texts, more = sentences(1, words), sentences(2, words)
    for one, other in zip(texts, more):
        expected = scorer.score(one, other)["rougeL"].fmeasure
        assert Pool(unit, [one]).nearest(other)[1] == pytest.approx(expected, abs=1e-12)
    pool = Pool(unit, texts)
    for text in more:
        scores = [scorer.score(other, text)["rougeL"].fmeasure for other in texts]
        at, score = pool.nearest(text)
        assert score == pytest.approx(max(scores), abs=1e-12)
        assert at == (-1 if score == 0 else min(i for i, s in enumerate(scores) if s > max(scores) - 1e-12))
