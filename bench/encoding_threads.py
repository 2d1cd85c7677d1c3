"""Encodes the Korean acts with malmoi on one thread and on two, in turn, in one process.

    encoding_threads.py FOLDER ROUNDS

Prints [[MB/s of one thread ..], [of two ..]] by wall time; the ids must be the same.  Only encoding is timed:
reading the file and loading the tokenizer are not.
"""
import ctypes
import json
import pathlib
import sys
import time

import vocabularies

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/interop"))

import liblm

MOST = 100_000_000


def encode(tokenizer, text, threads):
    """(MB/s, the ids as bytes)"""
    tokenizer.lib.lm_threads_set(threads)
    ids = liblm.Ids()
    start = time.perf_counter()
    tokenizer.check(tokenizer.lib.lm_encode_parallel(tokenizer.tk, ctypes.byref(ids), text, ctypes.c_size_t(len(text)), 0,
                                                     ctypes.byref(tokenizer.err)))
    seconds = time.perf_counter() - start
    found = ctypes.string_at(ids.data, 4 * ids.len)
    tokenizer.lib.lm_ids_free(ctypes.byref(ids))
    return len(text) / seconds / 1e6, found


def main():
    tokenizer = liblm.Tokenizer(sys.argv[1])
    vocabularies.write_text()
    text = vocabularies.TEXT.read_bytes()[:MOST]
    speeds = [[], []]
    first = None
    for _ in range(int(sys.argv[2])):
        for threads in (1, 2):
            speed, ids = encode(tokenizer, text, threads)
            first = first or ids
            if ids != first:
                sys.exit(f"{sys.argv[1]}: {threads} threads give other ids")
            speeds[threads - 1].append(speed)
    print(json.dumps(speeds))


if __name__ == "__main__":
    main()
