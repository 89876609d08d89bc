#!/usr/bin/env python3
"""Computes the tables of docs/performance.md: what quantizing a model costs on GPUs at their roofs, from the shape of the model,
the recipe and the data sheet of a device. Nothing in it was measured on a GPU.

usage: tools/roofline.py [--check docs/performance.md]

With --check nothing is printed: fails unless the page holds exactly these tables.
"""

import dataclasses
import math
import pathlib
import sys

# H100 SXM, from its data sheet: operations and bytes a second.
BF16, TF32, FP64_TENSOR, F32 = 989e12, 494e12, 67e12, 67e12
MEMORY = 3.35e12
NVLINK = 450e9  # each way
# Assumed: a position of a sweep is a chain of shared-memory reads, shuffles and barriers of some 1 500 clocks.
POSITION_SECONDS = 1e-6
TILE_ROWS, TILE_PLACES = 64, 132 * 3  # of an H100 at a time

GPUS, GPUS_OF_A_NODE = (1, 8, 64), 8

SAMPLES, SEQUENCE_LENGTH = 128, 2048
TOKENS = SAMPLES * SEQUENCE_LENGTH

# The recipe: QuantSpec's defaults and the constants of core/quant/vector_recipe.cc. EM stops early, after some 50 of 100, and so does
# the first update, after 6 of 25: the mean of 35 linears of SmolLM2-135M, none of which took more than 14.
EM_ITERATIONS, SWEEPS_PER_BLOCK = 50, 3
FIRST_UPDATE_STEPS = 6
PASSES_PER_UPDATE, ANNEALING_UPDATE_STEPS, SETTLING_PASSES = 4, 2, 4
BLOCK_COLUMNS = 128
HESSIAN_PANELS = 1.06  # operations of the panels over those of the triangle: core/cuda/launch_plan.h


@dataclasses.dataclass
class Recipe:
    """What trades time for quality, as flags of gptvq-client."""

    passes: int = 48  # --refinement-passes
    steps: int = 25  # --update-iterations

    def short_updates(self) -> int:
        return self.passes // PASSES_PER_UPDATE + SETTLING_PASSES

    def whole_products(self) -> int:
        """An update is its steps and one product that forms the gradient anew; so do the signal's loss, the sweep and the end."""
        steps = min(self.steps, FIRST_UPDATE_STEPS) + self.short_updates() * min(self.steps, ANNEALING_UPDATE_STEPS)
        return steps + 1 + self.short_updates() + 3

    def block_sweeps(self) -> int:
        return 1 + self.passes * SWEEPS_PER_BLOCK + SETTLING_PASSES


# With the relative error, and that on text which was not calibrated on, of 35 linears of SmolLM2-135M by bench/quant_quality.
RECIPES = [(Recipe(), "0.0194", "0.0259"), (Recipe(48, 1), "0.0194", "0.0259"), (Recipe(32, 1), "0.0197", "0.0262"),
           (Recipe(24, 1), "0.0198", "0.0263"), (Recipe(16, 1), "0.0201", "0.0266"), (Recipe(12, 1), "0.0203", "0.0268")]


@dataclasses.dataclass
class Product:
    """How a product of f32 matrices is made (core/cuda/products.cc)."""

    factor_bytes: float  # per element of a factor
    piece: int  # inner elements between two visits to the result
    operations: int  # of the device for one of the product
    roof: float
    roof_name: str


# Read, written in two halves as three, read; or read, written in bf16, read.
FULL = Product(28.0, 1024, 3, TF32, "TF32")
COARSE = Product(8.0, 4096, 1, BF16, "bf16")


@dataclasses.dataclass
class Preset:
    name: str
    vector_dim: int
    centroids: int
    bits: float  # stored, per value


PRESETS = [Preset("2d-2.125bpv", 2, 16, 2.125), Preset("2d-3.125bpv", 2, 64, 3.125), Preset("4d-2.25bpv", 4, 256, 2.25)]


