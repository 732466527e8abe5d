"""Puts the repository's folder on the import path and takes the folders of the commands off it.

Python puts the folder of a script first on sys.path; tools/test.py would then
shadow the standard library's `test` package. tools/bench/ and tools/build/ link to this file.
"""
import os
import sys

TOOLS = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(TOOLS)


def _is_below_tools(path):
    return (os.path.realpath(path or os.curdir) + os.sep).startswith(TOOLS + os.sep)


sys.path[:] = [path for path in sys.path if not _is_below_tools(path)]
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)
