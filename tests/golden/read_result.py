#!/usr/bin/env python3
"""Reads a gptvq result by the words of docs/format.md, with nothing but Python's standard library.

usage: read_result.py DIRECTORY            prints checksums of every packed linear as JSON
       read_result.py --check DIRECTORY    compares them with DIRECTORY/../expected.json

An implementation that shares no line with the C++ reader: what the golden files are held against.
"""

import json
import math
import pathlib
import struct
import sys


def read_safetensors(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    buffer = data[8 + length :]
    return {
        name: (entry["dtype"], entry["shape"], buffer[entry["data_offsets"][0] : entry["data_offsets"][1]])
        for name, entry in header.items()
    }


def numbers(tensor):
    dtype, _, data = tensor
    if dtype == "BF16":
        halves = struct.unpack(f"<{len(data) // 2}H", data)
        return [struct.unpack("<f", struct.pack("<I", half << 16))[0] for half in halves]
    letter = {"I8": "b", "U8": "B", "F16": "e", "F32": "f", "I32": "i"}[dtype]
    return struct.unpack(f"<{len(data) // struct.calcsize(letter)}{letter}", data)


def bits(row, position, count):
    """`count` bits from bit `position` on, least significant first (5.1)."""
    value = 0
    for j in range(count):
        value |= (row[(position + j) // 8] >> ((position + j) % 8) & 1) << j
    return value


def packed_row(tensor, r):
    width = tensor[1][1]
    return tensor[2][r * width : (r + 1) * width]


def codebooks(tensors, module, layout, groups):
    """[groups][K][d] as floats (5.2)."""
    k, d = 2 ** layout["index_bits"], layout["vector_dim"]
    if layout["codebook"] == "svd":
        codes, basis = numbers(tensors[f"{module}.vq_svd_codes"]), numbers(tensors[f"{module}.vq_svd_basis"])
        rank = layout["svd_rank"]
        return [
            [[sum(codes[g * rank + j] * basis[j * k + c] for j in range(rank))] for c in range(k)] for g in range(groups)
        ]
    values = numbers(tensors[f"{module}.vq_codebooks"])
    scales = [1.0] * groups
    if layout["codebook"] == "int8":
        scales = numbers(tensors[f"{module}.vq_codebook_scales"])
    return [
        [[values[(g * k + c) * d + e] * scales[g] for e in range(d)] for c in range(k)] for g in range(groups)
    ]


def vector_weights(tensors, module, rows, cols, layout):
    d, b, weights_per_group = layout["vector_dim"], layout["index_bits"], layout["group_weights"]
    width = min(layout["columns_per_group"], weights_per_group)
    stripes, groups = [], 0  # 4.1, 4.2
    for begin in range(0, cols, width):
        v = min(width, cols - begin)
        blocks = max(1, min(rows, rows * v // weights_per_group))
        stripes.append((begin, v, groups, blocks))
        groups += blocks
    books = codebooks(tensors, module, layout, groups)
    result = []
    for r in range(rows):
        row, position, line = packed_row(tensors[f"{module}.vq_indices"], r), 0, []
        for begin, v, first_group, blocks in stripes:
            block = next(i for i in range(blocks) if r < (i + 1) * rows // blocks)
            for i in range(v // d):
                line += books[first_group + block][bits(row, position + i * b, b)]
            position += (v // d * b + 7) // 8 * 8
        scale_columns = layout["block_scale_columns"]
        if scale_columns:  # 5.3
            params = numbers(tensors[f"{module}.vq_block_scale_params"])
            codes = packed_row(tensors[f"{module}.vq_block_scales"], r)
            for c in range(cols):
                s = c // scale_columns
                line[c] *= 2.0 ** (params[2 * s] + params[2 * s + 1] * bits(codes, 4 * s, 4))
        result.append(line)
    return result


def uniform_weights(tensors, module, rows, cols, layout):
    b, group_columns = layout["bits"], layout["group_columns"]
    groups = -(-cols // group_columns)
    scales = numbers(tensors[f"{module}.uq_scales"])
    order = numbers(tensors[f"{module}.uq_permutation"]) if layout["permuted"] else range(cols)
    result = []
    for r in range(rows):
        codes = packed_row(tensors[f"{module}.uq_codes"], r)
        zeros = packed_row(tensors[f"{module}.uq_zero_points"], r)
        line = [0.0] * cols
        for i in range(cols):
            g = i // group_columns
            line[order[i]] = scales[r * groups + g] * (bits(codes, i * b, b) - bits(zeros, g * b, b))  # 6.2
        result.append(line)
    return result


def checksums(directory):
    config = json.loads((directory / "config.json").read_text())["quantization_config"]
    assert config["quant_method"] == "gptvq" and config["format_version"].split(".")[0] == "1"
    tensors = {}
    for path in sorted(directory.glob("*.safetensors")):
        tensors.update(read_safetensors(path))
    sums = {}
    for module, entry in config["modules"].items():
        layout = entry.get("layout", config["layout"])
        read = vector_weights if layout["kind"] == "vector" else uniform_weights
        rows, cols = entry["shape"]
        flat = [w for line in read(tensors, module, rows, cols, layout) for w in line]
        sums[module] = {
            "sum": math.fsum(flat),
            "weighted_sum": math.fsum(w * (i % 97 + 1) for i, w in enumerate(flat)),
            "absolute_sum": math.fsum(abs(w) for w in flat),
        }
    return sums


def main():
    check = sys.argv[1] == "--check"
    directory = pathlib.Path(sys.argv[2 if check else 1])
    sums = checksums(directory)
    if not check:
        print(json.dumps(sums, indent=1, sort_keys=True))
        return 0
    expected = json.loads((directory.parent / "expected.json").read_text())
    assert expected.keys() == sums.keys(), f"{directory}: other modules than expected"
    for module, stated in expected.items():
        bound = 97e-12 * stated["absolute_sum"]  # powers of two differ in the last bit from one libm to another
        if any(not math.isclose(sums[module][key], stated[key], rel_tol=0, abs_tol=bound) for key in stated):
            print(f"{directory}: {module}: {sums[module]} instead of {stated}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
