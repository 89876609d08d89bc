#!/usr/bin/env python3
"""Our token ids against those of `tokenizers` and `sentencepiece`, on more than 2 MB of text of every sort.

usage: tokenizer_test.py TOKENIZE_FILE_PROGRAM SOURCE_DIR PUBLISHED_MODEL_DIR
"""

import os
import subprocess
import sys
import tempfile

import tokenizer_corpus
import tokenizer_models


def main(program, source_dir, published_dir):
    texts = tokenizer_corpus.texts(source_dir)
    lines = tokenizer_corpus.training_text()
    print(f"{len(texts)} texts, {sum(len(text.encode()) for text in texts)} bytes", flush=True)
    failures = 0
    with tempfile.TemporaryDirectory() as scratch:
        texts_file = os.path.join(scratch, "texts")
        with open(texts_file, "wb") as file:
            for text in texts:
                encoded = text.encode()
                file.write(b"%d\n%s" % (len(encoded), encoded))
        makers = (tokenizer_models.byte_level_models() + tokenizer_models.sentencepiece_models()
                  + tokenizer_models.converted_models())
        for name, make in makers:
            directory = os.path.join(scratch, name)
            os.mkdir(directory)
            failures += not agrees(name, make(directory, lines), program, directory, texts_file, texts)
        name = os.path.basename(os.path.normpath(published_dir))
        failures += not agrees(name, tokenizer_models.published_model(published_dir), program, published_dir, texts_file, texts)
    sys.exit(1 if failures else 0)


def agrees(name, reference, program, directory, texts_file, texts):
    """Whether our ids are the reference's for every text; prints the first text for which they are not."""
    run = subprocess.run([program, directory, texts_file], capture_output=True, text=True)
    if run.returncode != 0:
        print(f"{name}: FAILED: {run.stderr.strip()}")
        return False
    ours = [[int(token) for token in line.split()] for line in run.stdout.splitlines()]
    if len(ours) != len(texts):
        print(f"{name}: FAILED: {len(ours)} answers for {len(texts)} texts")
        return False
    wrong = 0
    tokens = 0
    for text, ids in zip(texts, ours):
        expected = reference(text)
        tokens += len(expected)
        if ids != expected:
            wrong += 1
            if wrong == 1:
                print_difference(name, text, ids, expected)
    print(f"{name}: {tokens} tokens, {wrong} texts differ", flush=True)
    return wrong == 0


def print_difference(name, text, ids, expected):
    at = next((i for i, (a, b) in enumerate(zip(ids, expected)) if a != b), min(len(ids), len(expected)))
    print(f"{name}: FAILED at token {at}: {ids[max(0, at - 3):at + 5]} and not {expected[max(0, at - 3):at + 5]}")
    print(f"  in a text of {len(text)} characters: {text[:200]!a}")


if __name__ == "__main__":
    main(*sys.argv[1:])
