"""Functions of a kernel's sizes: floats of scratch memory, as its header in csrc/nd asks for, and multiply-adds."""

from __future__ import annotations

from needle.sizes import Size, larger

from .plan import THREADS


def reduce_scratch(outer: int, count: int, inner: int) -> int:
    """A partial result for every 4,096 elements that lie side by side, every 256 that do not (csrc/nd/reduce.h)."""
    blocks = -(-count // (4096 if inner == 1 else 256))
    return 0 if not isinstance(count, Size) and blocks <= 1 else outer * blocks * inner


def group_norm_scratch(images: int, pixels: int, channels: int, groups: int) -> int:
    """As csrc/nd/group_norm.h asks."""
    return images * 6 * channels


def conv_scratch(
    images: int, height: int, width: int, depth: int, out: int, kernel: int, stride: int, padding: int
) -> int:
    """Floats per thread for copies of images (H, W, C): the most that conv_scratch asks for, whatever the batch.

    csrc/nd/conv_tiles.h copies fewer than 8 images with the zeros around them, or about 16,384 floats of more.
    """
    rows, columns = (extent(n, kernel, stride, padding) for n in (height, width))
    plain = height * width * depth
    return THREADS * max(7 * rows * columns * depth, (max(1, 16384 // plain) + 7) * plain)


def input_gradient_scratch(
    images: int, height: int, width: int, depth: int, out: int, kernel: int, stride: int, padding: int
) -> int:
    """Packed weights, and what the call with weights packed beforehand needs."""
    sizes = (images, height, width, depth, out, kernel, stride, padding)
    return kernel * kernel * packed(out, depth) + transposed_scratch(*sizes)


def transposed_scratch(
    images: int, height: int, width: int, depth: int, out: int, kernel: int, stride: int, padding: int
) -> int:
    """For each thread, copies of maps with the zeros around them (csrc/nd/conv_gradients.h)."""
    rows, columns = ((n + 2 * padding - kernel) // stride + 1 for n in (height, width))
    plain, around = rows * columns * out, 2 * -(-kernel // stride)
    copies = max(7 * (rows + around) * (columns + around) * out, (max(1, 16384 // plain) + 7) * plain)
    return THREADS * copies


def tiles_scratch(depth: int, out: int, points: int, round: int) -> int:
    """`round` tiles at their points, and for each thread sums of a panel of columns (csrc/nd/winograd_conv.h).

    There is memory for each thread alone: the tiles, which all of them read, are counted for every one.
    """
    blocks = -(-out // 16)
    inputs = -(-depth // 16) * (round * 16 + 16) + 16
    return THREADS * points * (inputs + round * min(blocks, 4 if round < 8 else 2) * 16 + 16)


def winograd_scratch(
    images: int, height: int, width: int, depth: int, out: int, padding: int, outputs: int, round: int
) -> int:
    """Tiles of 3 x 3 taps."""
    return tiles_scratch(depth, out, (outputs + 2) ** 2, round)


def winograd_transposed_scratch(
    images: int, height: int, width: int, depth: int, out: int, stride: int, padding: int, outputs: int, round: int
) -> int:
    """Tiles of 2 x 2 taps."""
    return tiles_scratch(out, depth, (outputs + 1) ** 2, round)


def attention_scratch(batch: int, heads: int, queries: int, keys: int, depth: int, causal: int) -> int:
    """For each thread: a block of packed queries, its scores and sums, tails, keys and values (csrc/nd/attention.h)."""
    block = 64 if keys <= 512 else 32
    copies = isinstance(queries, Size) or queries > block
    return THREADS * (block * (depth + keys + 2) + keys * (16 + (2 * depth if copies else 0)))


def cached_attention_scratch(batch: int, heads: int, steps: int, depth: int, slots: int, context: int) -> int:
    """For each thread: queries, scores and packed rows (csrc/nd/cached_attention.h)."""
    return THREADS * (larger(heads, 16) + 32) * (depth + context + 16)


def matmul_scratch(batch: int, rows: int, columns: int, depth: int) -> int:
    """For each thread: a packed right operand, and a panel of the left one (csrc/nd/gemm.h)."""
    return THREADS * (packed(depth, columns) + 240 * 768)


def packed(depth: int, columns: int) -> int:
    """Floats of a matrix (depth, columns) whose columns lie in blocks of 16."""
    return depth * -(-columns // 16) * 16


def used_taps(size: int, kernel: int, stride: int, padding: int) -> tuple[int, int]:
    """(first, count) of the taps that meet the map; csrc/nd/direct_conv.h expects only those."""
    outputs = (size + 2 * padding - kernel) // stride + 1
    first = max(0, padding - (outputs - 1) * stride)
    return first, min(kernel, size + padding) - first


def meetings(size: int, kernel: int, stride: int, padding: int) -> int:
    """How many pairs of an output and a tap along one axis meet the map."""
    outputs = (size + 2 * padding - kernel) // stride + 1
    return sum(0 <= o * stride + t - padding < size for o in range(outputs) for t in range(kernel))


def conv_work(
    images: int, height: int, width: int, depth: int, out: int, kernel: int, stride: int, padding: int
) -> int:
    """Those that meet no padding."""
    rows, columns = (meetings(n, kernel, stride, padding) for n in (height, width))
    return images * rows * columns * depth * out


def winograd_work(
    images: int, height: int, width: int, depth: int, out: int, padding: int, outputs: int, round: int
) -> int:
    """Those of direct sums, of which it makes do with fewer."""
    return conv_work(images, height, width, depth, out, 3, 1, padding)


def winograd_transposed_work(
    images: int, height: int, width: int, depth: int, out: int, stride: int, padding: int, outputs: int, round: int
) -> int:
    """The same for a kernel of twice the stride."""
    return conv_work(images, height, width, depth, out, 2 * stride, stride, padding)


def attention_work(batch: int, heads: int, queries: int, keys: int, depth: int, causal: int) -> int:
    """Scores and their sums of values."""
    return batch * heads * queries * keys * depth * (1 if causal else 2)


def extent(size: int, kernel: int, stride: int, padding: int) -> int:
    """The size of one axis with the zeros that the used taps read."""
    outputs = (size + 2 * padding - kernel) // stride + 1
    first, taps = used_taps(size, kernel, stride, padding)
    before = max(0, padding - first)
    return before + size + max(0, (outputs - 1) * stride + first - padding + taps - size)


def depthwise_scratch(
    images: int, height: int, width: int, channels: int, kernel: int, stride: int, top: int, left: int, dilation: int
) -> int:
    """Which taps meet each row and each column, in integers of 64 bits (csrc/nd/depthwise.h)."""
    longest = [
        2 * larger(n, (n + 2 * p - (kernel - 1) * dilation - 1) // stride + 1) * (1 + kernel)
        for n, p in ((height, top), (width, left))
    ]
    return 2 * sum(longest)


def grouped_scratch(
    images: int, height: int, width: int, depth: int, out: int, kernel: int, stride: int, padding: int, groups: int
) -> int:
    """Weights of blocks of groups, whole and packed, and for each thread copies of images (csrc/nd/grouped_conv.h)."""
    widest = max(1, out // groups)
    together = max([n for n in range(1, groups + 1) if n * widest <= 16 and groups % n == 0], default=1)
    inner, outer = together * depth // groups, together * widest
    weights = kernel * kernel * inner * outer + packed(kernel * kernel * inner, outer)
    return groups // together * weights + conv_scratch(images, height, width, inner, outer, kernel, stride, padding)


def byte_conv_scratch(
    images: int, height: int, width: int, depth: int, out: int, kernel: int, stride: int, padding: int, *rest: int
) -> int:
    """For each thread, copies of images with a border of what stands for zero (csrc/nd/byte_conv.h).

    Maps whose zero is 0 get one where images are few, others always.
    """
    rows, columns = (extent(n, kernel, stride, padding) for n in (height, width))
    if (rows, columns) == (height, width):
        return 0
    image = rows * columns * depth // 4
    return THREADS * image * (max(7, max(1, 16384 // image) + 7) if rest[0] else 7)
