// What programs call for convolutions in groups of channels.
#include "conv.h"
#include "depthwise.h"
#include "program.h"

namespace nd {
namespace {

void check_grouped(const Draft& draft) {
    const int64_t depth = draft.known(3, "the number of channels", 1), out = draft.known(4, "the number of outputs", 1);
    draft.known(5, "the kernel size", 1);
    draft.known(6, "the stride", 1);
    draft.known(7, "the padding", 0);
    const int64_t groups = draft.known(8, "the number of groups", 1);
    check_epilogue(draft, 13, 4);
    if (depth % groups != 0 || out % groups != 0)
        draft.refuse("groups must divide " + std::to_string(depth) + " and " + std::to_string(out) + ", got " + std::to_string(groups));
}

void check_depthwise(const Draft& draft) {
    draft.known(4, "the kernel size", 1);
    draft.known(5, "the stride", 1);
    draft.known(6, "the padding", 0);
    draft.known(7, "the padding", 0);
    draft.known(8, "the dilation", 1);
    check_epilogue(draft, 12, 4);
}

}  // namespace

std::vector<Kernel> grouped_kernels() {
    return {
        // images, height, width, in, out, kernel, stride, padding, groups, strides of x, steps; x, weights (K, K, in / groups, out), y,
        // scratch, what the steps read
        {"grouped_conv", -1, 0, -1, 1u << 2 | 1u << 3, nullptr, check_grouped, [](const Arguments& a) {
            const int64_t* n = a.integers;
            const Map x{a.operands[0], {n[9], n[10], n[11], n[12]}};
            grouped_conv().finished(a.on, {n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7]}, n[8], x, a.operands[1], a.operands[2],
                               a.operands[3], steps_of(a, 13, 4)); }},
        // images, height, width, channels, kernel, stride, padding of rows, of columns, dilation, strides of x (image, row,
        // pixel), steps; x, weights (K, K, channels), y, scratch, what the steps read
        {"depthwise", -1, 0, -1, 1u << 2 | 1u << 3, nullptr, check_depthwise, [](const Arguments& a) {
            const int64_t* n = a.integers;
            const DepthwiseShape shape{n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8]};
            depthwise().run(a.on, shape, {a.operands[0], n[9], n[10], n[11]}, a.operands[1], a.operands[2], a.operands[3],
                            steps_of(a, 12, 4)); }},
    };
}

}  // namespace nd
