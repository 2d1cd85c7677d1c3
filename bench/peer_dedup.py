"""Near-duplicates with a library for MinHash: peer_dedup.py LIBRARY FILE THRESHOLD

One document a row of JSONL, its set of words as the n-grams, 128 permutations; a document that is alike to one
before it, as the library sees it, is a duplicate.  The library is fed as fast as it takes: rensa all sets at
once, datasketch a batch of tokens a document.  Prints documents, duplicates, and seconds of CPU: of reading and
splitting, and of what the library does.  datasketch is stopped after so many seconds, with what it has done.
"""
import json
import sys
import time

PERMUTATIONS, LONGEST = 128, 60


def read(path):
    with open(path) as rows:
        return [json.loads(row)["text"] for row in rows]


def rensa_duplicates(sets, threshold):
    from rensa import RMinHash, RMinHashLSH
    digests = RMinHash.digest_matrix_from_token_sets(sets, PERMUTATIONS, 42)
    lsh = RMinHashLSH(threshold=threshold, num_perm=PERMUTATIONS, num_bands=16)
    return len(sets), sum(lsh.insert_matrix_and_query_duplicate_flags(digests))


def datasketch_duplicates(sets, threshold):
    from datasketch import MinHash, MinHashLSH
    lsh, duplicates, done, begin = MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS), 0, 0, time.process_time()
    for i, tokens in enumerate(sets):
        signature = MinHash(num_perm=PERMUTATIONS)
        signature.update_batch([t.encode() for t in tokens])
        duplicates += bool(lsh.query(signature))
        lsh.insert(i, signature)
        done += 1
        if time.process_time() - begin > LONGEST:
            break
    return done, duplicates


def main():
    library, path, threshold = sys.argv[1], sys.argv[2], float(sys.argv[3])
    begin = time.process_time()
    sets = [list(set(text.split())) for text in read(path)]
    split = time.process_time()
    documents, duplicates = {"rensa": rensa_duplicates, "datasketch": datasketch_duplicates}[library](sets, threshold)
    end = time.process_time()
    print(json.dumps({"documents": documents, "duplicates": duplicates, "reading": split - begin, "seconds": end - split}))


if __name__ == "__main__":
    main()
