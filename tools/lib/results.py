"""Scores of one model on one split: a record for JSON, and a table that compares records."""
import json
import math

import numpy as np

from data.errors import InputError
from tools.lib.confusion import Confusion, subset_means
from tools.lib.tables import Table

VERSION = 1


def result_record(name, confusion, dataset, split, space, **origin):
    """JSON-ready dict of one model's scores; IoU as fractions 0..1, None where there is none.

    name: title of the model's column; space: LabelSpace; origin: further fields, such as weights
    and model.
    """
    record = dict(version=VERSION, name=name, dataset=dataset, split=split, label_space=space.name,
                  classes=list(space.classes), images=confusion.images, **origin)
    record.update(_scores(confusion, record["classes"]))
    record["confusion"] = confusion.counts.tolist()
    return record


def _scores(confusion, classes):
    iou = confusion.iou()
    return dict(iou=[_or_null(v) for v in iou],
                means={title: _or_null(v) for title, v in subset_means(iou, classes).items()},
                pixel_accuracy=_or_null(confusion.pixel_accuracy()),
                support=confusion.support().tolist(), predicted=confusion.predicted().tolist())


def read_results(path):
    """The list of records in a JSON file that `tools/test.py --json` wrote.

    The scores are computed again from the confusion counts.  Raises InputError, naming the file,
    when it cannot be read or is not such a file.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            records = json.load(stream)["results"]
        return [_checked(record) for record in records]
    except OSError as problem:
        raise InputError(f"{path}: {problem.strerror}",
                         f"python3 tools/test.py ... --json {path}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError,
            OverflowError) as problem:
        raise InputError(f"{path} is not a result file of tools/test.py: {problem}",
                         f"python3 tools/test.py ... --json {path}") from None


def _checked(record):
    if record["version"] != VERSION:
        raise ValueError(f"version {record['version']!r}, expected {VERSION}")
    for name in ("dataset", "split", "label_space"):
        if not isinstance(record[name], str):
            raise TypeError(f"{name} is {record[name]!r}, expected a name")
    if type(record["images"]) is not int or not 0 <= record["images"] < 2 ** 31:
        raise ValueError(f"images is {record['images']!r}, expected a count")
    resize = record.get("resize", 1.0)
    if type(resize) not in (int, float) or not 0 < resize < math.inf:
        raise ValueError(f"resize is {resize!r}, expected a factor above 0")
    classes = [str(c) for c in record["classes"]]
    counts = np.array(record["confusion"], np.int64)
    if counts.shape != (len(classes), len(classes) + 1) or (counts < 0).any():
        raise ValueError(f"confusion of shape {counts.shape} for {len(classes)} classes")
    confusion = Confusion(len(classes))
    confusion.counts = counts
    return dict(record, classes=classes, name=str(record["name"]), **_scores(confusion, classes))


def comparison(records, title=""):
    """Table with one row for each class, one column for each model, and the means below (percent).

    Where all models were scored on the same pixels, the last column gives the share of each class.
    Raises InputError when the records have different classes.
    """
    classes = records[0]["classes"]
    if any(record["classes"] != classes for record in records):
        counts = "; ".join(f"{r['name']} has {len(r['classes'])}" for r in records)
        raise InputError(f"results over different classes cannot be in one table: {counts}")
    iou = [r["iou"] for r in records]
    rows = [[name] + [_percent(column[i]) for column in iou] for i, name in enumerate(classes)]
    rules = [len(rows)]
    rows += [[mean] + [_percent(r["means"][mean]) for r in records] for mean in records[0]["means"]]
    rows.append(["pixel accuracy"] + [_percent(r["pixel_accuracy"]) for r in records])
    header = ["IoU %"] + [r["name"] for r in records]
    support = records[0]["support"]
    if all(record["support"] == support for record in records):
        header.append("share of the truth")
        shares = [100.0 * count / max(sum(support), 1) for count in support]
        shares += [""] * (len(rows) - len(shares))
        rows = [row + [share] for row, share in zip(rows, shares)]
    return Table(header, rows, title, rules, absent_notes(records))


def absent_notes(records):
    """One line for each record with classes that have no score, which its means leave out."""
    notes = []
    for record in records:
        absent = [c for c, v in zip(record["classes"], record["iou"]) if v is None]
        if absent:
            notes.append(f"{record['name']}: nan for {', '.join(absent)}: in neither truth nor "
                         "prediction, left out of the means.")
    return notes


def _percent(value):
    return float("nan") if value is None else 100.0 * value


def _or_null(value):
    return None if math.isnan(value) else float(value)
