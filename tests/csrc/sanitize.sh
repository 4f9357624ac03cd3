#!/bin/sh
# Compiles every tests/csrc/test_*.cpp with AddressSanitizer and UBSan, for the baseline, AVX2 and the instruction set of
# this machine, and runs it; then the pool's test with ThreadSanitizer. CXX names the compiler; arguments choose tests.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ $# -gt 0 ] || set -- "$here"/test_*.cpp
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
flags="-std=c++17 -O1 -g -Wall -Wextra -Werror -ffp-contract=off -fno-math-errno -fno-trapping-math -pthread"
case $(uname -m) in
x86_64)
    machines="x86-64-v2 native"
    if grep -qw avx2 /proc/cpuinfo 2>/dev/null; then machines="x86-64-v2 x86-64-v3 native"; fi
    ;;
*) machines="native" ;;
esac

run() {  # sanitizers, machine, source
    name=$(basename "$3" .cpp)
    echo "$name ($2, $1)"
    # shellcheck disable=SC2086  (flags are words)
    "${CXX:-c++}" $flags "-fsanitize=$1" -fno-sanitize-recover=all "-march=$2" "$3" -o "$out/$name"
    "$out/$name"
}

for source in "$@"; do
    for machine in $machines; do run address,undefined "$machine" "$source"; done
    case $source in *test_pool.cpp) run thread native "$source" ;; esac
done
