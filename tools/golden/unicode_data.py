#!/usr/bin/env python3
"""Writes src/token/unicode_data.c: the general category of every code point.

Asks the `tokenizers` library, whose pre-tokenisers have to be met exactly, so the table has its
Unicode version and does not change with the system's utf8proc.

    tools/golden/unicode_data.py > src/token/unicode_data.c
"""
from tokenizers import Regex, pre_tokenizers

CATEGORIES = ["Cn", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe",
              "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co"]
BLOCK = 128

points = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
text = "".join(map(chr, points))
table = bytearray(0x110000)
for c in range(0xD800, 0xE000):
    table[c] = CATEGORIES.index("Cs")
for code, name in enumerate(CATEGORIES):
    if name in ("Cn", "Cs"):
        continue
    split = pre_tokenizers.Split(Regex(r"\p{%s}" % name), "removed", invert=True)
    for piece, _ in split.pre_tokenize_str(text):
        for character in piece:
            table[ord(character)] = code

blocks, index = {}, []
for start in range(0, 0x110000, BLOCK):
    index.append(blocks.setdefault(bytes(table[start:start + BLOCK]), len(blocks)))

print("/* Made by tools/golden/unicode_data.py (Unicode 16.0); do not edit.")
print(" * lm_unicode_index[c >> 7] is the block of c; the letter at c & 127 in it is '@' + category. */")
print('#include "token/unicode.h"\n')
print("const uint16_t lm_unicode_index[0x110000 >> 7] = {")
for start in range(0, len(index), 40):
    print("    " + ",".join(map(str, index[start:start + 40])) + ",")
print("};\n")
print("const char lm_unicode_blocks[%d][129] = {" % len(blocks))
for block in blocks:
    letters = "".join(chr(64 + c) for c in block).replace("\\", "\\\\")
    print('    "%s",' % letters)
print("};")
