"""Gives changed input files to the commands and reports how these end.

    tools/caffe_python tests/fuzz.py --mutations 2000 --seed 1 --summary docs/results/fuzzing.md
    tools/caffe_python tests/fuzz.py --subject "net prototxt" --seed 1 --only 17      one case
"""
import argparse
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.environ.setdefault("GLOG_minloglevel", "2")

from tqdm import tqdm  # noqa: E402

from fuzzing import campaign  # noqa: E402
from fuzzing.subjects import SUBJECTS  # noqa: E402

#: Where the summary is kept.
PAGE = "docs/results/fuzzing.md"


def parse(arguments=None):
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=2000, help="cases in all (default 2000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--subject", choices=[subject.name for subject in SUBJECTS],
                        help="one kind of file only")
    parser.add_argument("--only", type=int, metavar="N",
                        help="replay case N of --subject in this process, and print its message")
    parser.add_argument("--messages", action="store_true", help="print the end of every case")
    parser.add_argument("--summary", metavar="FILE", help="write the table to this Markdown file")
    return parser.parse_args(arguments)


def page(cases, seed):
    """The summary as Markdown."""
    rows = ["| file | cases | success | refused | otherwise |", "|---|---|---|---|---|"]
    for name, ends in campaign.table(cases).items():
        count, success, refused = sum(ends.values()), ends[campaign.SUCCESS], ends[campaign.REFUSED]
        rows.append(f"| {name} | {count} | {success} | {refused} | {count - success - refused} |")
    table, total, failed = "\n".join(rows), len(cases), len(campaign.failures(cases))
    return f"""# Hostile input

Valid files were changed at random and given to the commands; see tests/fuzzing. "Refused" is exit
code 2 with one message. {total} cases, seed {seed}; {failed} ended otherwise.

{table}

Made by: `tools/caffe_python tests/fuzz.py --mutations {total} --seed {seed} --summary {PAGE}`
"""


def main():
    """Runs the campaign; exit code 1 when a case ended neither in success nor in a refusal."""
    args = parse()
    subjects = [subject for subject in SUBJECTS if args.subject in (None, subject.name)]
    if args.only is not None:
        end, message, changed = campaign.replay(subjects[0], args.seed, args.only)
        print(f"{end}: {message} (changed: {changed})")
        return 0
    started = time.monotonic()
    with tqdm(total=args.mutations, unit="case") as bar:
        def report(ended):
            for case in ended if args.messages else campaign.failures(ended):
                tqdm.write(f"{case.subject}, case {case.index}: {case.end}: {case.message}",
                           sys.stdout)
            bar.update(len(ended))
        cases = campaign.run_campaign(subjects, args.mutations, args.seed, report=report)
    text = page(cases, args.seed)
    print(text)
    print(f"seed {args.seed}, {time.monotonic() - started:.0f} s")
    if args.summary:
        with open(args.summary, "w", encoding="utf-8") as file:
            file.write(text)
    return 1 if campaign.failures(cases) else 0


if __name__ == "__main__":
    sys.exit(main())
