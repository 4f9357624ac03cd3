"""Stands for a C++ compiler: makes the file after -o, empty, or with the first argument `full` meets a full disk."""

import errno
import os
import sys
from pathlib import Path

if "full" in sys.argv and "--version" not in sys.argv:
    sys.exit(f"fatal error: error writing to main.o: {os.strerror(errno.ENOSPC)}")
if "-o" in sys.argv:
    Path(sys.argv[sys.argv.index("-o") + 1]).touch()
