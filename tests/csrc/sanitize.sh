#!/bin/sh
# Compiles every tests/csrc/test_*.cpp with AddressSanitizer and UBSan, for the baseline, AVX2 and the instruction set of
# this machine, and runs it; then the pool's test with ThreadSanitizer. CXX names the compiler; arguments choose tests;
# QUICK=1 leaves out AVX2, which lies between the two.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ $# -gt 0 ] || set -- "$here"/test_*.cpp
if [ "$1" != --one ]; then out=$(mktemp -d); trap 'rm -rf "$out"' EXIT; fi
flags="-std=c++17 -O1 -g1 -Wall -Wextra -Werror -ffp-contract=off -fno-math-errno -fno-trapping-math -pthread"
case $(uname -m) in
x86_64)
    machines="x86-64-v2 native"
    if [ -z "${QUICK:-}" ] && grep -qw avx2 /proc/cpuinfo 2>/dev/null; then machines="x86-64-v2 x86-64-v3 native"; fi
    ;;
*) machines="native" ;;
esac

one() {  # sanitizers, machine, source: compile and run; what it says comes at once, for others run beside it
    name=$(basename "$3" .cpp)-$2-$1
    # shellcheck disable=SC2086  (flags are words)
    if "${CXX:-c++}" $flags "-fsanitize=$1" -fno-sanitize-recover=all "-march=$2" "$3" -o "$out/$name" > "$out/$name.log" 2>&1 &&
        "$out/$name" >> "$out/$name.log" 2>&1
    then echo "$name: $(tail -n 1 "$out/$name.log")"; rm -f "$out/$name"
    else echo "$name: FAILED"; cat "$out/$name.log"; return 1
    fi
}
if [ "${1:-}" = --one ]; then shift; one "$@"; exit; fi

for source in "$@"; do
    for machine in $machines; do echo "address,undefined $machine $source"; done
    case $source in *test_pool.cpp) echo "thread native $source" ;; esac
done | out=$out xargs -L 1 -P "$(nproc)" "$0" --one  # as many at a time as there are processors
