#!/bin/sh
# Compiles every tests/csrc/test_*.cpp with AddressSanitizer and UBSan, for the baseline, AVX2 and the instruction set of this
# machine, and runs it; then the pool's test with ThreadSanitizer. CXX chooses the compiler, the arguments choose tests.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
flags="-std=c++17 -O1 -g -Wall -Wextra -Werror -ffp-contract=off -fno-math-errno -fno-trapping-math -pthread"
case $(uname -m) in
x86_64) machines="x86-64-v2 x86-64-v3 native" ;;
*) machines="native" ;;
esac

run() {  # name, sanitizers, machine, source
    "${CXX:-c++}" $flags "-fsanitize=$2" -fno-sanitize-recover=all "-march=$3" "$4" -o "$out/$1"
    echo "$1 ($3, $2)"
    "$out/$1"
}

for source in "${@:-$here/test_*.cpp}"; do
    for file in $source; do
        name=$(basename "$file" .cpp)
        for machine in $machines; do run "$name" address,undefined "$machine" "$file"; done
        if [ "$name" = test_pool ]; then run "$name" thread native "$file"; fi
    done
done
