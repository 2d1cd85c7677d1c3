#!/usr/bin/env python3
"""Writes src/token/grapheme_data.c: what joins a character to its neighbours in a grapheme cluster (UAX 29).

The properties are those of the `regex` library; where it is younger than `tokenizers` (Unicode 17.0), whose
Precompiled normaliser looks at one cluster at a time, the latter is asked which characters join.

    tools/golden/grapheme_data.py > src/token/grapheme_data.c
"""
import base64
import json
import struct
import sys

import regex
from tokenizers import Tokenizer, models

CLASSES = {"CR": "CR", "LF": "LF", "Control": "CONTROL", "Extend": "EXTEND", "ZWJ": "ZWJ", "Regional_Indicator": "REGIONAL", "Prepend": "PREPEND",
           "SpacingMark": "SPACING", "L": "L", "V": "V", "T": "T", "LV": "LV", "LVT": "LVT"}

points = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
text = "".join(map(chr, points))


def members(expression):
    return {ord(c) for c in regex.findall(expression, text)}


kind = {}
for name, ours in CLASSES.items():
    for c in members(r"\p{GCB=%s}" % name):
        kind[c] = ours
for c in members(r"\p{Extended_Pictographic}"):
    assert c not in kind
    kind[c] = "PICTURE"
for c in members(r"\p{InCB=Linker}"):
    kind[c] = "LINKER"
for c in members(r"\p{InCB=Consonant}"):
    kind[c] = "CONSONANT"


def extending():
    """Characters that a map of "a" alone swallows: they are in its cluster."""
    # A trie of one key: node 0 leads to "a" (0x61) at 0x61 ^ offset, which ends a key there.
    units = [0] * 512
    units[0] = 1 << 10                                   # children of the root at 1 ^ label
    units[1 ^ 0x61] = 0x61 | 1 << 8 | 256 << 10          # "a": a value stands at (1 ^ 0x61) ^ 256
    units[1 ^ 0x61 ^ 256] = 1 << 31                      # the result at offset 0
    blob = struct.pack("<I", 4 * len(units)) + struct.pack("<512I", *units) + b"X\0"
    document = json.loads(Tokenizer(models.BPE()).to_str())
    document["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(blob).decode()}
    normalizer = Tokenizer.from_str(json.dumps(document)).normalizer
    return {c for c in points if normalizer.normalize_str("a" + chr(c)) == "X"}


joining = {c for c, k in kind.items() if k in ("EXTEND", "SPACING", "ZWJ", "LINKER")}
found = extending()
if found - joining:
    sys.exit(f"`regex` is older than `tokenizers`: {[hex(c) for c in sorted(found - joining)][:20]}")
for c in joining - found:                                # characters that Unicode 17.0 does not have
    del kind[c]

runs = []
for c in points:
    k = kind.get(c)
    if k and k not in ("LV", "LVT"):                     # these two are computed
        if runs and runs[-1][1] == c - 1 and runs[-1][2] == k:
            runs[-1][1] = c
        else:
            runs.append([c, c, k])

print("/* Made by tools/golden/grapheme_data.py; do not edit. */")
print('#include "token/grapheme.h"\n')
print("const lm_grapheme_range lm_grapheme_ranges[] = {")
for i in range(0, len(runs), 4):
    print("    " + " ".join("{ 0x%X, 0x%X, LM_GRAPHEME_%s }," % tuple(r) for r in runs[i:i + 4]))
print("};")
print("const int lm_grapheme_count = %d;" % len(runs))
