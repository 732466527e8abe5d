"""The tables of the paper (Hoffman, Wang, Yu, Darrell, 2016) with our own results beside them.

The paper's numbers are in paper_tables.json as they are printed there: IoU a class in percent,
in the order of the label space, and the printed mean, which is not always the mean of the row.
main() is the command tools/paper_table.py.
"""
import json
import os
import sys

from data.errors import InputError
from data.files import ROOT, write_whole
from data.label_spaces import label_space
from models.experiments import EXPERIMENTS
from tools.lib.command import CommandParser, command_line, count
from tools.lib.confusion import class_subsets, mean_iou
from tools.lib.experiment.plan import result_file
from tools.lib.results import absent_notes, read_results
from tools.lib.tables import FORMATS, Table, format_of, render

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "paper_tables.json")


def parse(arguments=None):
    """The options of tools/paper_table.py."""
    parser = CommandParser(
        prog="python3 tools/paper_table.py",
        description="Prints a table of the paper with our numbers beside its own, a row a class.")
    parser.add_argument("table", choices=sorted(paper_tables()), help="table of the paper")
    parser.add_argument("--result", action="append", default=[], metavar="EXPERIMENT:STAGE=FILE",
                        help="JSON of tools/test.py to use, such as gta:ga_ca=scores.json; may be "
                             "repeated (default: the files of tools/run_experiment.py in runs/)")
    parser.add_argument("--seed", type=count, default=1, help="seed of the runs (default 1)")
    parser.add_argument("--format", choices=FORMATS,
                        help="format of the table (default: text, or by --output's ending)")
    parser.add_argument("--note", metavar="TEXT",
                        help="a sentence on our results, printed above the first table")
    parser.add_argument("--output", metavar="FILE",
                        help="write the table to this file too (.txt, .md, .csv or .tex)")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Collects the results that exist and prints one table a shift."""
    args = parse(arguments)
    form = format_of(args.output, args.format) if args.output else args.format or "text"
    paper = paper_tables()[args.table]
    given = _given_files(args.result, paper)
    found = {shift["experiment"]: _results(shift, given, args.seed)
             for shift in paper["shifts"] if shift["experiment"]}
    tables = [shift_table(paper, shift, found[shift["experiment"]] if shift["experiment"]
                          else _averages(found, shift)) for shift in paper["shifts"]]
    tables[0].title += f". {args.note}" if args.note else ""
    if args.output:
        command = command_line("tools/paper_table.py", arguments)
        tables[-1].notes.append(f"Written by {command}")
    text = "\n".join(render(table, form) for table in tables)
    print(text, end="")
    if args.output:
        write_whole(args.output, text)
    if not any(found.values()):
        seeds = "" if args.seed == 1 else f" --seeds {args.seed}"
        print("No result of ours was found. Make one: python3 tools/run_experiment.py "
              f"{next(iter(found))}{seeds}", file=sys.stderr)


def paper_tables():
    """{"paper1": {table, label_space, shifts: [{source, target, experiment, rows}]}}.

    rows: [{stage, method, mean, iou}].  experiment: its name in models/experiments/; None for the
    average over the shifts.
    """
    with open(FILE, encoding="utf-8") as stream:
        return json.load(stream)


def shift_table(paper, shift, results):
    """Table of one shift: for each of the paper's rows its numbers and ours.

    paper, shift: from paper_tables().  results: {stage: record of results.read_results} of the
    stages that have been run.  Raises InputError when a record's classes are not the table's.
    """
    classes = label_space(paper["label_space"]).classes
    header, columns, notes = ["IoU %"], [], []
    for row in shift["rows"]:
        header += [row["method"] + ", paper", row["method"] + ", ours"]
        columns.append((row["iou"], row["mean"]))
        record = results.get(row["stage"])
        columns.append((_percent(record, classes), None))
        notes.append(f"{row['method']}, ours: {_origin(record)}")
        notes += absent_notes([dict(record, name=header[-1])]) if record else []
    rows = [[name] + [iou[i] if iou else None for iou, _ in columns]
            for i, name in enumerate(classes)]
    for number, (title, members) in enumerate(class_subsets(classes).items()):
        if number == 0:
            rows.append([title + ", as printed"] + [printed for _, printed in columns])
        rows.append([title] + [100 * mean_iou([value / 100 for value in iou], members)
                               if iou else None for iou, _ in columns])
    title = f"Table {paper['table']} of the paper: {shift['source']} to {shift['target']}"
    return Table(header, rows, title, [len(classes)], notes)


def average_record(records):
    """The record with the class-by-class mean IoU of `records` (the last rows of Table 2).

    Its images are their sum.
    """
    values = [[record["iou"][i] for record in records if record["iou"][i] is not None]
              for i in range(len(records[0]["classes"]))]
    return dict(records[0], name="average", dataset=f"mean of {len(records)} shifts", split="",
                images=sum(record["images"] for record in records),
                iou=[sum(v) / len(v) if v else None for v in values])


def _origin(record):
    """The data set, split and number of images that a result of ours was measured on."""
    if record is None:
        return "no result."
    images = "1 image" if record["images"] == 1 else f"{record['images']} images"
    return f"{' '.join(filter(None, (record['dataset'], record['split'])))}, {images}."


def _percent(record, classes):
    """The IoUs of a record in percent, nan for absent classes; None without a record."""
    if record is None:
        return None
    if list(record["classes"]) != list(classes):
        raise InputError(f"result {record['name']} has the classes of {record.get('label_space')}; "
                         f"the paper's table has {', '.join(classes)}")
    return [float("nan") if value is None else 100.0 * value for value in record["iou"]]


def _given_files(texts, paper):
    """{(experiment, stage): file} of --result."""
    known = {(shift["experiment"], row["stage"])
             for shift in paper["shifts"] if shift["experiment"] for row in shift["rows"]}
    given = {}
    for text in texts:
        key, equals, path = text.partition("=")
        experiment, _, stage = key.partition(":")
        if not equals or (experiment, stage) not in known:
            raise InputError(f"--result {text}: expected EXPERIMENT:STAGE=FILE with one of "
                             f"{', '.join(sorted(map(':'.join, known)))}")
        given[experiment, stage] = path
    return given


def _results(shift, given, seed):
    """{stage: record} of one shift: from the given files, which must exist, else from runs/."""
    results = {}
    for row in shift["rows"]:
        path = given.get((shift["experiment"], row["stage"]))
        if path is None:
            path = _file_of_the_run(shift["experiment"], row["stage"], seed)
            if path is None or not os.path.isfile(path):
                continue
        results[row["stage"]] = read_results(path)[0]
    return results


def _file_of_the_run(name, stage, seed):
    """Path of the JSON file that tools/run_experiment.py leaves; None for another experiment."""
    experiment = EXPERIMENTS.get(name)
    if experiment is None:
        return None
    return os.path.join(ROOT, result_file(experiment, stage, seed, *experiment.tests[-1]))


def _averages(found, shift):
    """{stage: mean record} of the stages that every shift has."""
    return {row["stage"]: average_record([results[row["stage"]] for results in found.values()])
            for row in shift["rows"] if all(row["stage"] in results for results in found.values())}
