"""The run's log: one JSON object a line."""
import json
import os

from tools.lib.training.files import replace_file, writing


class Log:
    """Appends lines to log.jsonl; every line is in the file before write() returns.

    A line has "kind" ("train", "test", "snapshot", "note") and "iteration"; the others
    depend on the kind.
    """

    def __init__(self, path, from_iteration):
        """Lines of iterations at or after `from_iteration` are dropped: a run that was
        killed later than its last snapshot wrote them, and they come again."""
        kept = [entry for entry in read_log(path) if entry["iteration"] < from_iteration
                or (entry["iteration"] == from_iteration and entry["kind"] == "snapshot")]
        replace_file(path, "".join(_line(entry) for entry in kept).encode())
        self._path = path

    def write(self, kind, iteration, **values):
        """Appends a line; InputError when the disk does not take it."""
        # opened for each line: a file left open after a full disk would fail once more on closing
        with writing(self._path), open(self._path, "a", encoding="utf-8") as file:
            file.write(_line(dict(kind=kind, iteration=iteration, **values)))


def read_log(path):
    """The log's entries as dicts; a last line that a kill cut off is left out."""
    if not os.path.exists(path):
        return []
    entries = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and isinstance(entry.get("iteration"),
                                                      int) and "kind" in entry:
                entries.append(entry)
    return entries


def _line(entry):
    return json.dumps(entry) + "\n"


def iteration_seconds(path):
    """Seconds that an iteration took, of every line of a run's log that tells a rate."""
    return [
        1 / entry["iterations_per_second"] for entry in read_log(path)
        if entry.get("iterations_per_second")
    ]
