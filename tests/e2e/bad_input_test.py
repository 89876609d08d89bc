"""Every kind of file that a user can hand to gptvq-client and that can not be used, as one table: each is refused with
the documented exit code (docs/cli.md) and a message that names what is wrong, and nothing is written."""

import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import typing
import unittest

from bad_input_files import (MODEL_LAYER, calibration, config, config_text, f32, flipped_bit, manifest, nested,
                             one_tensor, read_safetensors, safetensors, shards, tensors, tokenizer, tokenizer_file,
                             two_tensors, weights, with_header)
from service_harness import BIN, Cluster, Model

MODEL = ("quantize", "submit", "eval")  # commands that read a model
TEXT = ("calibration", "quantize")      # commands that read calibration files and the tokenizer
RESULT = ("inspect", "eval result")     # commands that read a result; `verify` has an exit code of its own
FAST = ["--preset", "2d-3.125bpv", "--group-weights", "512", "--em-iterations", "2"]
BACKTRACKING = '{"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": false}'
Q_PROJ, NORM = MODEL_LAYER + "self_attn.q_proj.weight", MODEL_LAYER + "input_layernorm.weight"


@dataclasses.dataclass
class Row:
    """One bad input; `ids` are the rows of the matrix of bad inputs that it belongs to."""
    ids: str
    what: str
    damage: typing.Callable
    words: str
    code: int = 6
    commands: tuple = MODEL


def patched(key, change):
    """Replaces one tensor by change(dtype, shape, bytes)."""
    return tensors(lambda kept: kept.update({key: change(*kept[key])}))


def with_value(value):
    """The query projection with two of its weights replaced."""
    return patched(Q_PROJ, lambda dtype, shape, data: (dtype, shape, f32(value, value) + data[8:]))


