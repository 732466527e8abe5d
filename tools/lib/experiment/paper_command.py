"""The command line of tools/paper_table.py."""
import argparse
import os
import shlex
import sys

from data.errors import InputError
from data.files import ROOT, write_whole
from models.experiments import EXPERIMENTS
from tools.lib.command import count
from tools.lib.experiment.paper import average_record, paper_tables, shift_table
from tools.lib.experiment.plan import result_file
from tools.lib.results import read_results
from tools.lib.tables import FORMATS, format_of, render


def parse(arguments=None):
    """The options of tools/paper_table.py."""
    tables = paper_tables()
    parser = argparse.ArgumentParser(
        prog="tools/paper_table.py", description="Prints a table of the paper, its numbers beside "
                                                 "ours, a row a class.")
    parser.add_argument("table", choices=sorted(tables))
    parser.add_argument("--result", action="append", default=[], metavar="EXPERIMENT:STAGE=FILE",
                        help="JSON of tools/test.py to use, such as gta:ga_ca=scores.json; may be "
                             "repeated "
                             "(default: what tools/run_experiment.py left in runs/)")
    parser.add_argument("--seed", type=count, default=1, help="seed of the runs (default 1)")
    parser.add_argument("--format", choices=FORMATS)
    parser.add_argument("--note", help="a sentence on our results, to stand above the first table")
    parser.add_argument("--output", help="write to this file (.txt, .md, .csv or .tex) as well")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Collects the results that exist and prints one table a shift."""
    args = parse(arguments)
    form = format_of(args.output, args.format) if args.output else args.format or "text"
    paper = paper_tables()[args.table]
    given = _given(args.result, paper)
    found = {
        s["experiment"]: _results(s, given, args.seed)
        for s in paper["shifts"] if s["experiment"]
    }
    tables = [
        shift_table(paper, shift,
                    found[shift["experiment"]] if shift["experiment"] else _averages(found, shift))
        for shift in paper["shifts"]
    ]
    tables[0].title += ". " + args.note if args.note else ""
    if args.output:
        tables[-1].notes.append("Written by python3 tools/paper_table.py " + shlex.join(
            sys.argv[1:] if arguments is None else arguments))
    text = "\n".join(render(table, form) for table in tables)
    print(text, end="")
    if args.output:
        write_whole(args.output, text)
    if not any(found.values()):
        print(
            "No result of ours was found. Make one: python3 tools/run_experiment.py %s%s" %
            (next(iter(found)), "" if args.seed == 1 else f" --seeds {args.seed}"),
            file=sys.stderr)


def _given(texts, paper):
    """{(experiment, stage): file} of --result."""
    known = {(s["experiment"], r["stage"])
             for s in paper["shifts"] if s["experiment"] for r in s["rows"]}
    given = {}
    for text in texts:
        key, equals, path = text.partition("=")
        experiment, _, stage = key.partition(":")
        if not equals or (experiment, stage) not in known:
            raise InputError("--result %s: expected EXPERIMENT:STAGE=FILE with one of %s"
                             % (text, ", ".join(sorted("%s:%s" % pair for pair in known))))
        given[experiment, stage] = path
    return given


def _results(shift, given, seed):
    """{stage: record} of one shift: the given files, which must exist, else what runs/ holds."""
    results = {}
    for row in shift["rows"]:
        path = given.get((shift["experiment"], row["stage"]))
        if path is None:
            path = _left_by_the_experiment(shift["experiment"], row["stage"], seed)
            if path is None or not os.path.isfile(path):
                continue
        results[row["stage"]] = read_results(path)[0]
    return results


def _left_by_the_experiment(name, stage, seed):
    experiment = EXPERIMENTS.get(name)
    if experiment is None:
        return None
    return os.path.join(ROOT, result_file(experiment, stage, seed, *experiment.tests[-1]))


def _averages(found, shift):
    """{stage: mean record} of the stages that every shift has."""
    return {row["stage"]: average_record([results[row["stage"]] for results in found.values()])
            for row in shift["rows"] if all(row["stage"] in results for results in found.values())}
