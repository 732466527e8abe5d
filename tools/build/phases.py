"""Phases of a long job, each done once: what a phase was made from decides whether it must be done
again."""
import hashlib
import json
import os
import time

from data.files import write_whole


class Phases:
    """Remembers finished phases in one file.

    path: JSON file {phase: {"made_from": digest, "seconds": float}}.
    say: called with one line for each phase.
    """

    def __init__(self, path, total, say=print):
        self.path, self.total, self.say, self.number = path, total, say, 0
        self.names = []  # of run() so far; other builds may have left phases of theirs in the file
        try:
            with open(path, encoding="utf-8") as file:
                self.finished = json.load(file)
        except (OSError, ValueError):
            self.finished = {}

    def run(self, name, made_from, work, result):
        """Calls work() unless it was finished from the same inputs and its `result` (a path) is
        still there.

        made_from: anything with a repr that changes when the phase must be done again.
        An interrupted or failed work() leaves the phase unfinished.
        """
        self.number += 1
        self.names.append(name)
        digest = hashlib.sha256(repr(made_from).encode()).hexdigest()
        before = self.finished.get(name)
        head = f"[{self.number}/{self.total}] {name}"
        if before and before["made_from"] == digest and os.path.exists(result):
            self.say(f"{head}: done already, in {before['seconds']:.0f} s")
            return
        self.say(head)
        self.finished.pop(name, None)
        started = time.monotonic()
        work()
        self.finished[name] = {"made_from": digest, "seconds": round(time.monotonic() - started, 1)}
        write_whole(self.path, json.dumps(self.finished, indent=1) + "\n")

    def seconds(self):
        """{phase: seconds} of the phases that run() was called with."""
        return {name: self.finished[name]["seconds"] for name in self.names}