@dataclasses.dataclass
class Model:
    name: str
    layers: int
    hidden: int
    intermediate: int
    key_value_width: int

    def linears(self) -> list[tuple[int, int]]:
        """Rows and columns of q, k, v, o, gate, up, down."""
        h, i, kv = self.hidden, self.intermediate, self.key_value_width
        return [(h, h), (kv, h), (kv, h), (h, h), (i, h), (i, h), (h, i)]

    def hessian_widths(self) -> list[int]:
        return [self.hidden, self.hidden, self.hidden, self.intermediate]

    def layer_weights(self) -> int:
        return sum(r * c for r, c in self.linears())

    def positions(self, vector_dim: int) -> int:
        return sum(c // vector_dim for _, c in self.linears())


Linears = list[tuple[int, int]]  # rows and columns of each

MODELS = [Model("Llama-2-70B", 80, 8192, 28672, 1024), Model("Llama-3-8B", 32, 4096, 14336, 1024)]


@dataclasses.dataclass
class Stage:
    name: str
    operations: float  # of one layer, as the algorithm needs them
    bytes: float
    bound: str
    seconds: float


def row_bytes(kind: Product, columns: int, inner: int) -> float:
    """Per row: of the first factor and of the result."""
    return kind.factor_bytes * inner + 8.0 * columns * math.ceil(inner / kind.piece)


def by_halves(kind: Product, blocks: int, directions: int) -> tuple[float, float]:
    """Bytes per row, and multiplications per row, of telling `blocks` blocks of columns by halves (core/quant/by_halves.h)."""
    if blocks <= 1:
        return 0, 0
    left = 2 ** math.ceil(math.log2(blocks)) // 2
    bytes_, products = 0.0, 0.0
    for source, target in ((left, blocks - left), (blocks - left, left))[:directions]:
        source, target = source * BLOCK_COLUMNS, target * BLOCK_COLUMNS
        bytes_ += row_bytes(kind, target, source)
        products += source * target
    for part in (left, blocks - left):
        part_bytes, part_products = by_halves(kind, part, directions)
        bytes_, products = bytes_ + part_bytes, products + part_products
    return bytes_, products


def products(linears: Linears, kind: Product, directions: int) -> tuple[float, float]:
    """Operations and bytes of telling each of `linears` once: in one or both directions by halves, or (0) at once."""
    operations, bytes_ = 0.0, 0.0
    for rows, cols in linears:
        of_a_row, multiplications = row_bytes(kind, cols, cols), cols * cols
        if directions > 0:
            of_a_row, multiplications = by_halves(kind, cols // BLOCK_COLUMNS, directions)
        operations += 2 * rows * multiplications
        bytes_ += rows * of_a_row + kind.factor_bytes * cols * cols * (directions or 2) / 2
    return operations, bytes_


def product_stage(name: str, linears: Linears, kind: Product, directions: int, count: int) -> "Stage":
    operations, bytes_ = products(linears, kind, directions)
    return stage(name, count * operations, count * bytes_, kind.roof, kind.roof_name, kind.operations)


def stage(name: str, operations: float, bytes_: float, roof: float, roof_name: str, factor: int = 1) -> Stage:
    """`factor`: operations of the device for one of the algorithm."""
    compute, memory = factor * operations / roof, bytes_ / MEMORY
    return Stage(name, operations, bytes_, roof_name if compute >= memory else "memory", max(compute, memory))


def product_stages(linears: Linears, recipe: Recipe) -> list[Stage]:
    return [
        product_stage("products of the sweep", linears, FULL, 1, 1),
        product_stage("products of noisy passes", linears, COARSE, 2, recipe.passes),
        product_stage("products of settling passes", linears, FULL, 2, SETTLING_PASSES),
        product_stage("products of updates", linears, FULL, 0, recipe.whole_products()),
    ]


def forward_operations(model: Model) -> float:
    attention = 4 * TOKENS * SEQUENCE_LENGTH / 2 * model.hidden
    return 2 * TOKENS * model.layer_weights() + attention


def stages(model: Model, preset: Preset, recipe: Recipe = Recipe()) -> list[Stage]:
    weights, d, k = model.layer_weights(), preset.vector_dim, preset.centroids
    gate_up = 2 * model.hidden * model.intermediate
    widths = model.hessian_widths()
    vectors = weights / d
    sweeps = recipe.block_sweeps()
    chain = sweeps * model.positions(d) * POSITION_SECONDS
    choice = sweeps * vectors * (k * (2 * d + 1) + 2 * d * BLOCK_COLUMNS)
    inside = Stage("blocks of sweep and refinement", choice, sweeps * 16.0 * weights,
                   *(("latency", chain) if chain > choice / F32 else ("f32", choice / F32)))
    return [
        stage("forward, gate and up twice", forward_operations(model) + 2 * TOKENS * gate_up,
              2.0 * TOKENS * (12 * model.hidden + 6 * model.intermediate), BF16, "bf16"),
        stage("Hessians", HESSIAN_PANELS * TOKENS * sum(c * c for c in widths),
              TOKENS / 2048 * sum(8 * c * c / 2 for c in widths), BF16, "bf16"),
        stage("reversed Cholesky", sum(c**3 / 3 for c in widths), 16 * sum(c**3 / (6 * 256) for c in widths), FP64_TENSOR,
              "FP64 tensor"),
        stage("EM", EM_ITERATIONS * vectors * k * (4 * d + 2), EM_ITERATIONS * 8.0 * weights, F32, "f32"),
        inside,
        *product_stages(model.linears(), recipe),
    ]


def exchanged_bytes(model: Model) -> float:
    """What all GPUs of a team hold together of a layer's inputs and Hessians, and each of them needs."""
    widths = model.hessian_widths()
    return 2.0 * TOKENS * sum(widths) + 4 * HESSIAN_PANELS / 2 * sum(c * c for c in widths)


def layer_seconds(model: Model, preset: Preset, gpus: int = 1) -> float:
    """With several GPUs (docs/adr/0010): rows are shared out; the factorisation and the chain of positions are not. Every GPU
    gets the calibration rows of the others, in bf16, at every input, and their panels of the Hessians."""
    alone = {"reversed Cholesky"}
    seconds = 0.0
    for s in stages(model, preset):
        seconds += s.seconds if s.name in alone or s.bound == "latency" else s.seconds / gpus
    share = (gpus - 1) / gpus
    return seconds + share * exchanged_bytes(model) / NVLINK


def hidden_seconds(linears: Linears, preset: Preset, recipe: Recipe = Recipe()) -> float:
    """What linears of one input gain side by side (docs/adr/0018), at best: blocks wait for latency, products for tensor cores, so those
    of one linear run beside these of another; inside a linear they take turns. Blocks of several linears run at once if
    all their tiles have a place."""
    blocks = [recipe.block_sweeps() * cols // preset.vector_dim * POSITION_SECONDS for _, cols in linears]
    tensor = [sum(s.seconds for s in product_stages([linear], recipe)) for linear in linears]
    tiles = sum(math.ceil(rows / TILE_ROWS) for rows, _ in linears)
    chain = max(blocks) if tiles <= TILE_PLACES else sum(blocks)
    longest = max(chain, sum(tensor), *(b + t for b, t in zip(blocks, tensor)))
    return sum(blocks) + sum(tensor) - longest


def side_by_side_table() -> str:
    rows = []
    for model in MODELS:
        q, k, v, _, gate, up, _ = model.linears()
        for preset in PRESETS:
            in_turn = model.layers * layer_seconds(model, preset)
            attention, mlp = (model.layers * hidden_seconds(linears, preset) for linears in ([q, k, v], [gate, up]))
            rows.append([f"{model.name} `{preset.name}`", number(in_turn), number(attention), number(mlp),
                         number(in_turn - attention - mlp)])
    return table(["job", "one after the other, s", "hidden of q, k, v, s", "of gate, up, s", "side by side, s"], rows)


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def number(value: float) -> str:
    """Two digits."""
    if value >= 1e6:
        return f"{value:.1e}".replace("e+", "e")
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def roofline_table() -> str:
    model, preset = MODELS[0], PRESETS[0]
    rows = [[s.name, number(model.layers * s.operations), number(model.layers * s.bytes), s.bound,
             number(model.layers * s.seconds)] for s in stages(model, preset)]
    rows.append(["sum", "", "", "", number(model.layers * layer_seconds(model, preset))])
    return table(["stage", "operations", "bytes", "bound by", "seconds"], rows)


def presets_table() -> str:
    rows = []
    for model in MODELS:
        for preset in PRESETS:
            seconds = {s.name: model.layers * s.seconds for s in stages(model, preset)}
            passes = seconds["products of noisy passes"] + seconds["products of settling passes"]
            rows.append([f"{model.name} `{preset.name}`", number(seconds["forward, gate and up twice"] + seconds["Hessians"] +
                                                                 seconds["reversed Cholesky"]),
                         number(seconds["EM"]), number(seconds["blocks of sweep and refinement"]),
                         number(passes + seconds["products of the sweep"]), number(seconds["products of updates"]),
                         number(sum(seconds.values()))])
    return table(["job", "forward, Hessians, factor, s", "EM, s", "blocks, s", "products of sweep and refinement, s",
                  "of updates, s", "sum, s"], rows)


def scale_rows(model: Model, preset: Preset) -> list[list[str]]:
    weights = model.layer_weights()
    source, packed = 2.0 * model.layers * weights, model.layers * weights * preset.bits / 8
    boundary = 2.0 * TOKENS * model.hidden
    capture = forward_operations(model) / BF16
    rows = []

    def add(mode: str, gpus: int, busy: int, seconds: float, network: float, storage: float, note: str) -> None:
        rows.append([f"{model.name} `{preset.name}`", mode, str(gpus), str(busy), number(seconds), number(network / 1e9),
                     number(storage / 1e9), note])

    for gpus in GPUS:
        busy = min(gpus, GPUS_OF_A_NODE)
        layer = layer_seconds(model, preset, busy)
        add("sequential", gpus, busy, model.layers * layer, source + packed, 2 * weights / layer,
            "" if busy == 1 else "one node")
    for gpus in GPUS:
        layer = layer_seconds(model, preset)
        shard = math.ceil(model.layers / gpus)
        shards = math.ceil(model.layers / shard)
        before_last = (shards - 1) * shard * capture
        if shards == 1:
            add("parallel", gpus, 1, model.layers * layer, source + packed, 2 * weights / layer, "one shard: sequential")
            continue
        network = 2 * source + packed + 2 * (shards - 1) * boundary
        storage = max((2 * weights + boundary / shard) / capture, shards * 2 * weights / layer)
        add("parallel", gpus, shards, before_last + shard * layer, network, storage, f"{shards} shards of {shard}")
    return rows


def scale_table() -> str:
    jobs = [(MODELS[0], preset) for preset in PRESETS] + [(MODELS[1], PRESETS[0])]
    return table(["job", "propagation", "GPUs", "of them busy", "critical path, s", "over the network, GB",
                  "storage so that nothing waits, GB/s", ""], [row for job in jobs for row in scale_rows(*job)])


def recipe_table() -> str:
    jobs = [(MODELS[0], preset) for preset in PRESETS] + [(MODELS[1], PRESETS[0])]
    rows = []
    for recipe, error, held_out in RECIPES:
        seconds = [number(m.layers * sum(s.seconds for s in stages(m, p, recipe))) for m, p in jobs]
        rows.append([str(recipe.passes), str(recipe.steps), *seconds, error, held_out])
    return table(["passes", "steps", *(f"{m.name} `{p.name}`, s" for m, p in jobs), "error", "held out"], rows)


def tables() -> list[str]:
    return [roofline_table(), presets_table(), recipe_table(), side_by_side_table(), scale_table()]


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--check"] and len(arguments) == 2:
        page = pathlib.Path(arguments[1]).read_text()
        missing = [text for text in tables() if text not in page]
        if missing:
            raise SystemExit(f"{arguments[1]} is not what tools/roofline.py computes; it lacks:\n\n" + "\n".join(missing))
    elif arguments:
        raise SystemExit(__doc__)
    else:
        print("\n".join(tables()), end="")


if __name__ == "__main__":
    main(sys.argv[1:])
