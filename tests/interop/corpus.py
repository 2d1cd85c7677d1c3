"""Texts to hold tokenizers against: Korean acts, film reviews, Shakespeare where ../shared/data has them,
and random Unicode that looks for trouble.  All of it is seeded."""
import json
import random
import subprocess
import unicodedata

from conftest import ROOT

DATA = ROOT / "../shared/data"
EXAMPLES = ROOT / "examples/text"

# ---- random Unicode -------------------------------------------------------------------------------------

TURNS = ["'s", "'S", "'ll", "'Re", "'ſ", "’s", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\r", "\t", " \n", "\n ", "a", "B", "Dž", "ß", "İ", "Σ", "ﬁ",
         "7", "12345", "٣٤", "Ⅷ", "½", "²", "/", "//", "!?", "...", "$", "£1", "_", "__", "\\", "^", "`", "``", "''", "-", "—", "#", "##", "▁", "▁▁", " ▁",
         "　", "\u00a0", "\u0085", "\u2028", "\u200b", "\u200d", "\ufeff", "\u180e", "\0", "\x01", "\x7f", "\x9f", "\u00ad", "�", "<0x41>", "Ġ", "Ċ", "Ā",
         "Hello", " world", "The", "don't", "I'M", "x=1;", "http://a.b/c?d=e", "안녕하세요", " 대한민국", "제1조(목적)", "ㅋㅋㅋ", "ㅠㅠ", "中文", "日本語", "ไทย",
         "العربية", "हिन्दी", "русский", "Ελληνικά", "</w>", "@@"]
SPACES = " \t\n\r\v\f\u0085\u00a0\u1680\u2000\u2003\u2007\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
FAMILY = ["👩‍👩‍👧‍👦", "👨🏽‍🚀", "🏳️‍🌈", "🇰🇷", "🇰🇷🇺🇸", "1️⃣", "❤️", "👍🏿", "😀", "🧑‍🤝‍🧑", "🏴\U000e0067\U000e0062\U000e007f"]
BLOCKS = [(0x20, 0x7f), (0x80, 0x250), (0x250, 0x370), (0x370, 0x530), (0x530, 0x700), (0x700, 0xe00), (0xe00, 0x1100), (0x1100, 0x1200), (0x1200, 0x1e00),
          (0x1e00, 0x2000), (0x2000, 0x2c00), (0x2c00, 0x2e80), (0x2e80, 0x3130), (0x3130, 0x3400), (0x4e00, 0xa000), (0xa000, 0xac00), (0xac00, 0xd7a4),
          (0xd7b0, 0xd800), (0xe000, 0xe020), (0xf900, 0x10000), (0x10000, 0x10800), (0x10800, 0x11000), (0x11000, 0x12000), (0x12000, 0x18000),
          (0x1b000, 0x1b300), (0x1d000, 0x1d800), (0x1e000, 0x1f000), (0x1f000, 0x1fc00), (0x20000, 0x20100), (0x2f800, 0x2fa20), (0x30000, 0x32400),
          (0xe0000, 0xe0200), (0x100000, 0x110000)]


def any_character(draw):
    while True:
        c = draw.randrange(0x110000)
        if not 0xd800 <= c < 0xe000:
            return chr(c)


def of_block(draw):
    first, last = draw.choice(BLOCKS)
    return "".join(chr(draw.randrange(first, last)) for _ in range(draw.randrange(1, 12)))


def marked(draw):
    """Letters under more marks than a line can hold."""
    return "".join(draw.choice("aeoнあ가ᄀ각 -") + "".join(chr(draw.choice([draw.randrange(0x300, 0x370), draw.randrange(0x1ab0, 0x1b00), 0x3099, 0x20e3, 0xfe0f]))
                   for _ in range(draw.randrange(4))) for _ in range(draw.randrange(1, 8)))


def hangul(draw):
    text = "".join(chr(draw.randrange(0xac00, 0xd7a4)) for _ in range(draw.randrange(1, 8)))
    jamo = "".join(chr(draw.randrange(0x1100, 0x1200)) for _ in range(draw.randrange(1, 6)))
    return draw.choice([text, unicodedata.normalize("NFD", text), text + jamo, jamo, chr(draw.randrange(0xffa0, 0xffdd)), chr(draw.randrange(0x3131, 0x318f))])


PARTS = [any_character, of_block, of_block, marked, hangul, lambda d: d.choice(TURNS), lambda d: d.choice(TURNS), lambda d: d.choice(TURNS),
         lambda d: d.choice(FAMILY), lambda d: d.choice(SPACES), lambda d: "".join(d.choices(SPACES, k=d.randrange(1, 5))),
         lambda d: d.choice([" ", "\n", "-", "=", "a", "가", "0", "\t", "!"]) * d.randrange(1, 40), lambda d: str(d.randrange(10 ** d.randrange(1, 20))),
         lambda d: " ", lambda d: " "]


def random_text(draw, tokens=()):
    """Up to some thirty parts; `tokens` are strewn in."""
    parts = [draw.choice(PARTS)(draw) for _ in range(draw.randrange(1, 30))]
    for token in tokens and draw.choices(tokens, k=draw.randrange(3)):
        parts.insert(draw.randrange(len(parts) + 1), token)
    return "".join(parts)


def random_texts(size, seed, tokens=()):
    """Random texts of together at least `size` bytes."""
    draw, made = random.Random(seed), []
    while size > 0:
        made.append(random_text(draw, tokens))
        size -= len(made[-1].encode())
    return made


# ---- texts that people wrote ----------------------------------------------------------------------------------

def lines_of_acts(size):
    """Lines of the acts, joined in runs of various lengths."""
    unpack = subprocess.Popen(["zstd", "-dcq", DATA / "law_ko/acts.jsonl.zst"], stdout=subprocess.PIPE)
    draw = random.Random(3)
    with unpack.stdout as stream:
        for record in stream:
            lines = json.loads(record)["text"].split("\n")
            while lines:
                n = draw.choice([1, 1, 2, 5, 40])
                run, lines = "\n".join(lines[:n]), lines[n:]
                yield run
                size -= len(run.encode())
                if size <= 0:
                    unpack.kill()
                    return


def reviews(size):
    with open(DATA / "nsmc/train.tsv", encoding="utf-8", newline="") as file:
        for line in file:
            text = line.split("\t")[1]
            yield text
            size -= len(text.encode())
            if size <= 0:
                return


def plays(size):
    text = (DATA / "text/tinyshakespeare.txt").read_text()[:size]
    return text.split("\n\n") + [text[i:i + 5000] for i in range(0, len(text), 20000)]


def examples():
    return [p for path in sorted(EXAMPLES.glob("*.txt")) for p in path.read_text().split("\n") + [path.read_text()]]


def natural(size):
    """About `size` bytes: half acts, a quarter reviews, what there is of the plays, at most a quarter."""
    return [*lines_of_acts(size // 2), *reviews(size // 4), *plays(size // 4), *examples()] if DATA.exists() else examples()


def mixed(size, seed=1, tokens=(), written=None):
    """The same with random texts, at least a quarter of all; `written` is natural(3/4 size) where it is at hand."""
    written = natural(size * 3 // 4) if written is None else written
    rest = size - sum(len(t.encode()) for t in written)
    return written + random_texts(max(rest, size // 4), seed, tokens)
