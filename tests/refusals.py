"""What the ops refuse: (op, shapes of its inputs, what the message must say)."""

from __future__ import annotations

from typing import Any

from needle import ops

REFUSALS: list[tuple[Any, tuple[Any, ...], str]] = [
    (ops.EWiseAdd(), ((2, 3), (2, 4)), r"\[add\] shapes must be equal or broadcast, got \(2, 3\) and \(2, 4\)"),
    (ops.EWiseMul(), ((2, 3), (3, 2)), r"\[multiply\] .*\(2, 3\) and \(3, 2\)"),
    (ops.EWiseDiv(), ((2,), (3,)), r"\[divide\] .*\(2,\) and \(3,\)"),
    (ops.EWisePow(), ((2,), (3,)), r"\[power\] .*\(2,\) and \(3,\)"),
    (ops.MatMul(), ((2, 3), (2, 3)), r"\[matmul\] inner sizes must agree, got \(2, 3\) @ \(2, 3\)"),
    (ops.MatMul(), ((3,), (3, 2)), r"\[matmul\] needs at least 2 axes each, got \(3,\) @ \(3, 2\)"),
    (ops.MatMul(), ((2, 3, 4), (3, 4, 5)), r"\[matmul\] shapes must be equal or broadcast, got \(2,\) and \(3,\)"),
    (ops.Transpose(), ((3,),), r"\[transpose\] exchanges two axes, got axes \(-2, -1\) for 1 axes"),
    (ops.Transpose((0, 2)), ((3, 4),), r"\[transpose\] axis must be in -2\.\.1 for 2 axes, got 2"),
    (ops.Permute((0, 0)), ((3, 4),), r"\[permute\] axes must differ, got \(0, 0\)"),
    (ops.Permute((0,)), ((3, 4),), r"\[permute\] needs each of 2 axes once, got \(0,\)"),
    (ops.Reshape((5, 2)), ((3, 4),), r"\[reshape\] \(3, 4\) has 12 elements and cannot be seen as \(5, 2\)"),
    (ops.Reshape((-1, -1)), ((3, 4),), r"\[reshape\] .*\(-1, -1\)"),
    (ops.BroadcastTo((2, 4)), ((2, 3),), r"\[broadcast_to\] \(2, 3\) does not broadcast to \(2, 4\)"),
    (ops.Reshape((-3, -4)), ((3, 4),), r"\[reshape\] .*\(-3, -4\)"),
    (ops.BroadcastTo((-2, 3)), ((1, 3),), r"\[broadcast_to\] \(1, 3\) does not broadcast to \(-2, 3\)"),
    (ops.BroadcastTo((3,)), ((1, 3),), r"\[broadcast_to\] \(1, 3\) does not broadcast to \(3,\)"),
    (ops.Summation(2), ((2, 3),), r"\[summation\] axis must be in -2\.\.1 for 2 axes, got 2"),
    (ops.Summation((0, -2)), ((2, 3),), r"\[summation\] axes must differ"),
    (ops.LogSumExp((1,)), ((2, 0),), r"\[logsumexp\] needs at least one element along axes \(1,\), got \(2, 0\)"),
    (ops.Stack(0), (((2,), (3,)),), r"\[stack\] needs tensors of one shape, got \(2,\) and \(3,\)"),
    (ops.Split(3), ((2, 3),), r"\[split\] axis must be in -2\.\.1 for 2 axes, got 3"),
    (ops.Flip((2,)), ((2, 3),), r"\[flip\] axis must be in"),
    (ops.Dilate((0,), -1), ((2, 3),), r"\[dilate\] dilation must be 0 or more, got -1"),
    (ops.UnDilate((1,), 1), ((2, 3),), r"\[undilate\] axis 1 of \(2, 3\) must be a multiple of dilation \+ 1 = 2"),
    (ops.Conv(), ((1, 4, 4, 2), (3, 3, 3, 1)), r"\[conv\] channels must agree"),
    (ops.Conv(), ((1, 2, 4, 2), (3, 3, 2, 1)), r"\[conv\] kernel 3 does not fit \(1, 2, 4, 2\) with padding 0"),
    (ops.Conv(0), ((1, 4, 4, 2), (3, 3, 2, 1)), r"\[conv\] needs kernel, stride >= 1, padding >= 0, got 3, 0, 0"),
    (ops.Conv(), ((4, 4, 2), (3, 3, 2, 1)), r"\[conv\] needs images \(N, H, W, C\) and a square weight"),
    (ops.ConvInputGradient(1, 0, 4, 4), ((1, 3, 3, 1), (3, 3, 2, 1)), r"\[conv_input_gradient\] needs g \(N, 2, 2"),
    (ops.ConvWeightGradient(1, 0, 3), ((1, 4, 4, 2), (1, 3, 3, 1)), r"\[conv_weight_gradient\] needs g \(1, 2, 2, C\)"),
    (ops.Softmax(), ((),), r"\[softmax\] needs at least one element along the last axis, got \(\)"),
    (ops.LogSoftmax(), ((3, 0),), r"\[logsoftmax\] needs at least one element along the last axis, got \(3, 0\)"),
    (ops.CrossEntropy(), ((3, 4), (4,)), r"\[cross_entropy\] needs logits \(N, C\), labels \(N,\), got \(3, 4\)"),
    (ops.BatchNorm(), ((3, 4), (3,), (4,)), r"\[batch_norm\] needs x \(\.\.\., C\) and the others \(C,\)"),
    (ops.BatchNorm(), ((0, 4), (4,), (4,)), r"\[batch_norm\] needs at least one row of at least one"),
    (ops.LayerNorm(), ((3, 0), (0,), (0,)), r"\[layer_norm\] needs at least one row of at least one"),
    (ops.LayerNorm(), ((3, 4), (4,), (3,)), r"\[layer_norm\] needs x \(\.\.\., C\)"),
    (ops.Embed(), ((3,), (4,)), r"\[embed\] needs a weight \(n, d\), got \(4,\)"),
    (ops.LSTM(), ((3, 2, 8), (2, 3), (2, 2), (2, 8)), r"\[lstm\] needs gates \(T, B, 4H\) with T > 0"),
    (ops.LSTM(), ((3, 2, 8), (2, 2), (2, 3), (2, 8)), r"\[lstm\] needs c0 of the shape of h0 \(2, 2\), got \(2, 3\)"),
    (ops.Attention(1.0), ((1, 1, 2, 3), (1, 1, 2, 4), (1, 1, 2, 4)), r"\[attention\] needs q \(B, H, Tq, D\)"),
    (ops.Attention(1.0, True), ((1, 1, 3, 2), (1, 1, 2, 2), (1, 1, 2, 2)), r"\[attention\] needs a key for every"),
    (ops.TupleGetItem(2), (((2,), (3,)),), r"\[tuple_get_item\] index must be in 0\.\.1, got 2"),
]  # fmt: skip
