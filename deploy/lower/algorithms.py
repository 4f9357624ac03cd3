"""Which algorithm computes a convolution: decided when a program is built, for the batch that it is to favour.

Never by the batch of a call: a row's bits depend on its input alone.
"""

from __future__ import annotations

from needle.sizes import Size

from ..fused_ops import FusedConv
from ..kernels import meetings

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
    if depth < 8 or out < 16:  # vectors would be half empty
        return 0
    rows, columns = height + 2 * op.padding - kernel + 1, width + 2 * op.padding - kernel + 1
    blocks = -(-out // 16)
    direct = meetings(height, kernel, 1, op.padding) * meetings(width, kernel, 1, op.padding)
    costs = {0: _products(direct * batch, kernel * kernel, depth, blocks)}
    for tile in (4, 2):
        points, tiles = (tile + 2) ** 2, -(-rows // tile) * -(-columns // tile) * batch
        transforms = tiles * points * (INPUT * -(-depth // 16) + OUTPUT * blocks)
        costs[tile] = _products(tiles * points, points, depth, blocks) + transforms
    return min(costs, key=lambda tile: (costs[tile], tile))


def _products(meetings: int, taps: int, depth: int, blocks: int) -> int:
    """The cost of so many outputs times taps, of weights that take at least the time to read them."""
    return max(meetings, READ * taps) * depth * blocks


def round_of(shape: tuple[int, ...], depth: int, outputs: int, batch: int) -> int:
    """How many tiles lie at their points at one time: whole rows of the products, in the second-level cache."""
    tiles = -(-shape[1] // outputs) * -(-shape[2] // outputs) * batch
    fit = FIT // ((outputs + 2) ** 2 * depth) // 8 * 8
    return int(min(tiles, max(16, min(64, fit))))
