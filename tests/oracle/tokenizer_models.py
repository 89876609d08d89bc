"""Tokenizers of every supported kind, trained on the spot with the reference libraries' own trainers.

Each maker writes a model directory and returns a function from a text to the reference's ids of the whole document.
"""

import functools
import io
import os

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

CONTRACTIONS = "'s|'t|'re|'ve|'m|'ll|'d"
UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
SPACES = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
# As the published tokenizer.json files have them.
LLAMA3 = rf"(?i:{CONTRACTIONS})|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*" + SPACES
QWEN2 = rf"(?i:{CONTRACTIONS})|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*" + SPACES
TEKKEN = (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*"
          + SPACES)
O200K = (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+(?i:{CONTRACTIONS})?|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*(?i:{CONTRACTIONS})?"
         rf"|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*" + SPACES)

# The trainer options that Llama 2's tokenizer.model records, but for the sizes.
LLAMA2 = dict(byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True,
              allow_whitespace_only_pieces=True, character_coverage=0.99)

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# One of every sort; words that the corpus has.
ADDED = [AddedToken("<left>", lstrip=True), AddedToken("word", rstrip=True, single_word=True), AddedToken("42", normalized=False),
         AddedToken("\u0301\u0301", normalized=True), AddedToken("\n\n", lstrip=True, rstrip=True, normalized=False),
         AddedToken("Word", lstrip=True, single_word=True, normalized=False), AddedToken("\xe9", normalized=True)]


def byte_level_models():
    """(name, maker) of the byte-level families."""
    byte_level = pre_tokenizers.ByteLevel
    plain = byte_level(add_prefix_space=False, use_regex=False)

    def split(pattern, behavior="isolated", invert=False):
        return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), behavior, invert), plain])

    digits = pre_tokenizers.Digits
    return [
        ("gpt2", byte_level_maker(byte_level(add_prefix_space=False))),
        ("gpt2_prefix_space", byte_level_maker(byte_level(add_prefix_space=True))),
        ("gpt2_split", byte_level_maker(split(rf"{CONTRACTIONS}| ?\p{{L}}+| ?\p{{N}}+| ?[^\s\p{{L}}\p{{N}}]+|\s+(?!\S)|\s+"))),
        # Without the whole alphabet: bytes that the training text lacks have no token.
        ("smollm", byte_level_maker(pre_tokenizers.Sequence([digits(True), byte_level(add_prefix_space=False)]), alphabet=False)),
        ("digit_runs", byte_level_maker(pre_tokenizers.Sequence([digits(False), byte_level(add_prefix_space=True)]))),
        ("llama3", byte_level_maker(split(LLAMA3), ignore_merges=True, bos=True)),
        ("llama3_removed", byte_level_maker(split(LLAMA3, "removed", True), bos=True)),
        ("qwen2", byte_level_maker(split(QWEN2), normalizer=normalizers.NFC())),
        ("qwen2_added", byte_level_maker(split(QWEN2), normalizer=normalizers.Sequence([normalizers.NFC()]), added=ADDED)),
        ("tekken", byte_level_maker(split(TEKKEN), ignore_merges=True, bos=True, added=ADDED)),
        ("o200k", byte_level_maker(split(O200K))),
    ]


def byte_level_maker(pre_tokenizer, normalizer=None, ignore_merges=False, bos=False, alphabet=True, added=()):
    def make(directory, lines):
        tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
        if normalizer is not None:
            tokenizer.normalizer = normalizer
        tokenizer.pre_tokenizer = pre_tokenizer
        tokenizer.decoder = decoders.ByteLevel()
        letters = pre_tokenizers.ByteLevel.alphabet() if alphabet else []
        tokenizer.train_from_iterator(lines, trainers.BpeTrainer(
            vocab_size=6000, special_tokens=SPECIAL, initial_alphabet=letters, show_progress=False))
        tokenizer.add_tokens(list(added))
        if bos:
            template = processors.TemplateProcessing(single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)])
            tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
        return save(tokenizer, directory)

    return make


