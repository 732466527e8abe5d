"""The counts of a campaign over several seeds, in a JSON file from which it can go on, and a page.
"""
import json
import os
from collections import Counter

from fuzzing.campaign import REFUSED, SUCCESS, Case

_ENDS = (SUCCESS, REFUSED)


class Record:
    """counts: {seed: {subject: Counter of SUCCESS and REFUSED}}; failures: [(seed, Case)]."""

    def __init__(self):
        self.counts, self.failures = {}, []

    @classmethod
    def read(cls, path):
        """The record in the file `path`; an empty one without that file."""
        record = cls()
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                content = json.load(file)
            record.counts = {
                int(seed): {name: Counter(ends) for name, ends in subjects.items()}
                for seed, subjects in content["counts"].items()}
            record.failures = [(seed, Case(*case)) for seed, case in content["otherwise"]]
        return record

    def content(self):
        """The record as JSON takes it."""
        return {"counts": {str(seed): subjects for seed, subjects in self.counts.items()},
                "otherwise": [[seed, list(case)] for seed, case in self.failures]}

    def add(self, seed, cases):
        """Adds [Case] of one seed."""
        for case in cases:
            ends = self.counts.setdefault(seed, {}).setdefault(case.subject, Counter())
            if case.end in _ENDS:
                ends[case.end] += 1
            else:
                self.failures.append((seed, case))

    def begun(self, seed):
        """{subject: number of its cases that have been run}."""
        return {name: sum(ends.values()) + self._failed(seed, name)
                for name, ends in self.counts.get(seed, {}).items()}

    def take_failures(self, subjects):
        """[(seed, subject, index)] of the cases of `subjects` that ended otherwise, taken out."""
        by_name = {subject.name: subject for subject in subjects}
        taken = [(seed, by_name[case.subject], case.index) for seed, case in self.failures
                 if case.subject in by_name]
        self.failures = [(seed, case) for seed, case in self.failures
                         if case.subject not in by_name]
        return taken

    def _failed(self, seed, name=None):
        return sum(1 for other, case in self.failures
                   if other == seed and name in (None, case.subject))

    def seed_rows(self):
        """[(seed, cases, ended otherwise)]."""
        return [(seed, sum(self.begun(seed).values()), self._failed(seed)) for seed in self.counts]

    def subject_rows(self):
        """[(subject, success, refused, otherwise)] over all seeds."""
        total, failed = {}, Counter(case.subject for _, case in self.failures)
        for subjects in self.counts.values():
            for name, ends in subjects.items():
                total.setdefault(name, Counter()).update(ends)
        return [(name, ends[SUCCESS], ends[REFUSED], failed[name])
                for name, ends in total.items()]


def page(record, planned, command):
    """The record as a Markdown page; planned: number of cases; command: the one that made it."""
    seeds = "\n".join(f"| {seed} | {count} | {failed} |"
                      for seed, count, failed in record.seed_rows())
    subjects = "\n".join(f"| {name} | {success + refused + failed} | {success} | {refused} | "
                         f"{failed} |" for name, success, refused, failed in record.subject_rows())
    total = sum(count for _, count, _ in record.seed_rows())
    count = f"{total} cases" if total >= planned else f"{total} of {planned} cases so far"
    return f"""# Hostile input

Valid files were changed at random and given to the commands; see tests/fuzzing. "Refused" is exit
code 2 with one message. {count}; {len(record.failures)} ended otherwise. The test suite runs
2000 more, with seed 1.

| seed | cases | otherwise |
|---|---|---|
{seeds}

| file | cases | success | refused | otherwise |
|---|---|---|---|---|
{subjects}

Made by: `{command}`
"""
