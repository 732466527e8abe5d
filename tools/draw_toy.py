# PYTHON_ARGCOMPLETE_OK
"""Writes toy frames to disk: PNG pairs, list files, class table (data set `folder` reads them)."""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

import os  # noqa: E402

from tools.lib.command import CommandParser, run_command  # noqa: E402


def main():
    parser = CommandParser(prog="python3 tools/draw_toy.py", description=__doc__)
    parser.add_argument("--output", metavar="FOLDER", required=True,
                        help="a folder that does not exist yet")
    parser.add_argument("--splits", metavar="NAME", nargs="+",
                        help="for example source_train target_val[:10] (default: all four)")
    arguments = parser.parse_args()

    from data.toy_export import default_splits, export_toy

    splits = arguments.splits or default_splits()
    frames = export_toy(arguments.output, splits)
    print(f"wrote {frames} frames to {arguments.output}")
    path = os.path.abspath(arguments.output)
    print(f"read them as the data set folder:path={path}, splits "
          f"{' '.join(split.partition('[')[0] for split in splits)}")


if __name__ == "__main__":
    run_command(main)