def sentencepiece_models():
    """(name, maker) of tokenizer.model files."""
    return [
        ("llama2_model", sentencepiece_maker(**LLAMA2)),
        ("user_defined_model", sentencepiece_maker(**LLAMA2, user_defined_symbols="word,<|im_start|>,\u2581\u2581,aB")),
        ("no_dummy_prefix_model", sentencepiece_maker(**LLAMA2, add_dummy_prefix=False)),
        ("unknown_model", sentencepiece_maker(normalization_rule_name="identity", character_coverage=0.98)),
        ("joined_words_model", sentencepiece_maker(**LLAMA2, split_by_whitespace=False)),
    ]


def sentencepiece_maker(**options):
    def make(directory, lines):
        model = train_sentencepiece(lines, **options)
        with open(os.path.join(directory, "tokenizer.model"), "wb") as file:
            file.write(model)
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        return lambda text: [processor.bos_id()] + processor.encode(text)

    return make


@functools.cache
def train_sentencepiece(lines, **options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=model, model_type="bpe", vocab_size=6000,
                                             minloglevel=2, num_threads=2, **options)
    return model.getvalue()


def converted_models():
    """(name, maker) of tokenizer.json files as transformers makes them out of a Llama 2 tokenizer.model."""
    prepend = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    return [
        ("llama2_json", converted_maker(normalizer=prepend)),
        ("llama2_json_added", converted_maker(normalizer=prepend, added=ADDED)),
        ("mistral_json", converted_maker(pre_tokenizer=pre_tokenizers.Metaspace(prepend_scheme="first", split=False), added=ADDED)),
        ("metaspace_json", converted_maker(pre_tokenizer=pre_tokenizers.Metaspace(prepend_scheme="always", split=True))),
        ("no_prefix_json", converted_maker(pre_tokenizer=pre_tokenizers.Metaspace(prepend_scheme="never"), ignore_merges=True)),
        ("unknown_json", converted_maker(normalizer=prepend, byte_fallback=False)),
    ]


def converted_maker(normalizer=None, pre_tokenizer=None, added=(), byte_fallback=True, ignore_merges=False):
    def make(directory, lines):
        model = train_sentencepiece(lines, **LLAMA2)
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        vocabulary = {processor.id_to_piece(i): i for i in range(processor.get_piece_size())}
        tokenizer = Tokenizer(models.BPE(vocabulary, merges_of(processor, vocabulary), unk_token="<unk>", fuse_unk=True,
                                         byte_fallback=byte_fallback, ignore_merges=ignore_merges))
        if normalizer is not None:
            tokenizer.normalizer = normalizer
        if pre_tokenizer is not None:
            tokenizer.pre_tokenizer = pre_tokenizer
        tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in ("<unk>", "<s>", "</s>")])
        tokenizer.add_tokens(list(added))
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
        return save(tokenizer, directory)

    return make


def merges_of(processor, vocabulary):
    """Every way to cut a piece into two pieces, in the order of the piece's score."""
    merges = []
    for piece, index in vocabulary.items():
        cuts = [(piece[:i], piece[i:]) for i in range(1, len(piece)) if piece[:i] in vocabulary and piece[i:] in vocabulary]
        merges += [(processor.get_score(index), index, cut) for cut in sorted(cuts, key=lambda c: (vocabulary[c[0]], vocabulary[c[1]]))]
    merges.sort(key=lambda merge: (-merge[0], merge[1]))
    return [cut for _, _, cut in merges]


def published_model(directory):
    """The tokenizer.json that is already in `directory`."""
    tokenizer = Tokenizer.from_file(os.path.join(directory, "tokenizer.json"))
    return lambda text: tokenizer.encode(text).ids


def save(tokenizer, directory):
    path = os.path.join(directory, "tokenizer.json")
    tokenizer.save(path)
    reloaded = Tokenizer.from_file(path)
    return lambda text: reloaded.encode(text).ids
