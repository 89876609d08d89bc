#!/usr/bin/env python3
"""Computes the tables of docs/sizing.md: what a job reads, writes, holds and sends, from the shape of a model.

usage: tools/sizing.py [--check docs/sizing.md]

With --check nothing is printed: fails unless the page holds exactly these tables.
"""

import dataclasses
import pathlib
import sys

GB = 1e9
SAMPLES, SEQUENCE_LENGTH = 128, 2048  # what submit takes unless told otherwise
TOKENS = SAMPLES * SEQUENCE_LENGTH
# Exact bits per value of a 4096 x 4096 linear (gptvq-client presets); wider ones have a little less.
PRESETS = {"2d-2.125bpv": 2.1328, "2d-3.125bpv": 3.1270, "2d-4.125bpv": 4.1255}
ACTIVATION_BYTES = {"CPU, f32": 4, "16-bit activations": 2}


@dataclasses.dataclass
class Model:
    name: str
    layers: int
    hidden: int
    intermediate: int
    key_value_width: int
    vocabulary: int

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

    def worker_bytes(self, activation_bytes: int) -> int:
        """The parts that grow: a layer's weights in f32; this layer and the next as they are stored; the activations and the
        attention's output of all tokens; the widest Hessian with its factor and the work space of its factorisation, in f32."""
        return (4 + 2 * 2) * self.layer_weights() + 2 * self.boundary_bytes(activation_bytes) + 3 * 4 * self.intermediate**2


MODELS = [
    Model("7B (Llama 2)", 32, 4096, 11008, 4096, 32000),
    Model("70B (Llama 3.1)", 80, 8192, 28672, 1024, 128256),
    Model("405B (Llama 3.1)", 126, 16384, 53248, 1024, 128256),
]


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def gigabytes(value: float) -> str:
    return f"{value / GB:.1f}"


def tables() -> list[str]:
    storage = table(
        ["model", "layers", "weights of a layer", "source, GB", *(f"result `{preset}`, GB" for preset in PRESETS)],
        [[m.name, str(m.layers), f"{m.layer_weights() / 1e6:.0f} M", gigabytes(m.source_bytes()),
          *(gigabytes(m.result_bytes(bits)) for bits in PRESETS.values())] for m in MODELS])
    memory = table(
        ["model", *(f"boundary, {name}, GB" for name in ACTIVATION_BYTES), *(f"worker, {name}, GB" for name in ACTIVATION_BYTES)],
        [[m.name, *(gigabytes(m.boundary_bytes(size)) for size in ACTIVATION_BYTES.values()),
          *(gigabytes(m.worker_bytes(size)) for size in ACTIVATION_BYTES.values())] for m in MODELS])
    bits = PRESETS["2d-2.125bpv"]
    network = table(
        ["model", "a layer read, GB", "a layer published, GB", "boundaries of 8 shards, GB", "all reads of a parallel job, GB"],
        [[m.name, gigabytes(2 * m.layer_weights()), gigabytes(m.layer_bytes(bits)), gigabytes(7 * m.boundary_bytes(4)),
          gigabytes(2 * m.source_bytes() + 7 * m.boundary_bytes(4))] for m in MODELS])
    return [storage, memory, network]


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--check"] and len(arguments) == 2:
        page = pathlib.Path(arguments[1]).read_text()
        missing = [text for text in tables() if text not in page]
        if missing:
            raise SystemExit(f"{arguments[1]} is not what tools/sizing.py computes; it lacks:\n\n" + "\n".join(missing))
    elif arguments:
        raise SystemExit(__doc__)
    else:
        print("\n".join(tables()), end="")


if __name__ == "__main__":
    main(sys.argv[1:])
