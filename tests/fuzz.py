"""Gives changed input files to the commands and reports how these end.

    tools/caffe_python tests/fuzz.py --mutations 5000 --seeds 2718 1618 \
        --record docs/results/fuzzing.json --summary docs/results/fuzzing.md
    tools/caffe_python tests/fuzz.py --subject "net prototxt" --seeds 1 --only 17      one case

With --record, a campaign that Ctrl-C has stopped goes on where it was, and its cases that ended
otherwise are run again first.
"""
import argparse
import json
import os
import shlex
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.environ.setdefault("GLOG_minloglevel", "2")


from data.files import write_whole  # noqa: E402
from data.progress import progress_bar  # noqa: E402

from fuzzing import campaign  # noqa: E402
from fuzzing.other_inputs import EVERY  # noqa: E402
from fuzzing.record import Record, page  # noqa: E402


def parse(arguments=None):
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=2000, metavar="N",
                        help="cases of each seed (default 2000)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], metavar="SEED")
    parser.add_argument("--workers", type=int, help="processes (default: one a usable core)")
    parser.add_argument("--subject", choices=[subject.name for subject in EVERY],
                        help="one kind of file only")
    parser.add_argument("--only", type=int, metavar="N",
                        help="replay case N of --subject in this process, and print its message")
    parser.add_argument("--messages", action="store_true", help="print the end of every case")
    parser.add_argument("--record", metavar="FILE.json",
                        help="counts so far, which the campaign goes on from and adds to")
    parser.add_argument("--summary", metavar="FILE", help="write the table to this Markdown file")
    return parser.parse_args(arguments)


def main():
    """Runs the campaign; exit code 1 when a case ended neither in success nor in a refusal."""
    args = parse()
    subjects = [subject for subject in EVERY if args.subject in (None, subject.name)]
    if args.only is not None:
        end, message, changed = campaign.replay(subjects[0], args.seeds[0], args.only)
        print(f"{end}: {message} (changed: {changed})")
        return 0
    record = Record.read(args.record) if args.record else Record()
    started = time.monotonic()
    with progress_bar(total=args.mutations * len(args.seeds), unit="case",
                      desc="mutations", leave=True) as bar:
        def keep(seed, ended):
            for case in ended if args.messages else campaign.failures(ended):
                bar.write(f"seed {seed}: {case.subject}, case {case.index}: {case.end}: "
                          f"{case.message}", sys.stdout)
            record.add(seed, ended)
            if args.record:
                write_whole(args.record, json.dumps(record.content(), indent=1) + "\n")

        def report(seed, ended):
            keep(seed, ended)
            bar.update(len(ended))

        try:
            for seed, subject, index in record.take_failures(subjects):
                keep(seed, campaign.run_subject(subject, [index], seed))
            for seed in args.seeds:
                begun = record.begun(seed)
                bar.update(sum(begun.values()))
                campaign.run_campaign(subjects, args.mutations, seed, args.workers,
                                      lambda ended, seed=seed: report(seed, ended), begun)
        except KeyboardInterrupt:
            print("stopped; the same command goes on")
    text = page(record, args.mutations * len(args.seeds), "tools/caffe_python tests/fuzz.py "
                + " ".join(shlex.quote(word) for word in sys.argv[1:] if word != "--messages"))
    print(text)
    print(f"{time.monotonic() - started:.0f} s")
    if args.summary:
        write_whole(args.summary, text)
    return 1 if record.failures else 0


if __name__ == "__main__":
    sys.exit(main())
