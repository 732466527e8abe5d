"""Snapshots that are there whole or not at all.

Caffe writes its two files in place and aborts the process when the disk is full. So:

1. The space is claimed first: a full disk is noticed while nothing is at stake.
2. Caffe writes into the folder `partial/`, on the CPU from a forked child, whose abort
   harms nobody (a GPU's memory cannot be read from a fork, so there Caffe writes itself).
3. Both files are checked to be whole messages, brought to the disk and hashed.
4. They are renamed into place, and only then listed in the manifest.

A kill at any moment leaves the snapshots that were listed before.
"""
import errno
import os
import shutil

from caffe.proto import caffe_pb2

from data.errors import InputError
from tools.checking.child import run_in_child
from tools.checking.glog import fatal_message
from tools.training import manifest
from tools.training.files import sync_file, sync_folder
from tools.training.solver import shown
from tools.training.wire import append_string, is_whole_message

#: Seconds that writing may take on a slow network disk before it counts as hanging.
SLOWEST_WRITE = 3600
#: Copies of the parameters in a solver's history.
HISTORY = {"AdaDelta": 2, "Adam": 2}
#: Room for names and shapes beside the parameters, in bytes.
OVERHEAD = 1 << 20


class Snapshots:
    """Writes and restores the snapshots of one output folder.

    keep: how many to keep, the newest ones; 0 keeps all.
    """

    def __init__(self, folder, keep=0):
        self.folder = folder
        self.partial = os.path.join(folder, "partial")
        self._keep = keep
        shutil.rmtree(self.partial, ignore_errors=True)
        os.makedirs(self.partial)

    def close(self):
        shutil.rmtree(self.partial, ignore_errors=True)

    def save(self, engine):
        """Writes the engine's state; returns its manifest entry.

        InputError when it cannot be written; the earlier snapshots are then as they were.
        """
        try:
            claim_space(self.partial, snapshot_bytes(engine))
            files = self._write(engine)
            for path in files:
                sync_file(path)
            entry = {"iteration": engine.iteration,
                     "model": manifest.describe(files[0]), "state": manifest.describe(files[1])}
            for path in files:
                os.replace(path, os.path.join(self.folder, os.path.basename(path)))
            sync_folder(self.folder)
            self._list(entry)
        except OSError as problem:
            for name in os.listdir(self.partial):
                os.unlink(os.path.join(self.partial, name))
            raise InputError(
                "the snapshot of iteration %d cannot be written to %s: %s"
                % (engine.iteration, shown(self.folder), problem.strerror),
                "The earlier snapshots are intact. Make room, then go on with --resume.") from None
        return entry

    def restore(self, engine, entry):
        """Puts the engine into a listed snapshot's state, data position included."""
        state = os.path.join(self.folder, entry["state"]["name"])
        model = os.path.join(self.folder, entry["model"]["name"])
        # The state names its model by the path it had when written, and the folder may have moved.
        copy = os.path.join(self.partial, "restored.solverstate")
        shutil.copyfile(state, copy)
        append_string(copy, caffe_pb2.SolverState.LEARNED_NET_FIELD_NUMBER, model)
        engine.solver.restore(copy)
        os.unlink(copy)
        engine.seek()

    def _write(self, engine):
        if engine.on_gpu:
            files = engine.caffe_snapshot()
        else:
            outcome = run_in_child(engine.caffe_snapshot, SLOWEST_WRITE)
            if outcome.value is None:
                raise OSError(errno.EIO, "Caffe could not write it: %s" % (
                    outcome.exception or fatal_message(outcome.stderr) or "no reason given"))
            files = outcome.value
        model, state = files
        append_string(state, caffe_pb2.SolverState.LEARNED_NET_FIELD_NUMBER,
                      shown(os.path.join(self.folder, os.path.basename(model))))
        for path in files:
            if not is_whole_message(path):
                raise OSError(errno.EIO, "%s was cut off" % os.path.basename(path))
        if os.path.getsize(model) < parameter_bytes(engine):
            raise OSError(errno.EIO, "%s is too short" % os.path.basename(model))
        return files

    def _list(self, entry):
        """Adds the entry to the manifest, and deletes what is not to be kept any longer."""
        entries = [old for old in manifest.read_manifest(self.folder)
                   if old["iteration"] != entry["iteration"]] + [entry]
        kept = entries[-self._keep:] if self._keep else entries
        manifest.write_manifest(self.folder, kept)
        for old in entries[:len(entries) - len(kept)]:
            for part in ("model", "state"):
                _unlink(os.path.join(self.folder, old[part]["name"]))


def parameter_bytes(engine):
    """Bytes of the net's parameters: 4 each."""
    return 4 * sum(blob.count for blobs in engine.net.params.values() for blob in blobs)


def snapshot_bytes(engine):
    """Upper estimate of the bytes of a snapshot's two files."""
    copies = 1 + HISTORY.get(engine.param.type, 1) + int(engine.param.snapshot_diff)
    return copies * parameter_bytes(engine) + OVERHEAD


def claim_space(folder, size):
    """Raises OSError when `folder` has no room for `size` bytes (disk, quota or file limit)."""
    path = os.path.join(folder, "claim")
    try:
        with open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
    finally:
        _unlink(path)


def _unlink(path):
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
