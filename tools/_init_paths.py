"""Puts the repository's folder on the import path and takes the folders of the commands off it.

Python puts a script's folder first on sys.path, where tools/test.py would shadow the standard
library's package `test`. tools/bench/ and tools/build/ have links to this file.
"""
import os
import sys

_TOOLS = os.path.dirname(os.path.realpath(__file__))
_ROOT = os.path.dirname(_TOOLS)


def _is_below_tools(path):
    return (os.path.realpath(path or os.curdir) + os.sep).startswith(_TOOLS + os.sep)


sys.path[:] = [path for path in sys.path if not _is_below_tools(path)]
if _ROOT not in sys.path:
    sys.path.insert(0, _ROOT)
