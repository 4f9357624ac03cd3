"""python -m tests.onnx_suite [--engine interpreted|instant|compiled] [words ...]: the cases, a table per operator.

With --write the list of passed cases and the table of docs/onnx.md are written anew (all cases; by the interpreter or
as compiled programs).
"""

from __future__ import annotations

import argparse
from collections import Counter

from tests.onnx_suite import page
from tests.onnx_suite.batches import results as compiled_results
from tests.onnx_suite.cases import official, run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="run cases whose names hold one of these")
    parser.add_argument("--engine", default="interpreted", choices=("interpreted", "instant", "compiled"))
    parser.add_argument("--reasons", action="store_true", help="list every case that did not pass, with its reason")
    parser.add_argument("--write", action="store_true", help="write the table of docs/onnx.md and the ratchet")
    given = parser.parse_args()
    cases = [c for c in official() if not given.words or any(word in c.name for word in given.words)]
    results = compiled_results(cases) if given.engine == "compiled" else [run(case, given.engine) for case in cases]
    total, passed = Counter(r.operator for r in results), Counter(r.operator for r in results if not r.reason)
    for operator in sorted(total):
        print(f"{operator:<40} {passed[operator]:>4} / {total[operator]}")
    for r in results:
        if r.reason and given.reasons:
            print(f"{'refused' if r.refused else 'WRONG':<8} {r.name} [{r.operator}]: {r.reason[:400]}")
    print(f"{sum(passed.values())} of {len(results)} cases passed with the engine '{given.engine}'")
    if given.write and not given.words:
        page.write(results, given.engine)
    lost = page.ratchet(page.of_engine(given.engine)) & {r.name for r in results if r.reason}
    for name in sorted(lost):
        print(f"LOST     {name} has passed before")
    return 1 if lost else 0


if __name__ == "__main__":
    raise SystemExit(main())
