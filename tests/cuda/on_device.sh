#!/bin/sh
# Everything that needs a CUDA device, in one go of a few minutes: build for its architecture, run the device's tests on it, then
# the table of ratios against PyTorch. It has never been run: no device was at hand when it was written.
#
#     tests/cuda/on_device.sh RESULTS     -> RESULTS/device.json and RESULTS/device.md
#
# For a bare machine with nvcc, g++ and a Python with PyTorch, without a network: what that Python lacks (pytest, pillow,
# pybind11) is taken from build/site, which `python -m pip install --target build/site pytest pillow pybind11` fills before.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
results=$1
cd "$root"
mkdir -p "$results" build/device
results=$(cd "$results" && pwd)
export PYTHONPATH="$root:$root/build/site" PATH="$PATH:/usr/local/cuda/bin"
python=${PYTHON:-python3}
arch=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)
suffix=$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')
pybind=$("$python" -c 'import pybind11; print(pybind11.get_include())')
python_include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
into=needle/backend_ndarray

# Lines "object compiler arguments...", compiled as many at a time as there are processors.
host="-std=c++17 -fPIC -fvisibility=hidden -DNDEBUG -I$pybind -I$python_include"
g++ -std=c++17 csrc/bind/configure/isa.cpp -o build/device/isa
isa=$(build/device/isa)
{
    for source in csrc/bind/*.cpp; do
        name=$(basename "$source" .cpp)
        echo "build/device/cpu_$name.o g++ $host -O1 -DND_X86_VARIANTS -DND_HAS_$isa -c $source"
        case $name in
        bind_course | bind_elements | bind_images | bind_program | bind_route | memory | program* | select | threads) ;;
        *) echo "build/device/cuda_$name.o g++ $host -O1 -DND_DEVICE=cuda -c $source" ;;
        esac
    done
    for source in csrc/bind/kernels/*.cpp; do
        echo "build/device/cpu_kernel_$(basename "$source" .cpp).o g++ $host -O3 -march=native -ffp-contract=off -fno-math-errno -fno-trapping-math -DND_ISA=$isa -c $source"
    done
    for source in csrc/cuda/*.cpp; do
        echo "build/device/cuda_own_$(basename "$source" .cpp).o g++ $host -O1 -DND_DEVICE=cuda -c $source"
    done
    for source in csrc/cuda/*.cu; do
        echo "build/device/cuda_kernel_$(basename "$source" .cu).o nvcc -std=c++17 -O3 -fmad=false --expt-relaxed-constexpr -arch=sm_$arch -Xcompiler=-fPIC,-fvisibility=hidden -DNDEBUG -DND_ISA=cuda -DND_DEVICE=cuda -c $source"
    done
} | xargs -P "$(nproc)" -L 1 sh -c 'object=$1; shift; "$@" -o "$object" || exit 255' one
g++ -shared -pthread build/device/cpu_*.o -o "$into/ndarray_backend_cpu$suffix"
nvcc -shared -arch="sm_$arch" build/device/cuda_*.o -o "$into/ndarray_backend_cuda$suffix"

"$python" -m pytest -q tests/cuda/test_device.py tests/cuda/test_several.py tests/cuda/test_precision.py tests/cuda/test_programs.py 2>&1 |
    tee "$results/tests.txt"
"$python" -m tests.cuda.on_device "$results" "sm_$arch"
