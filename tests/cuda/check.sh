#!/bin/sh
# Everything about the device that can be shown without one (`make cuda-check`): the kernels in the emulator (simt.h) under
# AddressSanitizer, UBSan and the checker of races, also with blocks and threads in the opposite order; every op's cases through
# the emulated extension; and nvcc for every architecture, warnings as errors. What needs nvcc is skipped by name without it.
#   check.sh kernels    the first of these alone, which the tests run
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
simt="-std=c++17 -O1 -Wall -Wextra -Werror -Wno-unknown-pragmas -march=native -ffp-contract=off -fno-math-errno -x c++ -include $here/simt.h"
sanitize="-g1 -fsanitize=address,undefined -fno-sanitize-recover=all"

kernels() {  # name, flags
    for source in "$here"/test_*.cpp; do
        # shellcheck disable=SC2086  (flags are words)
        "${CXX:-c++}" $simt $2 "$source" -o "$out/kernels" && "$out/kernels" > "$out/log" 2>&1 || { cat "$out/log"; echo "kernels, $1: FAILED"; exit 1; }
        echo "kernels, $1: $(tail -n 1 "$out/log")"
    done
}
kernels "checked for races" "-DSIMT_CHECK"
[ "${1:-}" != kernels ] || exit 0
kernels "checked, sanitized, in the opposite order" "-DSIMT_CHECK -DSIMT_REVERSED $sanitize"

build() {  # folder, flags of the kernels
    cmake -S "$root" -B "$root/build/$1" -G "${GENERATOR:-Ninja}" -DNEEDLE_VARIANTS=native -DNEEDLE_CUDA=emulate -DCMAKE_BUILD_TYPE=Release \
        -DPython_EXECUTABLE="$("${PYTHON:-python3}" -c 'import sys; print(sys.executable)')" \
        -Dpybind11_DIR="$("${PYTHON:-python3}" -m pybind11 --cmakedir)" -DNEEDLE_SIMT_FLAGS="$2" > "$out/log" 2>&1 &&
        cmake --build "$root/build/$1" --target ndarray_backend_cuda >> "$out/log" 2>&1 || { cat "$out/log"; echo "the emulated extension: FAILED"; exit 1; }
}
cases() {  # folder, environment
    # shellcheck disable=SC2086
    (cd "$root" && env EMULATED="$(ls "$root/build/$1"/ndarray_backend_cuda*.so)" PYTHONPATH="$root" $2 "${PYTHON:-python3}" -m pytest -q -p tests.cuda.emulated tests/cuda)
}
build emulated ""
cases emulated ""
build emulated-checked "-DSIMT_CHECK;-g1;-fsanitize=address,undefined;-fno-sanitize-recover=all"
cases emulated-checked "ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD=$("${CXX:-c++}" -print-file-name=libasan.so):$("${CXX:-c++}" -print-file-name=libubsan.so)"

nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2> /dev/null || true)
if [ -z "$nvcc" ]; then echo "nvcc: skipped, for it is not here"; exit 0; fi
for source in "$root"/csrc/cuda/*.cu; do
    for arch in 75 80 86 89 90 100 120; do echo "-gencode=arch=compute_$arch,code=sm_$arch"; done | xargs "$nvcc" -std=c++17 -O3 -fmad=false \
        --expt-relaxed-constexpr -Werror=all-warnings -Xcompiler=-Wall,-Wextra -DND_ISA=cuda -DND_DEVICE=cuda -c "$source" -o "$out/object"
    echo "nvcc, $(basename "$source"): ok"
done
