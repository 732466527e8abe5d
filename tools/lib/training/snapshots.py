"""Snapshots that are on the disk whole or not at all.

Caffe writes its two files in place, and aborts the process when the disk is full. Therefore:

1. The space is claimed first: a full disk is noticed before anything is written.
2. Caffe writes into the folder `partial/`. On the CPU a forked child lets it write, so that only
   the child is lost when Caffe aborts. A GPU's memory cannot be read from a fork: there Caffe
   writes in the process of the run.
3. The files are read back and compared with the net, synced to the disk and hashed.
4. They are renamed into place, and only then listed in the manifest.

A kill at any moment leaves the snapshots that were listed before.

The manifest, snapshots.json, lists the complete snapshots with sizes and hashes:

    {"snapshots": [{"iteration": 400,
                    "model": {"name": "toy_iter_400.caffemodel", "bytes": 1, "sha256": "..."},
                    "state": {"name": "toy_iter_400.solverstate", "bytes": 1, "sha256": "..."}}]}

A run with classifier_steps has a third file, "classifier": "toy_iter_400.classifierstate"
(classifier_steps.py). A snapshot counts once it is listed; the writing of a file that is not listed
was never finished.
"""
import functools
import json
import os
import shutil

from caffe.proto import caffe_pb2

from data.child_process import run_in_child
from data.errors import InputError
from data.files import sha256, sync, writing
from models.cost import snapshot_bytes
from tools.lib.checking.caffemodel import compare, read_caffemodel, read_solverstate, require_match
from tools.lib.checking.dry_run import fatal_message, shapes_of
from tools.lib.training.solver import MAKE_ROOM, display_path, write_run_file

#: Names in the output folder.
MANIFEST, PARTIAL = "snapshots.json", "partial"
#: Seconds that writing may take on a slow network disk before it counts as hanging.
SLOWEST_WRITE = 3600
#: Room for names and shapes beside the parameters, in bytes.
OVERHEAD = 1 << 20
#: Field of a solverstate with the path of its caffemodel.
LEARNED_NET = caffe_pb2.SolverState.LEARNED_NET_FIELD_NUMBER
#: Wire type of strings in protocol buffers.
BYTES = 2


class Snapshots:
    """Writes and restores the snapshots of one output folder.

    keep: number of the newest snapshots that stay; 0 keeps all.
    """

    def __init__(self, folder, keep=0):
        self.folder = folder
        self.partial = os.path.join(folder, PARTIAL)
        self._keep = keep
        shutil.rmtree(self.partial, ignore_errors=True)
        with writing(self.partial, MAKE_ROOM):
            os.makedirs(self.partial)

    def close(self):
        shutil.rmtree(self.partial, ignore_errors=True)

    def save(self, engine):
        """Writes the engine's state; returns its entry in the manifest.

        InputError when it cannot be written; the earlier snapshots stay as they are.
        """
        try:
            claim_space(self.partial, needed_bytes(engine))
            files = self._write(engine)
            for path in files.values():
                sync(path)
            described = {part: describe_file(path) for part, path in files.items()}
            for path in files.values():
                os.replace(path, os.path.join(self.folder, os.path.basename(path)))
            sync(self.folder)
            return self._add_to_manifest({"iteration": engine.iteration, **described})
        except (OSError, InputError) as problem:
            why = problem.what if isinstance(problem, InputError) else problem.strerror or problem
            for name in os.listdir(self.partial):
                os.unlink(os.path.join(self.partial, name))
            raise InputError(
                f"the snapshot of iteration {engine.iteration} cannot be written to "
                f"{display_path(self.folder)}: {why}",
                "The earlier snapshots are intact. Make room, then go on with --resume.") from None

    def restore(self, engine, entry):
        """Puts the engine into the state of a listed snapshot.

        InputError when Caffe does not take the files: they are those listed, but of another net.
        """
        model = os.path.join(self.folder, entry["model"]["name"])
        # The state holds the path that its model had when it was written; the folder may have
        # moved since.
        copy = os.path.join(self.partial, "restored.solverstate")
        try:
            shutil.copyfile(os.path.join(self.folder, entry["state"]["name"]), copy)
            append_string(copy, LEARNED_NET, model)
        except OSError as problem:
            raise InputError(f"the snapshot of iteration {entry['iteration']} cannot be copied "
                             f"aside in {display_path(self.folder)}: {problem.strerror}") from None
        classifier = None
        if "classifier" in entry:
            classifier = os.path.join(self.folder, entry["classifier"]["name"])
        if not engine.on_gpu:
            _in_child(lambda: engine.restore(copy, classifier) or engine.iteration,
                      f"Caffe does not take the snapshot of iteration {entry['iteration']}")
        engine.restore(copy, classifier)
        os.unlink(copy)

    def _write(self, engine):
        shapes, failed = shapes_of(engine.net), "Caffe could not write it"
        if engine.on_gpu:
            files = engine.caffe_snapshot()
        else:
            files = _in_child(engine.caffe_snapshot, failed)
        model, state = files["model"], files["state"]
        append_string(state, LEARNED_NET,
                      display_path(os.path.join(self.folder, os.path.basename(model))))

        # In a child, whose memory is freed with it: reading takes twice the file's size.
        if _in_child(functools.partial(_read_back, shapes, files), failed) != engine.iteration:
            raise InputError("its solverstate has another iteration")
        return files

    def _add_to_manifest(self, entry):
        """Lists the entry, and deletes the snapshots that are not kept any longer."""
        entries = [old for old in read_manifest(self.folder)
                   if old["iteration"] != entry["iteration"]]
        entries = sorted(entries + [entry], key=lambda listed: listed["iteration"])
        kept = entries[-self._keep:] if self._keep else entries
        write_manifest(self.folder, kept)
        for old in entries[:len(entries) - len(kept)]:
            for part in file_parts(old):
                _unlink(os.path.join(self.folder, old[part]["name"]))
        return entry


