"""D48-D63: safetensors."""

import os
import shutil

from case import Case, check
from damage import (MODEL_LAYER, f32, linear_weight, nested, one_tensor, read_safetensors, safetensors, shards, tensors,
                    two_tensors, weights, with_header)
from files import accepted, by_test, damaged

Q_PROJ, NORM = MODEL_LAYER + "self_attn.q_proj.weight", MODEL_LAYER + "input_layernorm.weight"


def patched(key, change):
    """Replaces one tensor by change(dtype, shape, bytes)."""
    return tensors(lambda kept: kept.update({key: change(*kept[key])}))


def with_value(value):
    """The query projection with two of its weights replaced."""
    return patched(Q_PROJ, lambda dtype, shape, data: (dtype, shape, f32(value, value) + data[8:]))


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


def quantize_small_values(lab):
    seen = []
    for values in ((0.0, -0.0), (1e-45, -1e-40)):
        root = lab.case()
        linear_weight(*values)(root)
        seen.append(lab.client_on("linear", root))
        dequantized = memoryview(read_safetensors(root / "packed.safetensors")["dequantized"][2]).cast("f")
        check(max(map(abs, dequantized)) <= max(map(abs, values)) * 1.01, "other values come back")
    return seen


CASES = [
    damaged("D48", "an empty file", weights(b""), "model.safetensors: offset 0: 0 bytes are too few"),
    damaged("D48", "seven bytes", weights(bytes(7)), "offset 0: 7 bytes are too few"),
    damaged("D48", "a header of no bytes", weights(bytes(8)), "offset 0: header length 0 holds no JSON"),
    damaged("D48", "a header longer than the file", weights(b"\x40" + bytes(7) + b"{}"),
            "passes the end of the file of 10"),
    damaged("D48", "a length that wraps", weights(b"\xff" * 8 + b"{}"),
            "header length 18446744073709551615, more than the limit"),
    damaged("D48", "a length above 100 MB", weights((100_000_001).to_bytes(8, "little") + b"{}"),
            "more than the limit of 100000000"),
    damaged("D49", "a header that is an array", weights(with_header(b"[]")),
            "offset 8: the header does not start with '{'"),
    damaged("D49", "junk behind the header", weights(with_header(b"{}\n")), "the header does not end in '}'"),
    damaged("D49", "a name that is not UTF-8", weights(with_header(b'{"\xff":1}')),
            "header at offset 8: line 1, column"),
    damaged("D49", "a name twice", weights(with_header(b'{"t":1,"t":1}')), "duplicate key 't'"),
    damaged("D49", "100 000 levels", weights(with_header(b'{"a":' + nested("[", "]", 100_000) + b"}")),
            "nested deeper than 4"),
    damaged("D49", "a name of 513 bytes", weights(safetensors({"n" * 513: ("U8", [1], b"a")})), "name of 513 bytes"),
    damaged("D50", "metadata that is a number", weights(with_header({"__metadata__": {
        "k": 1
    }})), "__metadata__ key 'k' is not a string"),
    damaged("D50", "50 MB of metadata", weights(with_header({"__metadata__": {
        "k": "x" * 50_000_000
    }})), "longer than 1048576 bytes"),
    damaged("D51", "a shape that wraps to 0", weights(one_tensor("[4294967296, 4294967296]", offsets="[0, 0]",
                                                                 data=b"")),
            "tensor 't': shape times element size passes 2^63"),
    damaged("D51", "a negative side", weights(one_tensor("[-2]")), "shape holds -2"),
    damaged("D51", "a fractional side", weights(one_tensor("[2.5]")), "shape holds 2.5"),
    damaged("D51", "a side of 1e30", weights(one_tensor("[1e30]")), "shape holds 1e+30"),
    damaged("D51", "nine dimensions", weights(one_tensor("[1,1,1,1,1,1,1,1,2]")),
            "shape has 9 dimensions, more than 8"),
    damaged("D51", "a weight without dimensions", patched(NORM, lambda dtype, shape, data: (dtype, [], data[:4])),
            NORM + " is F32 []"),
    damaged("D52", "more elements than bytes", weights(one_tensor("[3]")), "span 2 bytes, but U8 [3] takes 3"),
    damaged("D52", "fewer elements than bytes", weights(one_tensor("[1]")), "span 2 bytes, but U8 [1] takes 1"),
    damaged("D53", "offsets that run backwards", weights(one_tensor(offsets="[2, 0]")),
            "begin at 2 after their end at 0"),
    damaged("D53", "tensors that overlap", weights(two_tensors([1, 3], b"abc")),
            "tensor 'u': begins at data offset 1 and overlaps"),
    damaged("D53", "a gap", weights(two_tensors([3, 4], b"abcd")), "leaves a gap after 2"),
    damaged("D53", "three offsets", weights(one_tensor(offsets="[0, 1, 2]")),
            "data_offsets is not an array of two integers"),
    damaged("D53", "offsets as texts", weights(one_tensor(offsets='["0", "2"]')),
            "data_offsets is not an array of two integers"),
    damaged("D54", "an empty tensor out of bounds", weights(two_tensors([9, 9], b"ab")),
            "tensor 'u': data_offsets end at 9, beyond the 2 bytes"),
    damaged("D55", "an unknown dtype", weights(one_tensor(dtype='"F8_E9"')), 'dtype "F8_E9" is not supported'),
    damaged("D55", "a dtype in lower case", weights(one_tensor(dtype='"u8"')), 'dtype "u8" is not supported'),
    damaged("D55", "a dtype below a byte", weights(one_tensor("[3]", dtype='"F4"')), 'dtype "F4" is not supported'),
    damaged("D55", "integers where weights should be", patched(NORM, lambda dtype, shape, data: ("I32", shape, data)),
            NORM + " is I32 [32]"),
    damaged("D56", "a file that lacks its last byte", weights(one_tensor(data=b"a")), "beyond the 1 bytes of data"),
    damaged("D57",
            "NaN among the weights",
            with_value(float("nan")),
            Q_PROJ + " has 2 values that are NaN or infinite, of 1024",
            commands=("quantize", "eval")),
    damaged("D57",
            "infinity among the weights",
            with_value(float("inf")),
            Q_PROJ + " has 2 values that are NaN or infinite",
            commands=("quantize", "eval")),
    damaged("D57",
            "NaN in one matrix",
            linear_weight(float("nan"), 1.0),
            "w: the weight at row 0, column 0 is nan",
            commands=("linear",)),
    damaged("D57",
            "NaN in a Hessian",
            linear_hessian([32, 32],
                           f32(float("nan")) * 1024),
            "finite",
            commands=("linear",)),
    damaged("D58", "a shape that contradicts the config",
            patched(Q_PROJ, lambda dtype, shape, data: (dtype, [16, 32], data[:2048])), Q_PROJ + " is F32 [16, 32]"),
    damaged("D58",
            "a Hessian of another size",
            linear_hessian([2, 2], f32(1, 0, 0, 1)),
            "the Hessian h is 2 x 2; the weight w of 16 x 32 needs 32 x 32",
            commands=("linear",)),
    damaged("D59", "a missing tensor", tensors(lambda kept: kept.pop(NORM)), "missing tensors: " + NORM),
    damaged("D59", "a tensor in two shards", equal_shards, "is in two shards, one.safetensors and two.safetensors"),
    damaged("D60", "a pickle", weights(b"\x80\x02}q\x01.aaaaaaa"), "not a safetensors file but a Python pickle"),
    damaged("D60", "a zip archive", weights(b"PK\x03\x04aaaaaaaa"), "a zip archive (a PyTorch checkpoint?)"),
    damaged("D60", "a GGUF file", weights(b"GGUF\x03aaaaaaaa"), "not a safetensors file but a GGUF file"),
    damaged("D60", "bytes behind the data", weights(one_tensor(data=b"abc")),
            "tensors end at data offset 2, but there are 3"),
    damaged("D61", "an index that leads out", named_shard("../x.safetensors"), f"'{NORM}' names \"../x.safetensors\""),
    damaged("D61", "an index that names a file of the system", named_shard("/etc/passwd"), 'names "/etc/passwd"'),
    damaged("D61", "an index that names a subfolder", named_shard("a/b.safetensors"), 'names "a/b.safetensors"'),
    damaged("D61", "an index that names a URL", named_shard("https://example.org/x.safetensors"),
            "which is not the name of a .safetensors file"),
    damaged("D61", "an index with a NUL", named_shard("one.safetensors\0"), f"'{NORM}' names"),
    damaged("D61", "a shard that is not there", named_shard("three.safetensors"),
            "names the shard three.safetensors, which is not in"),
    damaged("D62", "a wrong total_size", shards(lambda weight_map: None, total_size=7),
            "total_size is 7, but the shards hold"),
    damaged("D63", "a sparse file of a terabyte", sparse_terabyte, "bytes after the end"),
    by_test("D48", "a length of 2^40: nothing is allocated for it", "core/format/format_reader_test",
            "SafetensorsReader.ChecksTheHeaderLengthBeforeReadingTheHeader"),
    by_test("D49", "a tensor more than 10^6", "core/format/format_reader_test",
            "SafetensorsReader.RefusesMoreTensorsThanTheLimit"),
    by_test("D56", "a file that shrinks while it is read", "core/format/format_reader_test",
            "SafetensorsReader.ReportsAFileThatShrinks"),
    Case("D57",
         "zeros, negative zeros and denormals",
         quantize_small_values,
         "exit 0",
         note="odd, but no mistake; zeros come back exactly"),
    accepted("D59",
             "an extra tensor",
             tensors(lambda kept: kept.update({"adapter.weight": ("F32", [2], f32(1, 2))})), ("quantize", ),
             "keeps unchanged: adapter.weight",
             note="a warning, before days of computing"),
    by_test("D59", "an extra tensor is in the result", "core/format/format_result_test",
            "AssembleCheckpoint.CopiesEverythingElseByteForByte"),
    by_test("D59", "a head that is tied to the embedding", "core/format/format_result_test",
            "AssembleCheckpoint.WritesATiedHeadOnce"),
    by_test("D61", "a shard that is a link out of the roots", "platform/object_store/object_store_test",
            "Storage.NoLinkLeadsOutOfTheRoots"),
    by_test("D62", "an index without total_size", "core/format/format_reader_test",
            "Checkpoint.WarnsOfWhatIsOddButUsable"),
]