def linear_weight(*values):
    """The weight that `linear` reads, 16 x 32, filled with the values; its Hessian is the identity."""
    def damage(root):
        (root / "linear.safetensors").write_bytes(safetensors({
            "w": ("F32", [16, 32], f32(*values) * (512 // len(values))),
            "h": ("F32", [32, 32], b"".join(f32(*(float(r == c) for c in range(32))) for r in range(32)))}))
    return damage


def linear_hessian(shape, data):
    def damage(root):
        linear_weight(0.5, -1.5)(root)
        kept = read_safetensors(root / "linear.safetensors")
        (root / "linear.safetensors").write_bytes(safetensors({**kept, "h": ("F32", shape, data)}))
    return damage


def sparse_terabyte(root):
    os.truncate(root / "model/model.safetensors", 1 << 40)


def equal_shards(root):
    shards(lambda weight_map: None)(root)
    shutil.copy(root / "model/one.safetensors", root / "model/two.safetensors")


def named_shard(file):
    return shards(lambda weight_map: weight_map.update({NORM: file}))


def nested_sequence(kind, key, depth):
    return f'{{"type": "Sequence", "{key}": [' * depth + f'{{"type": "{kind}"}}' + "]}" * depth


def ids(*values):
    return calibration("jsonl", json.dumps({"input_ids": values}).encode())


WEIGHTS = [
    Row("D48", "an empty file", weights(b""), "model.safetensors: offset 0: 0 bytes are too few"),
    Row("D48", "seven bytes", weights(bytes(7)), "offset 0: 7 bytes are too few"),
    Row("D48", "a header of no bytes", weights(bytes(8)), "offset 0: header length 0 holds no JSON"),
    Row("D48", "a header longer than the file", weights(b"\x40" + bytes(7) + b"{}"),
        "passes the end of the file of 10"),
    Row("D48", "a length that wraps", weights(b"\xff" * 8 + b"{}"),
        "header length 18446744073709551615, more than the limit"),
    Row("D48", "a length above 100 MB", weights((100_000_001).to_bytes(8, "little") + b"{}"),
        "more than the limit of 100000000"),
    Row("D49", "a header that is an array", weights(with_header(b"[]")),
        "offset 8: the header does not start with '{'"),
    Row("D49", "junk behind the header", weights(with_header(b"{}\n")), "the header does not end in '}'"),
    Row("D49", "a name that is not UTF-8", weights(with_header(b'{"\xff":1}')), "header at offset 8: line 1, column"),
    Row("D49", "a name twice", weights(with_header(b'{"t":1,"t":1}')), "duplicate key 't'"),
    Row("D49", "100 000 levels", weights(with_header(b'{"a":' + nested("[", "]", 100_000) + b"}")),
        "nested deeper than 4"),
    Row("D49", "a name of 513 bytes", weights(safetensors({"n" * 513: ("U8", [1], b"a")})), "name of 513 bytes"),
    Row("D50", "metadata that is a number", weights(with_header({"__metadata__": {"k": 1}})),
        "__metadata__ key 'k' is not a string"),
    Row("D50", "50 MB of metadata", weights(with_header({"__metadata__": {"k": "x" * 50_000_000}})),
        "longer than 1048576 bytes"),
    Row("D51", "a shape that wraps to 0", weights(one_tensor("[4294967296, 4294967296]", offsets="[0, 0]", data=b"")),
        "tensor 't': shape times element size passes 2^63"),
    Row("D51", "a negative side", weights(one_tensor("[-2]")), "shape holds -2"),
    Row("D51", "a fractional side", weights(one_tensor("[2.5]")), "shape holds 2.5"),
    Row("D51", "a side of 1e30", weights(one_tensor("[1e30]")), "shape holds 1e+30"),
    Row("D51", "nine dimensions", weights(one_tensor("[1,1,1,1,1,1,1,1,2]")), "shape has 9 dimensions, more than 8"),
    Row("D51", "a weight without dimensions", patched(NORM, lambda dtype, shape, data: (dtype, [], data[:4])),
        NORM + " is F32 []"),
    Row("D52", "more elements than bytes", weights(one_tensor("[3]")), "span 2 bytes, but U8 [3] takes 3"),
    Row("D52", "fewer elements than bytes", weights(one_tensor("[1]")), "span 2 bytes, but U8 [1] takes 1"),
    Row("D53", "offsets that run backwards", weights(one_tensor(offsets="[2, 0]")), "begin at 2 after their end at 0"),
    Row("D53", "tensors that overlap", weights(two_tensors([1, 3], b"abc")),
        "tensor 'u': begins at data offset 1 and overlaps"),
    Row("D53", "a gap", weights(two_tensors([3, 4], b"abcd")), "leaves a gap after 2"),
    Row("D53", "three offsets", weights(one_tensor(offsets="[0, 1, 2]")),
        "data_offsets is not an array of two integers"),
    Row("D53", "offsets as texts", weights(one_tensor(offsets='["0", "2"]')),
        "data_offsets is not an array of two integers"),
    Row("D54", "an empty tensor out of bounds", weights(two_tensors([9, 9], b"ab")),
        "tensor 'u': data_offsets end at 9, beyond the 2 bytes"),
    Row("D55", "an unknown dtype", weights(one_tensor(dtype='"F8_E9"')), 'dtype "F8_E9" is not supported'),
    Row("D55", "a dtype in lower case", weights(one_tensor(dtype='"u8"')), 'dtype "u8" is not supported'),
    Row("D55", "a dtype below a byte", weights(one_tensor("[3]", dtype='"F4"')), 'dtype "F4" is not supported'),
    Row("D55", "integers where weights should be", patched(NORM, lambda dtype, shape, data: ("I32", shape, data)),
        NORM + " is I32 [32]"),
    Row("D56", "a file that lacks its last byte", weights(one_tensor(data=b"a")), "beyond the 1 bytes of data"),
    Row("D57", "NaN among the weights", with_value(float("nan")),
        Q_PROJ + " has 2 values that are NaN or infinite, of 1024", commands=("quantize", "eval")),
    Row("D57", "infinity among the weights", with_value(float("inf")),
        Q_PROJ + " has 2 values that are NaN or infinite", commands=("quantize", "eval")),
    Row("D57", "NaN in one matrix", linear_weight(float("nan"), 1.0), "w: the weight at row 0, column 0 is nan",
        commands=("linear",)),
    Row("D57", "NaN in a Hessian", linear_hessian([32, 32], f32(float("nan")) * 1024), "finite", commands=("linear",)),
    Row("D58", "a shape that contradicts the config",
        patched(Q_PROJ, lambda dtype, shape, data: (dtype, [16, 32], data[:2048])), Q_PROJ + " is F32 [16, 32]"),
    Row("D58", "a Hessian of another size", linear_hessian([2, 2], f32(1, 0, 0, 1)),
        "the Hessian h is 2 x 2; the weight w of 16 x 32 needs 32 x 32", commands=("linear",)),
    Row("D59", "a missing tensor", tensors(lambda kept: kept.pop(NORM)), "missing tensors: " + NORM),
    Row("D59", "a tensor in two shards",
        equal_shards,
        "is in two shards, one.safetensors and two.safetensors"),
    Row("D60", "a pickle", weights(b"\x80\x02}q\x01.aaaaaaa"), "not a safetensors file but a Python pickle"),
    Row("D60", "a zip archive", weights(b"PK\x03\x04aaaaaaaa"), "a zip archive (a PyTorch checkpoint?)"),
    Row("D60", "a GGUF file", weights(b"GGUF\x03aaaaaaaa"), "not a safetensors file but a GGUF file"),
    Row("D60", "bytes behind the data", weights(one_tensor(data=b"abc")),
        "tensors end at data offset 2, but there are 3"),
    Row("D61", "an index that leads out", named_shard("../x.safetensors"), f"'{NORM}' names \"../x.safetensors\""),
    Row("D61", "an index that names a file of the system", named_shard("/etc/passwd"), 'names "/etc/passwd"'),
    Row("D61", "an index that names a subfolder", named_shard("a/b.safetensors"), 'names "a/b.safetensors"'),
    Row("D61", "an index that names a URL", named_shard("https://example.org/x.safetensors"),
        "which is not the name of a .safetensors file"),
    Row("D61", "an index with a NUL", named_shard("one.safetensors\0"), f"'{NORM}' names"),
    Row("D61", "a shard that is not there", named_shard("three.safetensors"),
        "names the shard three.safetensors, which is not in"),
    Row("D62", "a wrong total_size", shards(lambda weight_map: None, total_size=7),
        "total_size is 7, but the shards hold"),
    Row("D63", "a sparse file of a terabyte", sparse_terabyte, "bytes after the end"),
]

CONFIG = [
    Row("D64", "no JSON", config_text(b"{"), "config.json: line 1, column"),
    Row("D64", "a comma too many", config_text(b'{\n"hidden_size": 1,\n}'), "config.json: line 3"),
    Row("D64", "a key twice", config_text(b'{"a": 1, "a": 1}'), "config.json: duplicate key 'a'"),
    Row("D64", "a million levels", config_text(nested("[", "]", 400_000)), "config.json: nested deeper than 32 levels"),
    Row("D64", "200 MB", lambda root: os.truncate(root / "model/config.json", 200_000_000),
        "200000000 bytes, more than the limit of 1048576"),
    Row("D65", "a width of 0", config(hidden_size=0), "config.json: hidden_size is 0"),
    Row("D65", "a negative width", config(hidden_size=-1), "hidden_size is -1"),
    Row("D65", "a width of 2^31", config(hidden_size=1 << 31), "hidden_size is 2147483648"),
    Row("D65", "a fractional width", config(hidden_size=1.5), "hidden_size is 1.5"),
    Row("D65", "a width that is a text", config(hidden_size="4096"), 'hidden_size is "4096"'),
    Row("D65", "a width of null", config(hidden_size=None), "hidden_size is missing"),
    Row("D66", "a thousand million layers", config(num_hidden_layers=10**9), "num_hidden_layers is 1000000000"),
    Row("D66", "heads that do not divide the width", config(num_attention_heads=5, num_key_value_heads=5),
        "hidden_size is 32, not a multiple of num_attention_heads"),
    Row("D66", "more key heads than heads", config(num_key_value_heads=8), "num_key_value_heads is 8, must divide"),
    Row("D66", "an empty vocabulary", config(vocab_size=0), "vocab_size is 0"),
    Row("D67", "an unknown architecture", config(architectures=["T5ForConditionalGeneration"], model_type="t5"),
        'model_type is "t5"; supported are llama'),
    Row("D67", "code that comes with the model", config(auto_map={"AutoModel": "evil.Model"}),
        "auto_map names code that comes with the model; such code is never run"),
    Row("D68", "infinite rope_theta", config_text(b'{"rope_theta": 1e400}'), "number out of range"),
    Row("D68", "a negative rope factor", config(rope_scaling={"rope_type": "linear", "factor": -2}),
        "rope_scaling.factor is -2"),
    Row("D68", "an absurd rope factor", config(rope_scaling={"rope_type": "yarn", "factor": 1e30}),
        "rope_scaling.factor is 1e+30"),
    Row("D04", "no config.json", lambda root: (root / "model/config.json").unlink(), "config.json: No such file",
        code=3),
    Row("D04", "a file in the place of the output", lambda root: (root / "out").write_bytes(b""),
        "out: is a file, where a directory is needed", commands=("quantize", "submit")),
    Row("D04", "a pipe in the place of the output", lambda root: os.mkfifo(root / "packed.safetensors"),
        "packed.safetensors: is a pipe, not a file", commands=("linear",)),
    Row("D04", "no model", lambda root: shutil.rmtree(root / "model"), "No such file", code=3),
]

TEXTS = [
    Row("D69", "an id of 2^31 - 1", tokenizer_file(tokenizer('{"a": 0, "b": 2147483647}', "[]")),
        "tokenizer.json: model.vocab['b']: id 2147483647 is far above", commands=TEXT),
    Row("D70", "an id twice", tokenizer_file(tokenizer('{"a": 0, "b": 0}', "[]")), "id 0 is already that of 'a'",
        commands=TEXT),
    Row("D70", "a negative id", tokenizer_file(tokenizer('{"a": 0, "b": -1}', "[]")), "model.vocab['b']: not an id",
        commands=TEXT),
    Row("D70", "an empty vocabulary", tokenizer_file(tokenizer("{}", "[]")),
        "model.vocab: not an object with at least one token", commands=TEXT),
    Row("D70", "more tokens than the model has", tokenizer_file(tokenizer('{"a": 0, "b": 200}', "[]")),
        "the tokenizer gives id 200", commands=TEXT),
    Row("D71", "a merge of an unknown token", tokenizer_file(tokenizer(merges='["a x"]')),
        "model.merges[0]: 'x' is not in the vocabulary", commands=TEXT),
    Row("D71", "a token of 1 MB", tokenizer_file(tokenizer('{"a": 0, "' + "b" * (1 << 20) + '": 1}', "[]")),
        "more than the limit of 4096", commands=TEXT),
    Row("D71", "2^21 + 1 merges", tokenizer_file(tokenizer(merges="[" + "0," * (1 << 21) + "0]")),
        "model.merges: 2097153, more than the limit", commands=("calibration",)),
    Row("D72", "an expression that backtracks",
        tokenizer_file(tokenizer(pre_tokenizer=BACKTRACKING)),
        "unknown regular expression '(a+)+$'", commands=("calibration", "eval")),
    Row("D73", "normalizers six deep", tokenizer_file(tokenizer(normalizer=nested_sequence("NFC", "normalizers", 6))),
        "normalizers[0]", commands=TEXT),
    Row("D73", "post-processors 40 deep",
        tokenizer_file(tokenizer(post_processor=nested_sequence("ByteLevel", "processors", 40))), "nested deeper than",
        commands=TEXT),
    Row("D74", "an empty text", calibration("txt", b""), "too little text: 0 tokens", commands=TEXT),
    Row("D74", "a text of one byte", calibration("txt", b"a"), "too little text: 1 tokens", commands=TEXT),
    Row("D74", "only white space", calibration("jsonl", b" \n\t\n\r\n"), "too little text: 0 tokens", commands=TEXT),
    Row("D74", "bytes that are not UTF-8", calibration("txt", b"ab\nab\xff\n"),
        "calibration.txt: line 2: not UTF-8 at byte 5", commands=TEXT),
    Row("D74", "a NUL byte", calibration("txt", b"ab\0ab"), "line 1: a NUL byte at byte 2", commands=TEXT),
    Row("D74", "a line without an end",
        lambda root: [calibration("ids", b"1 ")(root), os.truncate(root / "calibration.ids", 1 << 30)],
        "line 1, from byte 0 on, is longer than", commands=TEXT),
    Row("D74", "a file that is compressed", calibration("txt", b"\x1f\x8b\x08aaaaaaa"), "a gzip file; give plain text",
        commands=TEXT),
    Row("D74", "a folder for a text",
        lambda root: [(root / "calibration.jsonl").unlink(), (root / "calibration.txt").mkdir()],
        "calibration.txt: is a directory, not a file", commands=("calibration", "quantize", "submit")),
    Row("D74", "a pipe for a text",
        lambda root: [(root / "calibration.jsonl").unlink(), os.mkfifo(root / "calibration.txt")],
        "calibration.txt: is a pipe, not a file", commands=("calibration", "quantize", "submit")),
    Row("D04", "no text", lambda root: (root / "calibration.jsonl").rename(root / "other.jsonl"),
        "calibration.txt: No such file", code=3, commands=("calibration", "quantize", "submit", "eval")),
    Row("D75", "a line without the key", calibration("jsonl", b'{"text": "ab"}\n{"body": "ab", "url": 1}\n'),
        "line 2: no key 'text'; the keys are: body, url", commands=TEXT),
    Row("D75", "a text that is a number", calibration("jsonl", b'{"text": "ab"}\n{"text": 7}\n'),
        "line 2: text is not a string", commands=TEXT),
    Row("D75", "a line 100 000 levels deep", calibration("jsonl", b'{"text": "ab"}\n' + nested("[", "]", 100_000)),
        "line 2: nested deeper than 32 levels", commands=TEXT),
    Row("D76", "an id outside the vocabulary", ids(1, 2, 128),
        "line 1: id 128 at index 2 is outside the vocabulary of 128", commands=TEXT),
    Row("D76", "a negative id", ids(1, -1), "input_ids[1] is not a token id", commands=TEXT),
]

RESULTS = [
    Row("D90", "an unknown major version", manifest(lambda kept: kept.update(format_version="2.0")), "2.0",
        commands=("inspect",)),
    Row("D90", "an unknown major version", manifest(lambda kept: kept.update(format_version="2.0")), "2.0", code=1,
        commands=("verify",)),
    Row("D90", "a digest that is none", manifest(lambda kept: kept["files"]["config.json"].update(sha256="00")),
        "files.config.json", code=1, commands=("verify",)),
    Row("D90", "a wrong digest", manifest(lambda kept: kept["files"]["config.json"].update(sha256="0" * 64)),
        "config.json: SHA-256 is", code=1, commands=("verify",)),
    Row("D90", "a path that leads out",
        manifest(lambda kept: kept["files"].update({"../x": kept["files"]["config.json"]})), 'files names "../x"',
        code=1, commands=("verify",)),
    Row("D90", "a path that leads out",
        manifest(lambda kept: kept["files"].update({"../x": kept["files"]["config.json"]})), 'files names "../x"',
        commands=("inspect",)),
    Row("D90", "no manifest", lambda root: (root / "result/gptvq_manifest.json").unlink(),
        "gptvq_manifest.json is missing", code=1, commands=("verify",)),
    Row("D90", "a manifest that is no JSON", lambda root: (root / "result/gptvq_manifest.json").write_text("{"),
        "gptvq_manifest.json: line 1", code=1, commands=("verify",)),
    Row("D91", "a flipped bit in the weights", flipped_bit("model.safetensors"), "model.safetensors: SHA-256 is",
        code=1, commands=("verify",)),
    Row("D91", "a flipped bit in the config", flipped_bit("config.json"), "config.json: SHA-256 is", code=1,
        commands=("verify",)),
    Row("D91", "a missing file", lambda root: (root / "result/config.json").unlink(), "config.json: missing", code=1,
        commands=("verify",)),
    Row("D91", "a file too many", lambda root: (root / "result/extra.bin").write_bytes(b"x"),
        "extra.bin: is not in the manifest", code=1, commands=("verify",)),
    Row("D91", "a file that was cut", lambda root: os.truncate(root / "result/model.safetensors", 100),
        "model.safetensors: 100 bytes, the manifest says", code=1, commands=("verify",)),
    Row("D91", "packed weights that were cut", lambda root: os.truncate(root / "result/model.safetensors", 100),
        "model.safetensors", commands=RESULT),
]

# What no command can cause within a test's time or without a race, and what is allowed: by the unit test's name.
ELSEWHERE = {
    "D49 10^6 + 1 tensors": "SafetensorsReader.RefusesMoreTensorsThanTheLimit",
    "D48 nothing is allocated": "SafetensorsReader.ChecksTheHeaderLengthBeforeReadingTheHeader",
    "D56 a file that shrinks while it is read": "SafetensorsReader.ReportsAFileThatShrinks",
    "D59 an extra tensor is copied": "AssembleCheckpoint.CopiesEverythingElseByteForByte",
    "D59 tied weights": "AssembleCheckpoint.WritesATiedHeadOnce",
    "D61 a shard that is a link": "Storage.NoLinkLeadsOutOfTheRoots",
    "D62 no total_size is a warning": "Checkpoint.WarnsOfWhatIsOddButUsable",
    "D64 a byte-order mark is skipped": "StrictJson.ReadsWhatRfc8259Allows",
    "D72 words take time like their length": "WordSplitter.ALongRunIsOneWord",
    "D74 a text is never wholly in memory": "ReadDocuments.ALongTextComesInPartsOfWholeLines",
    "D90 keys of a later minor version are ignored": "Manifest.IgnoresKeysOfALaterMinorVersion",
}


class BadInputTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = pathlib.Path(tempfile.mkdtemp(prefix="gptvq-bad-input-"))
        cls.addClassCleanup(shutil.rmtree, cls.scratch)
        cls.model = Model(layers=1, hidden=32)
        cls.addClassCleanup(cls.model.remove)
        cls.cluster = cls.enterClassContext(Cluster(cls.scratch / "cluster"))
        cls.sound = cls.scratch / "sound"
        shutil.copytree(cls.model.directory, cls.sound)
        made = cls.run_client("quantize", cls.sound)
        assert made.returncode == 0, made.stderr
        (cls.sound / "out").rename(cls.sound / "result")
        linear_weight(0.5, -1.5)(cls.sound)

    @classmethod
    def run_client(cls, command, root):
        text = next(root.glob("calibration.*"), root / "calibration.txt")
        job = ["--model", root / "model", "--calibration", text, "--samples", 4, "--sequence-length", 32]
        output = ["--output", root / "out", "--state-dir", cls.scratch / "state"]
        arguments = {
            "quantize": ["quantize", *job, *FAST, *output, "--threads", 1],
            "submit": ["submit", *job, *FAST, *output, "--coordinator", cls.cluster.address],
            "calibration": ["calibration", "inspect", *job],
            "eval": ["eval", root / "model", "--text", text, "--sequence-length", 32],
            "eval result": ["eval", root / "result", "--text", text, "--sequence-length", 32],
            "inspect": ["inspect", root / "result"],
            "verify": ["verify", root / "result"],
            "linear": ["linear", "--weight", f"{root / 'linear.safetensors'}:w", "--hessian",
                       f"{root / 'linear.safetensors'}:h", *FAST, "--output", root / "packed.safetensors"],
        }[command]
        return subprocess.run([BIN / "gptvq-client", *map(str, arguments)], capture_output=True, timeout=120,
                              check=False)

    def case(self):
        root = pathlib.Path(tempfile.mkdtemp(dir=self.scratch))
        self.addCleanup(shutil.rmtree, root)
        shutil.copytree(self.sound, root, dirs_exist_ok=True)
        return root

    def files(self, root):
        state = self.scratch / "state"
        return {path: (path.lstat().st_size, path.lstat().st_mtime_ns)
                for folder in (root, state) for path in folder.rglob("*")}

    def check_refusal(self, row, command, root):
        before = self.files(root)
        result = self.run_client(command, root)
        message = result.stderr.decode()
        self.assertEqual(result.returncode, row.code, message)
        self.assertIn(row.words, message)
        self.assertEqual(result.stdout, b"", message)
        self.assertEqual(self.files(root), before, "something was written")
        self.assertLess(len(message), 8000)
        self.assertIsNone(re.search("[\x00-\x09\x0b-\x1f\x7f]", message), "control characters in the message")

    def check_rows(self, rows):
        for row in rows:
            root = self.case()
            row.damage(root)
            for command in row.commands:
                with self.subTest(row.ids, what=row.what, command=command):
                    self.check_refusal(row, command, root)

    def test_weights(self):
        self.check_rows(WEIGHTS)

    def test_configuration(self):
        self.check_rows(CONFIG)

    def test_tokenizer_and_texts(self):
        self.check_rows(TEXTS)

    def test_results(self):
        self.check_rows(RESULTS)

    def test_verify_names_every_damage_at_once(self):
        root = self.case()
        flipped_bit("model.safetensors")(root)
        (root / "result/config.json").unlink()
        (root / "result/extra.bin").write_bytes(b"x")
        message = self.run_client("verify", root).stderr.decode()
        for file in ("model.safetensors: SHA-256", "config.json: missing", "extra.bin: is not in the manifest"):
            self.assertIn(file, message)

    def test_a_tensor_too_many_is_a_warning(self):
        """D59: odd, but no mistake; the owner is told before days of computing."""
        root = self.case()
        tensors(lambda kept: kept.update({"adapter.weight": ("F32", [2], f32(1, 2))}))(root)
        result = self.run_client("quantize", root)
        message = result.stderr.decode()
        self.assertEqual(result.returncode, 0, message)
        self.assertRegex(message, "warning: file://.*/model: .*keeps unchanged: adapter.weight")

    def test_zeros_and_denormals_are_quantized(self):
        """D57: odd, but no mistake; zeros come back exactly."""
        for values in ((0.0, -0.0), (1e-45, -1e-40)):
            root = self.case()
            linear_weight(*values)(root)
            result = self.run_client("linear", root)
            self.assertEqual(result.returncode, 0, result.stderr)
            dequantized = memoryview(read_safetensors(root / "packed.safetensors")["dequantized"][2]).cast("f")
            self.assertLessEqual(max(map(abs, dequantized)), max(map(abs, values)) * 1.01)

    def test_the_sound_input_is_taken(self):
        """Otherwise the rows would prove nothing."""
        root = self.case()
        for command in ("quantize", "submit", "eval", "calibration", "verify", "inspect", "eval result", "linear"):
            with self.subTest(command):
                self.assertEqual(self.run_client(command, root).returncode, 0)
        tokenizer_file(tokenizer())(root)
        shutil.rmtree(root / "out")
        for command in TEXT:
            with self.subTest(command):
                self.assertEqual(self.run_client(command, root).returncode, 0)

    def test_no_row_of_the_matrix_is_left_out(self):
        rows = {row.ids for row in WEIGHTS + CONFIG + TEXTS + RESULTS}
        rows.update(name.split()[0] for name in ELSEWHERE)
        self.assertLessEqual({f"D{number}" for number in [*range(48, 77), 90, 91]}, rows)
        tests = pathlib.Path(__file__).parents[1]
        sources = "".join(path.read_text() for folder in ("core", "platform")
                          for path in tests.glob(f"{folder}/**/*_test.cc"))
        for name in ELSEWHERE.values():
            self.assertIn("TEST({}, {})".format(*name.split(".")), sources)


if __name__ == "__main__":
    unittest.main(verbosity=1)
