"""Puts the repository root on the import path and takes tools/ off it.

Python puts the folder of a script first on sys.path; tools/test.py would then
shadow the standard library's `test` package.
"""
import os
import sys

TOOLS = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(TOOLS)

sys.path[:] = [p for p in sys.path if os.path.abspath(p or os.curdir) != TOOLS]
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)
