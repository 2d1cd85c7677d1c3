#!/usr/bin/env python3
"""Writes src/token/unicode_data.c: what tokenizers know about each code point.

Asks the `tokenizers` library, whose steps have to be met exactly and which mixes several versions of
Unicode: one for its expressions, older ones for punctuation, accents and normal forms.  The age of a
character comes from perl's tables.  So ids do not change with the libraries of a system.

    tools/golden/unicode_data.py > src/token/unicode_data.c
"""
import subprocess
from tokenizers import Regex, normalizers, pre_tokenizers

CATEGORIES = ["Cn", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe",
              "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co"]
BLOCK = 128
LIMIT = 0x110000

points = [c for c in range(LIMIT) if not 0xD800 <= c <= 0xDFFF]
text = "".join(map(chr, points))


def kept(pre_tokenizer):
    """The characters of `text` that are left."""
    return {ord(c) for piece, _ in pre_tokenizer.pre_tokenize_str(text) for c in piece}


def matched(expression):
    return kept(pre_tokenizers.Split(Regex(expression), "removed", invert=True))


def vanishing(normalizer):
    return {c for c in points if normalizer.normalize_str(chr(c)) == ""}


def bert(**settings):
    options = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return normalizers.BertNormalizer(**(options | settings))


def joined(pre_tokenizer, head):
    """The characters that stay with a character before them."""
    pieces = pre_tokenizer.pre_tokenize_str(" ".join(head + chr(c) for c in points))
    return {ord(piece[1]) for piece, _ in pieces if len(piece) == 2 and piece[0] == head}


def new_characters():
    """Characters that Unicode 9.0, the version of the normal forms, does not have."""
    script = r'for (0..0x10ffff) { next if $_ >= 0xd800 && $_ <= 0xdfff; print "$_\n" if chr($_) !~ /\p{Present_In: 9.0}/ }'
    return set(map(int, subprocess.run(["perl", "-e", script], check=True, capture_output=True, text=True).stdout.split()))


flags = [
    set(points) - kept(pre_tokenizers.Punctuation("removed")),                               # LM_RUNE_PUNCTUATION
    {ord(p) for p, _ in pre_tokenizers.Digits(True).pre_tokenize_str("x".join(text)) if len(p) == 1 and p != "x"},  # LM_RUNE_NUMERIC
    joined(pre_tokenizers.Whitespace(), "a"),                                                # LM_RUNE_WORD
    vanishing(bert(strip_accents=True)),                                                     # LM_RUNE_ACCENT
    vanishing(normalizers.StripAccents()),                                                   # LM_RUNE_MARK
    vanishing(bert(clean_text=True)),                                                        # LM_RUNE_CONTROL
    new_characters(),                                                                        # LM_RUNE_NEW
]

category = bytearray(LIMIT)
for c in range(0xD800, 0xE000):
    category[c] = CATEGORIES.index("Cs")
for code, name in enumerate(CATEGORIES):
    if name not in ("Cn", "Cs"):
        for c in matched(r"\p{%s}" % name):
            category[c] = code

kinds, table = {}, bytearray(LIMIT)
for c in range(LIMIT):
    kind = (category[c], sum(1 << i for i, members in enumerate(flags) if c in members))
    table[c] = kinds.setdefault(kind, len(kinds))
assert len(kinds) < 90, len(kinds)

blocks, index = {}, []
for start in range(0, LIMIT, BLOCK):
    index.append(blocks.setdefault(bytes(table[start:start + BLOCK]), len(blocks)))

lower = []                                   # [first, last, step, delta]
lowercase = normalizers.Lowercase()
for c in points:
    small = lowercase.normalize_str(chr(c))
    if len(small) != 1 or ord(small) == c or c < 128:
        continue
    delta = ord(small) - c
    if lower and lower[-1][3] == delta:
        first, last, step, _ = lower[-1]
        if (last == first and c - last <= 2) or (last > first and c - last == step):
            lower[-1][1:3] = [c, c - last]
            continue
    lower.append([c, c, 1, delta])

print("/* Made by tools/golden/unicode_data.py; do not edit. */")
print('#include "token/unicode.h"\n')
print("const lm_rune_kind lm_unicode_kinds[%d] = {" % len(kinds))
for kind in kinds:
    print("    { %d, %d }," % kind)
print("};\n")
print("const uint16_t lm_unicode_index[0x110000 >> 7] = {")
for start in range(0, len(index), 40):
    print("    " + ",".join(map(str, index[start:start + 40])) + ",")
print("};\n")
print("/* The kind of a character is its letter here, counted from '#'. */")
print("const char lm_unicode_blocks[%d][129] = {" % len(blocks))
for block in blocks:
    letters = "".join(chr(35 + c) for c in block).replace("\\", "\\\\").replace("?", "\\?")
    print('    "%s",' % letters)
print("};\n")
print("const lm_lower_range lm_unicode_lower_ranges[%d] = {" % len(lower))
for i in range(0, len(lower), 5):
    print("    " + " ".join("{ %d, %d, %d, %d }," % tuple(r) for r in lower[i:i + 5]))
print("};")
print("const int lm_unicode_lower_count = %d;" % len(lower))

SCRIPTS = ["Arabic", "Armenian", "Bengali", "Cyrillic", "Devanagari", "Georgian", "Greek", "Han", "Hangul", "Hebrew", "Hiragana", "Katakana", "Latin",
           "Tamil", "Telugu", "Thai"]


def ranges(members):
    """[first, last] of each run."""
    out = []
    for c in sorted(members):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


print("\nconst lm_script_range lm_unicode_scripts[] = {")
for script in SCRIPTS:
    runs = ranges(matched(r"\p{%s}" % script))
    for i in range(0, len(runs), 4):
        print("    " + " ".join('{ "%s", 0x%X, 0x%X },' % (script.lower(), *run) for run in runs[i:i + 4]))
print("    { 0 },\n};")
