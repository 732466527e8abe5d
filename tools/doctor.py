# PYTHON_ARGCOMPLETE_OK
"""Prints the parts that the commands need, and for each missing one the command that repairs it.

Exit code 0 when everything needed works, 1 when something is missing.
"""
import argparse

import _init_paths  # noqa: F401

from tools.lib.command import CommandParser, run_command
from tools.lib.runtime.checkup import examine


def main():
    CommandParser(description=__doc__,
                  formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    wrong = 0
    for finding in examine():
        print(f"{finding.grade:<8} {finding.subject:<14} {finding.text}")
        if finding.repair:
            print(f"{'':<8} {'':<14} repair: {finding.repair}")
        wrong += finding.grade == "MISSING"
    print(f"not ready: {wrong} MISSING" if wrong else "everything needed works")
    return 1 if wrong else 0


if __name__ == "__main__":
    run_command(main)
