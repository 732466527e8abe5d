"""Tells what the commands will run on, and for everything missing the command that repairs it.

Exit code 0 when everything needed works, 1 when something does not.
"""
import argparse

import _init_paths  # noqa: F401

from tools.lib.command import run_command
from tools.lib.runtime.checkup import examine


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    wrong = 0
    for finding in examine():
        print("%-8s %-14s %s" % (finding.grade, finding.subject, finding.text))
        if finding.repair:
            print("%-8s %-14s repair: %s" % ("", "", finding.repair))
        wrong += finding.grade == "MISSING"
    print("not ready: %d MISSING" % wrong if wrong else "everything needed works")
    return 1 if wrong else 0


if __name__ == "__main__":
    run_command(main)
