"""`python -m bench finetune [word ...]`: run the cases with these words in their names, and write the page's tables.

What is done is kept in results.json and not done again, unless --again says so; a run that was interrupted goes on.
"""

from __future__ import annotations

import argparse
import sys

from bench.finetuning.cases import CASES, keep, results
from bench.finetuning.page import write_page
from needle.errors import NeedleError


def main(arguments: list[str]) -> int:
    """Run what is asked for; 1 where something failed."""
    parser = argparse.ArgumentParser(prog="python -m bench finetune", description=__doc__)
    parser.add_argument("words", nargs="*", help="all of them in a case's name, such as airnet fruit 20")
    parser.add_argument("--again", action="store_true", help="also what has been measured")
    parser.add_argument("--list", action="store_true", help="the cases, and whether they are done; runs nothing")
    options = parser.parse_args(arguments)
    chosen = [case for case in CASES if all(word in case.name.split() for word in options.words)]
    code = 0
    for case in chosen:
        done = case.name in results() and not options.again
        state = "done" if done else "no weights of the base yet" if not case.has_base else "to do"
        if options.list or state != "to do":
            print(f"{case.name:<32} {state}", flush=True)
            continue
        try:
            found = case.run()
        except NeedleError as error:
            print(f"{case.name:<32} failed: {error}", flush=True)
            code = 1
            continue
        keep(case.name, found)
        after = found.get("test", found["after"])
        print(f"{case.name:<32} {after}  {found['processor_seconds']:.0f} s of processor time", flush=True)
    if not options.list:
        write_page()
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
