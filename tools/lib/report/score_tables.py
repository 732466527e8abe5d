"""Tables of the runs' scores: IoU a class with the paper's numbers, mIoU a seed, confusion."""
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

from data.label_spaces import label_space
from tools.lib.confusion import class_subsets, mean_iou
from tools.lib.experiment.paper import paper_tables
from tools.lib.experiment.report import class_table, seed_table, spread
from tools.lib.report.run_files import groups
from tools.lib.results import absent_notes
from tools.lib.tables import Table, cell


@dataclass
class Score:
    """The mIoU of a group of runs, as text, and how many runs it is the mean of."""

    group: str
    mean: str
    runs: int


@dataclass
class TestSet:
    """What the runs scored on one split."""

    title: str
    scores: list            # [Score], one a group that was tested
    table: Table            # IoU, a row a class
    seeds: Optional[Table]  # mIoU of every run; None where the groups have different seeds
    confusion: list         # [(group, Confused)]
    images: Any             # number of images


@dataclass
class Confused:
    """Shares of each class's pixels (rows: truth) by predicted class, in percent; nan: no pixel.

    The last column is "no class", where any prediction had none.
    """

    columns: list
    rows: list              # [(class, [float])]


def test_sets(runs):
    """[TestSet] of every split on which runs were tested; the target's first."""
    splits = {(record["dataset"], record["split"]): None for run in runs for record in run.results}
    targets = {run.experiment.tests[-1] for run in runs if run.experiment}
    return [_test_set(runs, *split) for split in
            sorted(splits, key=lambda split: (split not in targets, "target" not in split[1]))]


def _test_set(runs, dataset, split):
    tested = [(run, record) for run in runs for record in run.results
              if (record["dataset"], record["split"]) == (dataset, split)]
    found = groups([run for run, _ in tested])
    by_run = {id(run): record for run, record in tested}
    records = [[by_run[id(run)] for run in members] for members in found.values()]
    classes = records[0][0]["classes"]
    ious = [np.array([_percent(record["iou"]) for record in row]) for row in records]
    title = f"{dataset}, {split}"
    table = class_table(title, classes, list(found), ious)
    table.notes += _together(absent_notes([dict(record, name=run.name) for run, record in tested]))
    _add_paper(table, classes, found, (dataset, split))
    scores = [Score(group, spread([mean_iou(row) for row in iou]), len(iou))
              for group, iou in zip(found, ious)]
    confusion = [(group, _confused(classes, sum(np.array(record["confusion"]) for record in row)))
                 for group, row in zip(found, records)]
    return TestSet(title, scores, table, _seeds(found, ious), confusion, records[0][0]["images"])


def _together(notes):
    """Notes "NAME: text", those of one text as one note."""
    names = {}
    for note in notes:
        name, _, text = note.rpartition(": nan ")
        names.setdefault(text, []).append(name)
    return [f"{'; '.join(same)}: nan {text}" for text, same in names.items()]


def _percent(iou):
    return [np.nan if value is None else 100 * value for value in iou]


def _seeds(found, ious):
    """The Table of mIoU a seed, where every group is a stage and they have the same seeds."""
    stages = [members[0].stage for members in found.values()]
    seeds = {tuple(sorted(run.seed for run in members)) for members in found.values()}
    if None in stages or len(set(stages)) < len(stages) or len(seeds) > 1 or len(stages) < 2:
        return None
    ordered = np.array([iou[np.argsort([run.seed for run in members])]
                        for members, iou in zip(found.values(), ious)])
    return seed_table(stages, sorted(next(iter(seeds))), ordered)


def _add_paper(table, classes, found, split):
    """Adds to a class table, after each group that the paper has on this split, its numbers."""
    at = 1
    for group, members in found.items():
        run = members[0]
        row = _paper_row(run, classes) if run.experiment and run.experiment.tests[-1] == split \
            else None
        at += 1
        if row:
            subsets = list(class_subsets(classes).values())[1:]
            column = [f"{value:.1f}" for value in row["iou"]] + [cell(float(row["mean"]))]
            column += [f"{mean_iou(row['iou'], members):.1f}" for members in subsets]
            table.header.insert(at, f"{group}, paper")
            for cells, value in zip(table.rows, column):
                cells.insert(at, value)
            at += 1
    if len(table.header) > 1 + len(found):
        table.notes.append("Paper: as printed there; its means over fewer classes are calculated.")


def _paper_row(run, classes):
    """The paper's row of a run's experiment and stage; None where the paper has none."""
    for paper in paper_tables().values():
        if list(label_space(paper["label_space"]).classes) != list(classes):
            continue
        for shift in paper["shifts"]:
            if shift["experiment"] == run.experiment.name:
                return next((row for row in shift["rows"]
                             if row["stage"] == run.stage and row["iou"]), None)
    return None


def _confused(classes, counts):
    """Confused from pixel counts (C, C + 1)."""
    columns = list(classes) + ["no class"] * bool(counts[:, -1].any())
    totals = counts.sum(1, keepdims=True)
    shares = np.divide(100.0 * counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    return Confused(columns, [(name, row[:len(columns)].tolist())
                              for name, row in zip(classes, shares)])
