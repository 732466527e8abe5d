"""Sets up the Caffe runtime, once; running it again is quick and harmless.

A Python that can import `caffe` (a conda environment, say) is used as it is. Otherwise Debian 11's
Caffe and pinned Python packages are put into .caffe inside the repository: no root is needed, and
nothing is written outside that folder. An interrupted set-up goes on where it stopped.
"""
import argparse
import os
import sys

import _init_paths  # noqa: F401

from tools.lib.command import run_command
from tools.lib.runtime import debian, private_runtime
from tools.lib.runtime.enter import python_has_caffe
from tools.lib.runtime.setup import is_current, set_up_runtime


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    route = parser.add_mutually_exclusive_group()
    route.add_argument("--mirror", metavar="URL",
                       help="Debian mirror (default: the one in this machine's apt sources)")
    route.add_argument("--debs", metavar="FOLDER",
                       help="folder with the Debian packages: no mirror is asked. pip's own "
                            "configuration decides about the wheels: PIP_NO_INDEX=1 "
                            "PIP_FIND_LINKS=FOLDER takes them offline too")
    parser.add_argument("--rebuild", action="store_true",
                        help="make the runtime anew although it is there")
    parser.add_argument("--list-debs", action="store_true",
                        help="print SHA-256 and name of the files that --debs needs")
    options = parser.parse_args()
    if options.list_debs:
        for digest, name in debian.locked_packages():
            print(digest, name)
        return
    if python_has_caffe():
        print(f"Caffe is there: {sys.executable} imports it; nothing to set up")
        return
    if is_current(private_runtime.prefix_folder()) and not options.rebuild:
        print(f"Caffe is there: {private_runtime.prefix_folder()}")
        return
    folder = set_up_runtime(mirror=options.mirror, debs=options.debs, rebuild=options.rebuild)
    print(f"Caffe is ready in {os.path.relpath(folder)}")


if __name__ == "__main__":
    run_command(main)
