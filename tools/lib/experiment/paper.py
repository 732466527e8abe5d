"""The tables of the paper (Hoffman, Wang, Yu, Darrell, 2016) beside our own results.

The paper's numbers are in paper_tables.json as they are printed there: IoU a class in percent,
in the order of the label space, and the printed mean, which is not always the mean of the row.
"""
import json
import os

from data.errors import InputError
from data.label_spaces import label_space
from tools.lib.confusion import class_subsets, mean_iou
from tools.lib.results import absent_notes
from tools.lib.tables import Table

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "paper_tables.json")


def paper_tables():
    """{"paper1": {table, label_space, shifts: [{source, target, experiment, rows: [{stage, method,
    mean, iou}]}]}}.

    experiment: its name in models/experiments/; None for the average over the shifts.
    """
    with open(FILE, encoding="utf-8") as stream:
        return json.load(stream)


def shift_table(paper, shift, results):
    """Table of one shift: for each of the paper's rows its numbers and ours.

    paper, shift: from paper_tables(); results: {stage: record of results.read_results}, of the
    stages that have been run.  Raises InputError when a record's classes are not the table's.
    """
    classes = label_space(paper["label_space"]).classes
    header, columns, notes = ["IoU %"], [], []
    for row in shift["rows"]:
        header += [row["method"] + ", paper", row["method"] + ", ours"]
        columns.append((row["iou"], row["mean"]))
        record = results.get(row["stage"])
        columns.append((_ours(record, classes), None))
        notes.append(f"{row['method']}, ours: {_origin(record)}")
        notes += absent_notes([dict(record, name=header[-1])]) if record else []
    rows = [[name] + [iou[i] if iou else None for iou, _ in columns]
            for i, name in enumerate(classes)]
    for number, (title, members) in enumerate(class_subsets(classes).items()):
        means = [
            None if not iou else 100 * mean_iou([v / 100 for v in iou], members)
            for iou, _ in columns
        ]
        if number == 0:
            rows.append([title + ", as printed"] + [printed for _, printed in columns])
        rows.append([title] + means)
    title = f"Table {paper['table']} of the paper: {shift['source']} to {shift['target']}"
    return Table(header, rows, title, [len(classes)], notes)


def average_record(records):
    """The record whose IoU is the mean of the records', class by class (Table 2's last rows);
    images are their sum."""
    values = [[record["iou"][i] for record in records if record["iou"][i] is not None]
              for i in range(len(records[0]["classes"]))]
    return dict(records[0], name="average", dataset=f"mean of {len(records)} shifts", split="",
                images=sum(record["images"] for record in records),
                iou=[sum(v) / len(v) if v else None for v in values])


def _origin(record):
    """What a result of ours was measured on: a reader sees whether it may be compared at all."""
    if record is None:
        return "no result."
    return f"{' '.join(filter(None, (record['dataset'], record['split'])))}, {record['images']} image{'s' * (record['images'] != 1)}."


def _ours(record, classes):
    if record is None:
        return None
    if list(record["classes"]) != list(classes):
        raise InputError(f"result {record['name']} has the classes of {record.get('label_space')}; "
                         f"the paper's table has {', '.join(classes)}")
    return [float("nan") if value is None else 100.0 * value for value in record["iou"]]
