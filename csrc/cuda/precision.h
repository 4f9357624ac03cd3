// How exactly products of float32 are computed on the device: one choice for the process. The words are PyTorch's, in
// the order of needle/precision.py.
#pragma once

namespace nd {

enum class Precision {
    highest,  // float32
    high,     // operands rounded to TF32: float32's exponents, 10 bits of the fraction
    medium,   // operands rounded to bfloat16, 7 bits; sums are float32's in all three
};

void choose_product_precision(Precision chosen);

// What was chosen, if the device in use has tensor cores for it, else the highest.
Precision product_precision();

}  // namespace nd
