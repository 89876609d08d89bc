"""Texts that try a tokenizer: deterministic, made here and from files that every Debian machine has.

texts(source_dir) gives a list of strings of at least 2 MB in all; training_text() plainer text of some 2 MB to train on.
"""

import glob
import os
import random
import sys
import unicodedata

SEED = 20240501

# Characters and strings at which the published expressions decide something, or nearly do.
PIECES = (
    ["'s", "'S", "'t", "'re", "'RE", "'ve", "'Ve", "'m", "'ll", "'LL", "'d", "'\u017f", "\u2019s", "''", "'r", "'l", "'v"]
    + [" ", "  ", "   ", "\t", "\n", "\r", "\r\n", "\n\n", " \n", "\n ", "\x0b", "\x0c", "\x85", "\xa0", "\u1680", "\u2003",
       "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\u200b", "\u2060", "\ufeff", "\u180e"]
    + ["a", "B", "Ab", "aB", "word", "Word", "WORD", "camelCase", "HTTPServer", "\xdf", "\u01c5", "\u02b0", "\xe9", "e\u0301", "\u0301",
       "\u0308\u0301", "A\u030a", "\u1e9b\u0323", "q\u0307\u0323", "\u0345", "\u2126", "\u212b", "\uac00", "\u1100\u1161\u11a8"]
    + ["0", "7", "42", "123", "1234", "12345678", "\u0663", "\u096a", "\u0be7", "\u2167", "\xbd", "\xb2", "\u2460", "\u3007", "1a", "a1"]
    + [".", ",", "!", "?", "...", "--", "(", ")", "[", "]", "{", "}", "/", "//", "\\", "\"", "`", "~", "@", "#", "$", "%", "^", "&",
       "*", "_", "__", "=", "==", "+", "|", "<", ">", "<s>", "</s>", "<unk>", "<0x0A>", "<|endoftext|>", "<|im_start|>", "\u2581",
       "\u2581\u2581", "\x00", "\x01", "\x1b[0m", "\x7f", "\ufffd", "\U0010ffff", "\ue000"]
    + ["\u4e2d", "\u6587", "\u4e2d\u6587\u5b57\u7b26", "\u3042", "\u30a2\u30a4", "\u30fc", "\ud55c\uad6d\uc5b4", "\u3002", "\uff0c", "\uff11"]
    + ["\u0645\u0631\u062d\u0628\u0627", "\u0627\u0644\u0652\u0639\u064e\u0631\u064e\u0628\u0650\u064a\u064e\u0651\u0629", "\u0640", "\u05e9\u05c1\u05dc\u05d5\u05dd", "\u0928\u092e\u0938\u094d\u0924\u0947", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "\u0440\u0443\u0441\u0441\u043a\u0438\u0439", "\u0395\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac"]
    + ["\U0001f600", "\U0001f44d\U0001f3fd", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\u2764\ufe0f", "1\ufe0f\u20e3", "\U0001f3f4\U000e0067\U000e0062\U000e007f"]
)

# A few characters of each of these ranges per random word.
SCRIPTS = [(0x61, 0x7a), (0x41, 0x5a), (0xc0, 0x24f), (0x370, 0x3ff), (0x400, 0x4ff), (0x5d0, 0x5ea), (0x620, 0x655),
           (0x900, 0x96f), (0xe01, 0xe4e), (0x10a0, 0x10ff), (0x1100, 0x11ff), (0x1e00, 0x1eff), (0x3041, 0x30ff), (0x4e00, 0x9fff),
           (0xac00, 0xd7a3), (0x1f300, 0x1f64f), (0x300, 0x36f), (0x2000, 0x206f), (0x2190, 0x23ff), (0x1d400, 0x1d7ff)]


def texts(source_dir):
    rng = random.Random(SEED)
    result = ["", " ", "\n", "a", "'", "  ", "\U0001f600", "\u0301", "\u2581", "\x00"]
    result += [files(prose_files(), 350_000), files(code_files(source_dir), 500_000)]
    result += pieces(rng, 700_000) + scripts(rng, 350_000) + code_points(rng, 250_000) + runs(rng)
    result.append("".join(rng.choice(result) for _ in range(200)))
    return result


def training_text():
    rng = random.Random(SEED + 1)
    lines = files(prose_files(), 600_000).splitlines() + files(code_files(None), 900_000).splitlines()
    lines += "".join(scripts(rng, 300_000)).splitlines() + [" ".join(rng.choices(PIECES, k=12)) for _ in range(3000)]
    lines = [line.replace("\x00", "") for line in lines if line]
    rng.shuffle(lines)
    return tuple(lines)


def prose_files():
    return sorted(glob.glob("/usr/share/common-licenses/*") + glob.glob("/usr/share/doc/*/README*"))


def code_files(source_dir):
    library = sorted(glob.glob(os.path.join(os.path.dirname(os.__file__), "*.py")))
    own = sorted(glob.glob(f"{source_dir}/core/*/*.cc")) if source_dir else []
    return own + library


def files(paths, limit):
    """The first `limit` characters of the files put together; a file that is not plain UTF-8 text is left out."""
    result = []
    for path in paths:
        try:
            with open(path, encoding="utf-8", newline="") as file:
                result.append(file.read())
        except (OSError, UnicodeDecodeError):
            continue
        if sum(map(len, result)) > limit:
            break
    return "".join(result)[:limit]


def pieces(rng, size):
    """PIECES in random order, with and without spaces: what is long is rare, what is short is frequent."""
    result = []
    while size > 0:
        count = min(int(rng.paretovariate(0.7)), 5000)
        joint = rng.choice(["", "", " "])
        result.append(joint.join(rng.choices(PIECES, k=count)))
        size -= len(result[-1].encode())
    return result


def scripts(rng, size):
    """Words of one script or of several."""
    result = []
    while size > 0:
        words = []
        for _ in range(rng.randrange(1, 300)):
            low, high = rng.choice(SCRIPTS)
            letters = "".join(assigned(rng.randrange(low, high + 1)) for _ in range(rng.randrange(1, 9)))
            words.append(unicodedata.normalize("NFD", letters) if rng.random() < 0.2 else letters)
        result.append(rng.choice([" ", " ", "\n", ", ", ""]).join(words))
        size -= len(result[-1].encode())
    return result


def code_points(rng, size):
    """Any assigned code points, evenly."""
    result = []
    while size > 0:
        result.append("".join(assigned(rng.randrange(0x20, 0x20000)) for _ in range(rng.randrange(1, 2000))))
        size -= len(result[-1].encode())
    return result


def assigned(code_point):
    """The character, or a letter where this Python's Unicode has none: libraries may know newer versions of Unicode.

    Hugging Face's normalizer knows an older one, so what normalization moves or takes apart must be old: marks added since
    Unicode 3.2 are ordinary letters to it."""
    character = chr(code_point)
    if unicodedata.category(character) in ("Cn", "Cs"):
        return "x"
    is_normalized = unicodedata.combining(character) != 0 or unicodedata.decomposition(character) != ""
    if is_normalized and unicodedata.ucd_3_2_0.category(character) == "Cn":
        return "x"
    return character


def runs(rng):
    """Long runs of the same, at which an expression that backtracks would stand still."""
    ends = ["", "b", " ", "\n", "!", "A"]
    return ["".join([unit * rng.randrange(2000, 9000), end])
            for unit in ("a", "A", " ", "\n", " \n", "\t", "!", "1", "\u0301", "\u4e2d", "'", "\u2581", "aA", "A\u0301", "/\n", "\U0001f600")
            for end in rng.sample(ends, 2)]


if __name__ == "__main__":
    sizes = [len(text.encode()) for text in texts(sys.argv[1] if len(sys.argv) > 1 else None)]
    print(f"{len(sizes)} texts, {sum(sizes)} bytes; training text {sum(len(line.encode()) for line in training_text())} bytes")
