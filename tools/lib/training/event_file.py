"""The event file of a run for TensorBoard: log.jsonl as curves, the filmstrip as pictures.

The file is made from log.jsonl when a run starts or goes on, and grows with the log. A resumed run
therefore has every point once, also those of a part that was trained without --tensorboard.

    loss/...            losses
    domain/...          the domain classifier's accuracies
    features/...        lengths of a unit's features on source and target
    gradients/...       gradients of the losses on the features, relative to each other
    mil/...             numbers of constrained MIL
    presence/...        precision and recall of the presence rule, all classes and class by class
    rate/...            learning rate and iterations a second
    test_0/...          outputs of test net 0, and so on
    other/...           outputs of a net that none of the groups above names
    filmstrip/...       image | prediction of a frame of the filmstrip, at every snapshot
    warnings            the warnings that train.py printed
"""
import os
import time

from tensorboardX import record_writer
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.summary import text

from data.files import writing
from tools.lib.training.log import EVENTS
from tools.lib.training.solver import MAKE_ROOM

#: Scheme of the paths that tensorboardX opens as an AppendedFile.
SCHEME = "appended"
#: Outputs of the project's nets by group. Other outputs: "loss" where the name ends in that word.
GROUPS = {
    "domain": ("domain_accuracy_source", "domain_accuracy_target"),
    "features": ("feature_norm_source", "feature_norm_target"),
    "gradients": ("domain_gradient_ratio", "mil_gradient_ratio", "domain_target_share"),
    "mil": ("mil_present", "mil_active", "mil_relaxed"),
    "presence": ("mil_precision", "mil_recall"),
    "loss": ("domain_loss_inverse",),
}


class EventFile:
    """Appends to the event file of a run's folder; an event is in the file when add() returns."""

    def __init__(self, folder, entries, pictures=()):
        """Begins the file anew from the log's entries, in place of the event files that are there.

        pictures: [(iteration, {name: PNG as bytes})]. Their times, and those of the entries, are
        the times of training without the breaks, counted back from now. InputError when the disk
        does not take the file.
        """
        for name in filter(EVENTS.fullmatch, os.listdir(folder)):
            _retire(os.path.join(folder, name))
        now = time.time()
        self._path = os.path.join(folder, f"events.out.tfevents.{now:.3f}")
        self._records = record_writer.RecordWriter(f"{SCHEME}:{self._path}")
        times = _times(entries, now)
        first = times[0] if times else now
        self._append(Event(wall_time=first, file_version="brain.Event:2"))
        # A TensorBoard that has read the file before forgets its points when it reads this.
        self._append(Event(wall_time=first, step=0,
                           session_log=SessionLog(status=SessionLog.START)))
        reached = {entry["iteration"]: when for entry, when in zip(entries, times)}
        for entry, when in zip(entries, times):
            self._append_entry(entry, when)
        for iteration, images in pictures:
            self._append_pictures(iteration, images, reached.get(iteration, first))
        self._flush()

    def add(self, entry):
        """Appends an entry of the log. InputError when the disk does not take it."""
        self._append_entry(entry, time.time())
        self._flush()

    def add_pictures(self, iteration, images):
        """Appends pictures {name: PNG as bytes}. InputError as add()."""
        self._append_pictures(iteration, images, time.time())
        self._flush()

    def _append_entry(self, entry, when):
        if entry["kind"] == "note":
            summary = text("warnings", entry["text"])
        else:
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)
                                     for tag, value in scalars(entry).items()])
        if summary.value:
            self._append(Event(wall_time=when, step=entry["iteration"], summary=summary))

    def _append_pictures(self, iteration, images, when):
        for name, encoded in images.items():
            # From a PNG's header: after 16 bytes its width and height, 4 bytes each.
            width, height = (int.from_bytes(encoded[at:at + 4], "big") for at in (16, 20))
            image = Summary.Image(height=height, width=width, colorspace=3,
                                  encoded_image_string=encoded)
            value = Summary.Value(tag=f"filmstrip/{name}", image=image)
            self._append(Event(wall_time=when, step=iteration, summary=Summary(value=[value])))

    def _append(self, event):
        self._records.write(event.SerializeToString())

    def _flush(self):
        with writing(self._path, MAKE_ROOM):
            self._records.flush()


def _retire(path):
    """Empties an event file, or removes it when it is empty already.

    TensorBoard goes on from an emptied file to the next one. Of a removed file that it has open it
    would wait for more.
    """
    with writing(path):
        if os.path.getsize(path):
            os.truncate(path, 0)
        else:
            os.unlink(path)


def scalars(entry):
    """{tag: value} of an entry of the log; values that are not finite (None) are left out."""
    if entry["kind"] == "test":
        found = {f"test_{entry['net']}/{name}": value for name, value in entry["values"].items()}
    elif entry["kind"] == "train":
        found = {f"{group_of(name)}/{name}": value for name, value in entry["values"].items()}
        for name in ("learning_rate", "iterations_per_second"):
            found[f"rate/{name}"] = entry.get(name)
        for name, shares in entry.get("presence", {}).items():
            found.update((f"presence/{name}_{kind}", share) for kind, share in shares.items())
    else:
        found = {}
    return {tag: value for tag, value in found.items() if value is not None}


def group_of(output):
    """The group of an output of the train net."""
    for group, names in GROUPS.items():
        if output in names:
            return group
    return "loss" if output.endswith("loss") else "other"


def _times(entries, end):
    """Seconds since 1970 of the entries, from the rates in the log; the last is `end`."""
    elapsed, before, reached = [], 0, 0.0
    for entry in entries:
        if entry.get("iterations_per_second"):
            reached += (entry["iteration"] - before) / entry["iterations_per_second"]
        if entry["kind"] == "train":
            before = entry["iteration"]
        elapsed.append(reached)
    return [end - reached + seconds for seconds in elapsed]


class AppendedFile:
    """A file for tensorboardX that is open only while flush() appends to it.

    tensorboardX's own file stays open in every fork of a run, waits for the disk at each flush, and
    fails once more at the end after a full disk.
    """

    def __init__(self, path):
        self._path, self._waiting = path, []

    def write(self, data):
        self._waiting.append(data)

    def flush(self):
        waiting, self._waiting = self._waiting, []
        with open(self._path, "ab") as file:
            file.write(b"".join(waiting))


class _Appending:
    """Opens paths of the scheme SCHEME for tensorboardX."""

    @staticmethod
    def open(path):
        return AppendedFile(path[len(SCHEME) + 1:])


if SCHEME not in record_writer.REGISTERED_FACTORIES:
    record_writer.register_writer_factory(SCHEME, _Appending)
