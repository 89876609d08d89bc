#!/usr/bin/env python3
"""Computes the tables of docs/sizing.md: what a job reads, writes and sends, from the shape of a model, and what a worker holds,
which the programs themselves plan: their coordinator is asked about a model of that shape without weights.

usage: tools/sizing.py DIRECTORY_OF_PROGRAMS [--check docs/sizing.md]

With --check nothing is printed: fails unless the page holds exactly these tables.
"""

import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile
import time

GB = 1e9
SAMPLES, SEQUENCE_LENGTH = 128, 2048  # what submit takes unless told otherwise
TOKENS = SAMPLES * SEQUENCE_LENGTH
# Exact bits per value of a 4096 x 4096 linear (gptvq-client presets); wider ones have a little less.
PRESETS = {"2d-2.125bpv": 2.1328, "2d-3.125bpv": 3.1270, "2d-4.125bpv": 4.1255}
START_SECONDS = 60  # of a coordinator, against hangs only


@dataclasses.dataclass
class Model:
    name: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    key_value_heads: int
    vocabulary: int

    @property
    def key_value_width(self) -> int:
        return self.hidden // self.heads * self.key_value_heads

    def layer_weights(self) -> int:
        """q and o; k and v; gate, up and down."""
        return 2 * self.hidden**2 + 2 * self.hidden * self.key_value_width + 3 * self.hidden * self.intermediate

    def other_weights(self) -> int:
        """Embeddings and output head, two norms a layer and the last one: they stay as they are."""
        return 2 * self.vocabulary * self.hidden + (2 * self.layers + 1) * self.hidden

    def source_bytes(self) -> int:
        return 2 * (self.layers * self.layer_weights() + self.other_weights())  # bf16

    def result_bytes(self, bits: float) -> float:
        return self.layers * self.layer_weights() * bits / 8 + 2 * self.other_weights()

    def layer_bytes(self, bits: float) -> float:
        return self.layer_weights() * bits / 8

    def boundary_bytes(self, activation_bytes: int) -> int:
        return TOKENS * self.hidden * activation_bytes

    def config(self) -> dict:
        return {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": self.hidden,
                "intermediate_size": self.intermediate, "num_hidden_layers": self.layers, "num_attention_heads": self.heads,
                "num_key_value_heads": self.key_value_heads, "vocab_size": self.vocabulary, "rms_norm_eps": 1e-5,
                "rope_theta": 500000.0, "max_position_embeddings": 131072, "tie_word_embeddings": False,
                "hidden_act": "silu", "torch_dtype": "bfloat16"}

    def tensors(self) -> dict[str, list[int]]:
        """Shapes by name."""
        shapes = {"model.embed_tokens.weight": [self.vocabulary, self.hidden], "lm_head.weight": [self.vocabulary, self.hidden],
                  "model.norm.weight": [self.hidden]}
        of_layer = {"self_attn.q_proj": [self.hidden, self.hidden], "self_attn.o_proj": [self.hidden, self.hidden],
                    "self_attn.k_proj": [self.key_value_width, self.hidden], "self_attn.v_proj": [self.key_value_width, self.hidden],
                    "mlp.gate_proj": [self.intermediate, self.hidden], "mlp.up_proj": [self.intermediate, self.hidden],
                    "mlp.down_proj": [self.hidden, self.intermediate],
                    "input_layernorm": [self.hidden], "post_attention_layernorm": [self.hidden]}
        for layer in range(self.layers):
            shapes |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in of_layer.items()}
        return shapes


MODELS = [
    Model("7B (Llama 2)", 32, 4096, 11008, 32, 32, 32000),
    Model("70B (Llama 3.1)", 80, 8192, 28672, 64, 8, 128256),
    Model("405B (Llama 3.1)", 126, 16384, 53248, 128, 8, 128256),
]


def write_without_weights(model: Model, directory: pathlib.Path) -> None:
    """A checkpoint whose data is a hole of the file system: as large as the real one to those who ask, and no block of disk."""
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(model.config()))
    header, end = {}, 0
    for name, shape in model.tensors().items():
        begin, end = end, end + 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with open(directory / "model.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)


def plans(programs: pathlib.Path) -> dict[str, dict]:
    """What `submit --dry-run` says of each model's memory, by name."""
    with tempfile.TemporaryDirectory(prefix="gptvq-sizing-") as scratch:
        root = pathlib.Path(scratch)
        address = f"unix:{root}/socket"
        (root / "text.txt").write_text("calibration\n")
        coordinator = subprocess.Popen([programs / "gptvq-coordinator", "--listen", address, "--data-dir", root / "data",
                                        "--address-file", root / "address"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + START_SECONDS
            while not (root / "address").exists():
                if coordinator.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit("the coordinator does not start")
                time.sleep(0.05)
            return {model.name: ask(model, root, programs / "gptvq-client", address) for model in MODELS}
        finally:
            coordinator.terminate()
            coordinator.wait()


def ask(model: Model, root: pathlib.Path, client: pathlib.Path, address: str) -> dict:
    directory = root / f"layers-{model.layers}"
    write_without_weights(model, directory)
    answer = subprocess.run([client, "submit", "--dry-run", "-o", "json", "--coordinator", address, "--state-dir", root / "state",
                             "--model", directory, "--calibration", root / "text.txt", "--output", root / "result",
                             "--preset", "2d-3.125bpv", "--samples", str(SAMPLES), "--sequence-length", str(SEQUENCE_LENGTH)],
                            check=True, capture_output=True, text=True)
    return json.loads(answer.stdout)["memory"]


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def gigabytes(value: float) -> str:
    return f"{value / GB:.1f}"


def tables(programs: pathlib.Path) -> list[str]:
    storage = table(
        ["model", "layers", "weights of a layer", "source, GB", *(f"result `{preset}`, GB" for preset in PRESETS)],
        [[m.name, str(m.layers), f"{m.layer_weights() / 1e6:.0f} M", gigabytes(m.source_bytes()),
          *(gigabytes(m.result_bytes(bits)) for bits in PRESETS.values())] for m in MODELS])
    planned = plans(programs)
    memory = table(
        ["model", "a GPU, GB", "beside it the host, GB", "or a CPU's host, GB", "boundary of a GPU, GB", "boundary of a CPU, GB"],
        [[m.name, *(gigabytes(planned[m.name][key]) for key in ("gpu_device_bytes", "gpu_host_bytes", "cpu_host_bytes")),
          gigabytes(m.boundary_bytes(2)), gigabytes(m.boundary_bytes(4))] for m in MODELS])
    bits = PRESETS["2d-2.125bpv"]
    network = table(
        ["model", "a layer read, GB", "a layer published, GB", "boundaries of 8 shards, GB", "all reads of a parallel job, GB"],
        [[m.name, gigabytes(2 * m.layer_weights()), gigabytes(m.layer_bytes(bits)), gigabytes(7 * m.boundary_bytes(4)),
          gigabytes(2 * m.source_bytes() + 7 * m.boundary_bytes(4))] for m in MODELS])
    return [storage, memory, network]


def main(arguments: list[str]) -> None:
    if len(arguments) == 3 and arguments[1] == "--check":
        page = pathlib.Path(arguments[2]).read_text()
        missing = [text for text in tables(pathlib.Path(arguments[0])) if text not in page]
        if missing:
            raise SystemExit(f"{arguments[2]} is not what tools/sizing.py computes; it lacks:\n\n" + "\n".join(missing))
    elif len(arguments) == 1 and not arguments[0].startswith("-"):
        print("\n".join(tables(pathlib.Path(arguments[0]))), end="")
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
