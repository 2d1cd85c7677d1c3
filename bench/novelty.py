"""How fast the task most like a new one is found by ROUGE-L (data/novelty.h), beside rouge-score on the same texts: questions
of GSM8K, and of a Korean chat corpus, which rouge-score's own tokens cannot tell apart (../shared/data).

    build/venv/bin/python bench/novelty.py [--peer 3]

Every text is looked for among those before it, then added, as `data grow` does.  Seconds are of one core's CPU.  rouge-score
compares one pair after the other, its tokens made ahead, as the code of Self-Instruct has it; --peer texts are looked for so,
and what they find must be what was found here.
"""
import argparse
import csv
import json
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
DATA = ROOT / "../shared/data"
sys.path.insert(0, str(ROOT / "tests/interop"))

from rouge_score import rouge_scorer  # noqa: E402

from test_rouge import MIXED, Pool  # noqa: E402


def questions(name):
    if name == "gsm8k":
        return [json.loads(line)["question"] for line in open(DATA / "gsm8k/train.jsonl")]
    with open(DATA / "chat_ko/chatbot_ko.csv", newline="") as file:
        return [row[0] for row in list(csv.reader(file))[1:]]


def ours(texts):
    pool, found = Pool(MIXED, []), []
    begin = time.process_time()
    for text in texts:
        found.append(pool.nearest(text)[1])
        pool.add(text)
    return found, (time.process_time() - begin) / len(texts)


def theirs(texts, places):
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    tokens = [scorer._tokenizer.tokenize(text) for text in texts]
    begin, pairs, found = time.process_time(), 0, []
    for place in places:
        found.append(max(rouge_scorer._score_lcs(tokens[other], tokens[place]).fmeasure for other in range(place)))
        pairs += place
    return found, (time.process_time() - begin) / pairs


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer", type=int, default=3)
    wanted = parser.parse_args().peer
    for name in ("gsm8k", "chat_ko"):
        texts = questions(name)
        found, seconds = ours(texts)
        print(f"{name}: {len(texts)} texts, {seconds * 1e6:.0f} us a search; {sum(f >= 0.7 for f in found)} reach 0.7")
        if name == "gsm8k":
            places = [len(texts) * (i + 1) // (wanted + 1) for i in range(wanted)]
            same, pair = theirs(texts, places)
            assert all(abs(found[p] - s) < 1e-12 for p, s in zip(places, same))
            average = pair * len(texts) / 2
            print(f"  rouge-score: {pair * 1e6:.0f} us a pair, {average:.2f} s a search on average: {average / seconds:.0f} times as long")


if __name__ == "__main__":
    main()
