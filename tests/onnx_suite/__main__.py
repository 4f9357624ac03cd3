"""python -m tests.onnx_suite [--engine interpreted|instant|compiled] [words ...]: the cases, a table per operator."""

from __future__ import annotations

import argparse
from collections import Counter

from tests.onnx_suite.cases import official, run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="run cases whose names hold one of these")
    parser.add_argument("--engine", default="interpreted", choices=("interpreted", "instant", "compiled"))
    parser.add_argument("--reasons", action="store_true", help="list every case that did not pass, with its reason")
    given = parser.parse_args()
    cases = [c for c in official() if not given.words or any(word in c.name for word in given.words)]
    results = [run(case, given.engine) for case in cases]
    total, passed = Counter(r.operator for r in results), Counter(r.operator for r in results if not r.reason)
    for operator in sorted(total):
        print(f"{operator:<40} {passed[operator]:>4} / {total[operator]}")
    for r in results:
        if r.reason and given.reasons:
            print(f"{'refused' if r.refused else 'WRONG':<8} {r.name} [{r.operator}]: {r.reason[:400]}")
    print(f"{sum(passed.values())} of {len(results)} cases passed with the engine '{given.engine}'")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
