"""Which algorithm computes a convolution: decided when a program is built, for the batch that it is to favour.

Never by the batch of a call: a row's bits depend on its input alone.
"""

from __future__ import annotations

from needle.sizes import Size

from ..fused_ops import FusedConv, FusedTransposedConv
from ..kernel_sizes import meetings

# Costs in multiply-adds of a vector of 16 floats, of which a core does two in a cycle.
READ = 12  # to read 16 weights, which have left the nearer caches since the last run
FIT = 1 << 18  # floats: half of a second-level cache of 2 MB
INPUT, OUTPUT = 12, 10  # to take a value to a point, or from it: additions, stores of what registers do not hold


def tile_outputs(op: FusedConv, kernel: int, shape: tuple[int, ...], out: int, batch: int) -> int:
    """The side of Winograd's tiles for this convolution of maps (N, H, W, I), 0 where direct sums are faster.

    F(4 x 4, 3 x 3) takes 36 multiply-adds for 16 outputs, F(2 x 2, 3 x 3) 16 for 4, direct sums 144 and 36; their
    weights are 4 and 1.8 times as large, and are read once in a call. Errors are about twice those of direct sums.
    """
    _, height, width, depth = shape
    if kernel != 3 or op.stride != 1 or op.padding > 2 or any(isinstance(n, Size) for n in shape[1:]):
        return 0
    rows, columns = height + 2 * op.padding - kernel + 1, width + 2 * op.padding - kernel + 1
    direct = meetings(height, kernel, 1, op.padding) * meetings(width, kernel, 1, op.padding)
    return _cheapest(direct, 3, [(rows, columns)], depth, out, batch)


def transposed_tile_outputs(op: FusedTransposedConv, kernel: int, shape: tuple[int, ...], out: int, batch: int) -> int:
    """The same for a transposed convolution whose kernel is twice its stride S: S x S phases of 2 x 2 taps.

    F(4 x 4, 2 x 2) takes 25 multiply-adds for 16 outputs, F(2 x 2, 2 x 2) 9 for 4, direct sums 64 and 16.
    """
    if kernel != 2 * op.stride or any(isinstance(n, Size) for n in (*shape[1:], op.height, op.width)):
        return 0
    down, across = ([-(-(n - k) // op.stride) for k in range(min(op.stride, n))] for n in (op.height, op.width))
    direct = meetings(op.height, kernel, op.stride, op.padding) * meetings(op.width, kernel, op.stride, op.padding)
    return _cheapest(direct, 2, [(a, b) for a in down for b in across], shape[3], out, batch)


def _cheapest(direct: int, taps: int, phases: list[tuple[int, int]], depth: int, out: int, batch: int) -> int:
    """The side of the tiles that cost least over the outputs (rows, columns) of all phases; 0 for direct sums, which
    multiply `direct` pairs of outputs and taps. Each phase has weights of its own.
    """
    if depth < 8 or out < 16:  # vectors would be half empty
        return 0
    blocks = -(-out // 16)
    costs = {0: _products(direct * batch, len(phases) * taps * taps, depth, blocks)}
    for tile in (4, 2):
        points = (tile + taps - 1) ** 2
        transforms = points * (INPUT * -(-depth // 16) + OUTPUT * blocks)
        tiles = [-(-rows // tile) * -(-columns // tile) * batch for rows, columns in phases]
        costs[tile] = sum(_products(n * points, points, depth, blocks) + n * transforms for n in tiles)
    return min(costs, key=lambda tile: (costs[tile], tile))


def _products(meetings: int, taps: int, depth: int, blocks: int) -> int:
    """The cost of so many outputs times taps, of weights that take at least the time to read them."""
    return max(meetings, READ * taps) * depth * blocks


def round_of(outputs: tuple[int, ...], depth: int, tile: int, taps: int, batch: int) -> int:
    """How many tiles lie at their points at one time: whole rows of the products, in the second-level cache."""
    tiles = -(-outputs[0] // tile) * -(-outputs[1] // tile) * batch
    fit = FIT // ((tile + taps - 1) ** 2 * depth) // 8 * 8
    return int(min(tiles, max(16, min(64, fit))))
