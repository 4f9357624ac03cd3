// Run by CMake to learn which instruction sets a build for this machine alone compiles: prints "v2", "v3" or "v4".
#include "../processor.h"
#include <cstdio>

int main() { std::printf("v%d", static_cast<int>(nd::processor_isa())); }