def _read_back(shapes, files):
    """The iteration of written files; InputError for one that is not as it should be."""
    require_match(compare(shapes, read_caffemodel(files["model"])), complete=True)
    if "classifier" in files:
        read_solverstate(files["classifier"])
    return read_solverstate(files["state"]).iteration


def needed_bytes(engine):
    """Upper estimate of the bytes of a snapshot's files."""
    counts = [sum(blob.count for blobs in net.params.values() for blob in blobs)
              for net in engine.updated_nets]
    return OVERHEAD + sum(
        snapshot_bytes(count, engine.param.type, engine.param.snapshot_diff) for count in counts)


def claim_space(folder, size):
    """Raises OSError when `folder` has no room for `size` bytes (disk, quota or file limit)."""
    path = os.path.join(folder, "claim")
    try:
        with open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
    finally:
        _unlink(path)


def _in_child(function, failed):
    """The value of function() in a child; InputError("<failed>: why") when it dies."""
    outcome = run_in_child(function, SLOWEST_WRITE)
    if outcome.error is not None:
        raise outcome.error
    if outcome.value is None:
        why = (outcome.exception or fatal_message(outcome.stderr)
               or "its process ended without a message")
        raise InputError(f"{failed}: {why}")
    return outcome.value


def _unlink(path):
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def read_manifest(folder):
    """The entries of the manifest, oldest first; [] when there is no manifest yet.

    InputError when the file is damaged.
    """
    path = os.path.join(folder, MANIFEST)
    if not os.path.exists(path):
        return []
    try:
        with open(path, encoding="utf-8") as file:
            entries = json.load(file)["snapshots"]
        for entry in entries:
            _check_entry(entry)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as problem:
        raise InputError(f"{path} is not a list of snapshots: {problem}",
                         "Move it away to start the run again; the snapshots themselves stay "
                         "usable with --weights.") from None
    return sorted(entries, key=lambda entry: entry["iteration"])


def write_manifest(folder, entries):
    """Replaces the manifest, whole or not at all."""
    text = json.dumps({"snapshots": entries}, indent=1) + "\n"
    write_run_file(os.path.join(folder, MANIFEST), text)


def file_parts(entry):
    """The keys of a manifest entry that describe a file."""
    return ("model", "state", "classifier") if "classifier" in entry else ("model", "state")


def describe_file(path):
    """{"name", "bytes", "sha256"} of a file."""
    return {"name": os.path.basename(path), "bytes": os.path.getsize(path), "sha256": sha256(path)}


def find_fault(folder, entry):
    """A message when a file of the snapshot is missing or not as listed; None when all are."""
    for part in file_parts(entry):
        listed = entry[part]
        path = os.path.join(folder, listed["name"])
        if not os.path.isfile(path):
            return f"{listed['name']} is missing"
        size = os.path.getsize(path)
        if size != listed["bytes"]:
            return f"{listed['name']} has {size} bytes instead of {listed['bytes']}"
        if sha256(path) != listed["sha256"]:
            return f"{listed['name']} has been altered: its SHA-256 is not the listed one"
    return None


def newest_complete(folder, report):
    """The entry of the newest snapshot whose files are as listed, or None.

    report(text) is called for every snapshot that is passed over.
    """
    for entry in reversed(read_manifest(folder)):
        problem = find_fault(folder, entry)
        if problem is None:
            return entry
        report(f"passing over the snapshot of iteration {entry['iteration']}: {problem}")
    return None


def _check_entry(entry):
    if type(entry["iteration"]) is not int or entry["iteration"] < 0:
        raise ValueError(f"iteration is {entry['iteration']!r}")
    for part in file_parts(entry):
        name = entry[part]["name"]
        if not isinstance(name, str) or name != os.path.basename(name) or name in ("", ".", ".."):
            raise ValueError(f"{name!r} is not the name of a file in this folder")
        if type(entry[part]["bytes"]) is not int or not isinstance(entry[part]["sha256"], str):
            raise ValueError(f"bytes or sha256 of {name} are missing")


def append_string(path, number, text):
    """Gives string field `number` of a protocol buffer file a new value by appending it.

    A later value of a field replaces an earlier one. So a solverstate of half a gigabyte need not
    be read and written again.
    """
    value = text.encode()
    with open(path, "ab") as file:
        file.write(_varint(number << 3 | BYTES) + _varint(len(value)) + value)


def _varint(value):
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
