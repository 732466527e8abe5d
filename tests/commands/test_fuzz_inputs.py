"""Changed input files end in success or a clear refusal, and the campaign notices other ends."""
import json
import os
import random
import signal
import time

import pytest

pytest.importorskip("caffe")

from data.errors import InputError

from fuzzing import campaign, mutations
from fuzzing.other_inputs import EVERY
from fuzzing.record import Record, page
from fuzzing.subjects import Subject

MUTATIONS = 2000
SEED = 1


def test_two_thousand_changed_files(capsys):
    cases = campaign.run_campaign(EVERY, MUTATIONS, SEED)
    with capsys.disabled():
        ends_of = {name: dict(ends) for name, ends in campaign.table(cases).items()}
        print(f"\nfuzzing with seed {SEED}: {ends_of}")
    assert [case for case in cases if case.end not in (campaign.SUCCESS, campaign.REFUSED)] == []
    assert len(cases) == MUTATIONS
    for name, ends in campaign.table(cases).items():
        both = ends[campaign.REFUSED] and ends[campaign.SUCCESS]
        assert both, f"{name}: always the same end tests nothing"


def faults(index):
    """The function of fault number `index`, called with the folder of the case; 0 is none."""
    def hang():
        time.sleep(60)

    def refuse(message):
        raise InputError(message)

    def alter(place):
        with open(os.path.join(place, "a.txt"), "a") as file:
            file.write("x")

    def climb(place):
        with open(os.path.join(place, "..", "..", "x"), "w"):
            pass

    return [
        lambda place: None, lambda place: os.kill(os.getpid(), signal.SIGABRT),
        lambda place: {}["key"], lambda place: refuse("a.txt:1: wrong"), lambda place: refuse(" "),
        alter, lambda place: hang(), lambda place: os._exit(0),
        lambda place: exec("raise SystemExit(2)"), lambda place: exec("raise SystemExit(1)"), climb
    ][index]


class Misbehaving(Subject):
    """Commits fault number n in case n, none with unchanged files."""

    def __init__(self):
        super().__init__("misbehaving", self._make, (".txt",), lambda draw, content: b"", self._use)

    def _make(self, place):
        with open(os.path.join(place, "a.txt"), "w") as file:
            file.write("unchanged")

    def change(self, draw, files):
        # the n-th case is known by its own draw: see campaign._draw
        self.number = next(n for n in range(11)
                           if draw.getstate() == campaign._draw(self, SEED, n).getstate())
        return {"a.txt": b"changed"}

    def _use(self, place):
        if hasattr(self, "number"):
            faults(self.number)(place)


def test_the_campaign_tells_every_bad_end(monkeypatch):
    monkeypatch.setattr(campaign, "SLOWEST", 10)
    cases = campaign.run_subject(Misbehaving(), range(11), SEED)
    assert [case.end for case in cases] == [
        "success", "SIGABRT", "exception", "refused", "not a clear message",
        "changed an input file", "hang", "process ended", "refused", "exit code 1",
        "wrote outside the folders given"
    ]
    assert [case.index for case in cases] == list(range(11))
    assert "KeyError: 'key'" in cases[2].message
    assert [case.index for case in campaign.failures(cases)] == [1, 2, 4, 5, 6, 7, 9, 10]


def test_a_stopped_campaign_goes_on_where_it_was(tmp_path):
    def use(place):
        with open(os.path.join(place, "a.txt")) as file:
            if int(file.read()) % 5 == 0:
                raise InputError("a multiple of 5")

    class Numbers(Subject):
        def change(self, draw, files):
            return {"a.txt": b"%d" % draw.randrange(1000)}

    def make(place):
        with open(os.path.join(place, "a.txt"), "w") as file:
            file.write("1")

    subjects = [Numbers(name, make, (".txt",), None, use) for name in ("one", "two")]
    whole = campaign.run_campaign(subjects, 302, SEED, 1)
    assert [case.index for case in whole if case.subject == "two"] == list(range(151))
    record, seen = Record(), []
    for mutations_so_far in (50, 220, 302):
        cases = campaign.run_campaign(subjects, mutations_so_far, SEED, 1,
                                      begun=record.begun(SEED))
        record.add(SEED, cases)
        seen += cases
        (tmp_path / "r.json").write_text(json.dumps(record.content()))
        record = Record.read(str(tmp_path / "r.json"))
    assert sorted(seen) == sorted(whole)
    assert record.subject_rows() == [
        (name, *(ends[kind] for kind in (campaign.SUCCESS, campaign.REFUSED)), 0)
        for name, ends in campaign.table(whole).items()]
    assert Record.read(str(tmp_path / "none.json")).counts == {}


def test_the_page_names_seeds_counts_and_what_ended_otherwise():
    subject, record = Subject("one", None, (), None, None), Record()
    cases = [campaign.Case("one", index, end, "") for index, end in
             enumerate(("success", "refused", "SIGSEGV", "refused"))]
    record.add(7, cases)
    record.add(9, cases[:2])
    assert "6 of 8 cases so far; 1 ended" in page(record, 8, "command")
    text = page(record, 6, "command")
    assert "6 cases; 1 ended otherwise" in text and "| 7 | 4 | 1 |\n| 9 | 2 | 0 |" in text
    assert "| one | 6 | 2 | 3 | 1 |" in text and text.endswith("Made by: `command`\n")
    assert record.begun(7) == {"one": 4}
    assert record.take_failures([subject]) == [(7, subject, 2)] and record.failures == []
    assert record.begun(7) == {"one": 3}


def test_a_subject_that_fails_on_unchanged_files_stops_the_campaign():
    def use(place):
        raise InputError("always")
    with pytest.raises(RuntimeError, match="unchanged files fail"):
        campaign.run_subject(Subject("bad", lambda place: None, (".txt", ), None, use), range(3),
                             SEED)


@pytest.mark.parametrize("subject", EVERY, ids=[subject.name for subject in EVERY])
def test_the_same_seed_makes_the_same_change(subject):
    changes = []
    for seed in (1, 1, 2):
        with campaign._own_place(subject.name + " again") as place:
            files = campaign._make(subject, place)
        changed = subject.change(campaign._draw(subject, seed, 5), dict(files))
        changes.append({path: changed[path] for path in files if changed[path] != files[path]})
    assert changes[0] == changes[1] != changes[2]
    # one file, and of snapshots perhaps the list that says so
    assert len(set(changes[0]) -
               ({"out/snapshots.json"} if subject.name == "snapshot" else set())) == 1


def test_every_mutation_takes_any_bytes():
    for content in (b"", b"\x00", b"\xff\xfe", b"name: 1", os.urandom(200)):
        for seed in range(200):
            for mutate in (mutations.text, mutations.octets, mutations.png):
                assert isinstance(mutate(random.Random(seed), content), bytes)
