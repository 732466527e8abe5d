"""What was run, in words: a table of the runs, and everything that a run's record holds."""
import json
import shlex
from dataclasses import dataclass

import numpy as np
from caffe.proto import caffe_pb2

from tools.lib.tables import Table


@dataclass
class RunFacts:
    """The details of a run: facts as (label, text), the warnings of its log, its solver."""

    name: str
    facts: list
    warnings: list          # [(iteration, text)]
    solver: str


def run_table(runs):
    """The Table of the runs: how far each has come, where and how fast."""
    rows = []
    for run in runs:
        seconds = _seconds(run)
        state = f"{run.iteration} of {run.solver.max_iter}"
        rows.append([run.name, str(run.seed), state if not run.finished else f"{run.iteration}",
                     device(run), _number(np.median(seconds)) if seconds else "",
                     _number(_training_seconds(run) / 60),
                     str(run.record.get("started") or "")[:16].replace("T", " "),
                     _commit(run.record)])
    return Table(
        ["run", "seed", "iterations", "device", "s an iteration", "minutes", "started", "commit"],
        rows, notes=["Minutes of training, from the log's rates; tests and snapshots do not count."]
    )


def summary(runs):
    """What all runs share, in one line: seeds, devices, commits, days."""
    def listed(title, values):
        distinct = list(dict.fromkeys(value for value in values if value))
        return f"{title}{'s' if len(distinct) > 1 else ''} {', '.join(distinct)}" * bool(distinct)

    parts = (listed("seed", [str(seed) for seed in sorted(run.seed for run in runs)]),
             listed("device", map(device, runs)),
             listed("commit", [_commit(run.record)[:10] for run in runs]),
             "started " + " to ".join(sorted({str(run.record.get("started") or "")[:10]
                                              for run in runs})[::max(1, len(runs) - 1)]))
    return "; ".join(filter(None, parts))


def run_facts(run):
    """RunFacts of a run; a part that its record lacks is left out."""
    record = run.record
    versions = _dict(record.get("versions"))
    facts = [("folder", run.folder), ("started", str(record.get("started") or "")),
             ("command", _command(record.get("command"))),
             ("solver", f"{_dict(record.get('solver')).get('file', '')}: {run.solver.type}, "
                        f"base_lr {run.solver.base_lr:g}, {run.solver.lr_policy}")]
    facts += [("resumed", f"at iteration {entry.get('iteration')}, {entry.get('started')}: "
                          f"{_command(entry.get('command'))}")
              for entry in map(_dict, record["resumed"])]
    facts += [("initial weights", _weights(entry)) for entry in
              map(_dict, _list(record.get("initial_weights")))]
    facts += [(f"data: {name}", _data(_dict(entry))) for name, entry in record["data"].items()]
    facts += [("processes", str(record.get("processes", 1))),
              ("commit", _commit(record, whole=True)),
              ("versions", ", ".join(f"{name} {_short(version)}" for name, version
                                     in versions.items() if version not in (None, False)))]
    warnings = [(entry["iteration"], str(entry.get("text", ""))) for entry in run.log
                if entry["kind"] == "note"]
    return RunFacts(run.name, [(label, text) for label, text in facts if text], warnings,
                    str(_dict(record.get("solver")).get("text", "")))


def device(run):
    """Where a run computes: "cpu" or "gpu:0"."""
    chosen = run.record["options"].get("device")
    if chosen:
        return chosen
    on_gpu = run.solver.solver_mode == caffe_pb2.SolverParameter.GPU
    return f"gpu:{run.solver.device_id}" if on_gpu else "cpu"


def _seconds(run):
    """Seconds an iteration of each line of the log that has a rate."""
    return [1 / rate for rate in (entry.get("iterations_per_second") for entry in run.log)
            if type(rate) in (int, float) and rate > 0]


def _training_seconds(run):
    """Seconds of training, from the rates of the log's lines; without tests and snapshots."""
    total, before = 0.0, 0
    for entry in run.log:
        rate = entry.get("iterations_per_second")
        if entry["kind"] == "train":
            if type(rate) in (int, float) and rate > 0:
                total += (entry["iteration"] - before) / rate
            before = entry["iteration"]
    return total


def _number(value):
    return f"{value:.3g}"


def _command(words):
    return shlex.join(map(str, _list(words)))


def _commit(record, whole=False):
    git = _dict(record.get("git"))
    commit = str(git.get("commit") or "")
    return (commit if whole else commit[:10]) + (", with changes" if git.get("dirty") else "")


def _weights(entry):
    skipped = ", ".join(map(str, _list(entry.get("skipped"))))
    return (f"{entry.get('file', '')}, SHA-256 {str(entry.get('sha256', ''))[:12]}; "
            f"{len(_list(entry.get('loaded')))} layers loaded"
            + (f", left out: {skipped}" if skipped else ""))


def _data(entry):
    if "dataset" in entry:
        return f"{entry['dataset']} {entry.get('split', '')}, {entry.get('frames', '')} frames"
    return str(entry.get("file") or entry.get("list") or json.dumps(entry))


def _short(value):
    return value if isinstance(value, str) else json.dumps(value)


def _dict(value):
    return value if isinstance(value, dict) else {}


def _list(value):
    return value if isinstance(value, list) else []
