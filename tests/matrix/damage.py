"""Parts of model directories, good and bad, written from the formats themselves."""

import json
import struct

MODEL_LAYER = "model.layers.0."


def f32(*values):
    return struct.pack(f"<{len(values)}f", *values)


def with_header(header, data=b""):
    """A safetensors file of a header, as bytes or as what JSON it holds."""
    if not isinstance(header, bytes):
        header = json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + data


def safetensors(tensors):
    """A sound safetensors file of {name: (dtype, shape, bytes)}."""
    header, data = {}, b""
    for name, (dtype, shape, values) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    return with_header(header, data)


def read_safetensors(path):
    """The inverse of safetensors()."""
    contents = path.read_bytes()
    data = 8 + struct.unpack("<Q", contents[:8])[0]
    header = json.loads(contents[8:data])
    header.pop("__metadata__", None)
    return {name: (entry["dtype"], entry["shape"],
                   contents[data + entry["data_offsets"][0]:data + entry["data_offsets"][1]])
            for name, entry in header.items()}


def one_tensor(shape="[2]", dtype='"U8"', offsets="[0, 2]", data=b"ab"):
    """A file of one tensor `t`, whose fields are spelled as given."""
    return with_header(f'{{"t": {{"dtype": {dtype}, "shape": {shape}, "data_offsets": {offsets}}}}}'.encode(), data)


def two_tensors(offsets, data):
    """The sound tensor `t` of two bytes, and an empty or short one `u` at `offsets`."""
    return with_header({"t": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]},
                        "u": {"dtype": "U8", "shape": [offsets[1] - offsets[0]], "data_offsets": offsets}}, data)


def nested(opening, closing, depth):
    return (opening * depth + closing * depth).encode()


def tokenizer(vocab='{"a": 0, "b": 1, "\\u0120": 2, "ab": 3}', merges='["a b"]', added_tokens="[]", normalizer="null",
              pre_tokenizer='{"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}',
              post_processor="null"):
    """A tokenizer.json, whose parts are spelled as given."""
    return (f'{{"version": "1.0", "added_tokens": {added_tokens}, "normalizer": {normalizer}, "pre_tokenizer": '
            f'{pre_tokenizer}, "post_processor": {post_processor}, "model": {{"type": "BPE", "vocab": {vocab}, '
            f'"merges": {merges}}}}}').encode()


# ---- Damage: functions of the folder of a case, in which `model`, `result` and `calibration.jsonl` are sound. ----

def weights(contents):
    return lambda root: (root / "model/model.safetensors").write_bytes(contents)


def tensors(change):
    """The model's weights after change({name: (dtype, shape, bytes)})."""
    def damage(root):
        path = root / "model/model.safetensors"
        kept = read_safetensors(path)
        change(kept)
        path.write_bytes(safetensors(kept))
    return damage


def linear_weight(*values):
    """The weight that `linear` reads, 16 x 32, filled with the values; its Hessian is the identity."""
    def damage(root):
        (root / "linear.safetensors").write_bytes(safetensors({
            "w": ("F32", [16, 32], f32(*values) * (512 // len(values))),
            "h": ("F32", [32, 32], b"".join(f32(*(float(r == c) for c in range(32))) for r in range(32)))}))
    return damage


def shards(change, total_size=None):
    """The model in two shards behind an index; change(weight_map) spoils it."""
    def damage(root):
        path = root / "model/model.safetensors"
        whole = read_safetensors(path)
        path.unlink()
        names = sorted(whole)
        weight_map = {name: f"{'one' if name in names[::2] else 'two'}.safetensors" for name in names}
        for file in ("one", "two"):
            part = {name: whole[name] for name in names if weight_map[name] == f"{file}.safetensors"}
            (root / f"model/{file}.safetensors").write_bytes(safetensors(part))
        change(weight_map)
        size = sum(len(values) for _, _, values in whole.values()) if total_size is None else total_size
        (root / "model/model.safetensors.index.json").write_text(
            json.dumps({"metadata": {"total_size": size}, "weight_map": weight_map}))
    return damage


def config(**changes):
    def damage(root):
        path = root / "model/config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return damage


def config_text(contents):
    return lambda root: (root / "model/config.json").write_bytes(contents)


def tokenizer_file(contents):
    """A tokenizer, and a text for it to read."""
    def damage(root):
        (root / "model/tokenizer.json").write_bytes(contents)
        calibration("txt", b"ab ab ab\n" * 500)(root)
    return damage


def calibration(suffix, contents):
    """The calibration as a file of another kind; a text gets a sound tokenizer."""
    def damage(root):
        (root / "calibration.jsonl").unlink()
        (root / f"calibration.{suffix}").write_bytes(contents)
        if not (root / "model/tokenizer.json").exists():
            (root / "model/tokenizer.json").write_bytes(tokenizer())
    return damage


def manifest(change):
    def damage(root):
        path = root / "result/gptvq_manifest.json"
        kept = json.loads(path.read_text())
        change(kept)
        path.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n")
    return damage


def flipped_bit(file):
    def damage(root):
        path = root / "result" / file
        contents = bytearray(path.read_bytes())
        contents[len(contents) // 2] ^= 1
        path.write_bytes(contents)
    return damage
