"""The output folder of a run: which run may start or go on in it, its prototxts and its lock."""
import difflib
import fcntl
import json
import os
import re
import socket

from caffe.proto import caffe_pb2
from google.protobuf import text_format

from data.errors import InputError
from data.files import writing
from tools.lib.device_options import TF32_VARIABLE, asks_for_tf32
from tools.lib.training.filmstrip import FOLDER, STRIP
from tools.lib.training.log import EVENTS, LOG, PLOT
from tools.lib.training.record import RECORD, read_record
from tools.lib.training.snapshots import MANIFEST, PARTIAL, read_manifest
from tools.lib.training.solver import MAKE_ROOM, display_path, from_display_path, write_run_file

#: File name of the resolved solver.
SOLVER = "solver.prototxt"
#: Solver fields that may differ on --resume: how long the run takes, where it computes, what it
#: writes.
FREE_FIELDS = ("max_iter", "display", "average_loss", "snapshot", "snapshot_after_train",
               "snapshot_prefix", "test_iter", "test_interval", "test_initialization",
               "test_compute_loss", "debug_info", "solver_mode", "device_id")
#: Solver fields with the paths of the run's own copies of its nets.
NET_FIELDS = ("net", "train_net", "test_net")
#: Content of a lock.
OWNER = re.compile("process [0-9]+ on .*")


def recall_options(options, record):
    """Fills options that were not given from the record of the run; None: there is no record."""
    if record is None:
        return
    recorded = record["options"]
    if options.seed is None:
        options.seed = recorded["seed"]
    for name in ("max_iter", "data_root", "device", "keep_snapshots", "tensorboard",
                 "filmstrip"):
        if getattr(options, name) is None:
            setattr(options, name, recorded.get(name))
    if options.weights is None and recorded.get("weights"):
        options.weights = [from_display_path(path) for path in recorded["weights"]]


def choose_precision(options, resolved, record):
    """Sets options.tf32 to whether the run computes in TF32: as its record says, else as asked.

    record: of the run that goes on, or None.  Raises InputError for TF32 on the CPU, and when a run
    that goes on is to change to TF32.
    """
    on_gpu = resolved.param.solver_mode == caffe_pb2.SolverParameter.GPU
    asked = asks_for_tf32(options.tf32, on_gpu)
    before = asked if record is None else recorded_tf32(record)
    if asked and not before:
        raise InputError(
            f"--tf32 or {TF32_VARIABLE}=1: the run in {display_path(resolved.output)} computes in "
            "float32, and a run keeps its setting",
            "Go on without TF32, or start a run of its own with --output ANOTHER_FOLDER.")
    if before and not on_gpu:
        raise InputError(
            f"the run in {display_path(resolved.output)} computes in TF32, which the CPU does not "
            "have, and a run keeps its setting",
            "Go on with --device gpu:N, or start a run of its own with --output ANOTHER_FOLDER.")
    options.tf32 = before


def recorded_tf32(record):
    """Whether a record is that of a run in TF32; an old one has it among the versions."""
    return record["options"].get("tf32", (record.get("versions") or {}).get("tf32", False))


def refuse_overwriting(resolved, resume):
    """InputError when a run that starts in the folder would write over files.

    These are the snapshots of an earlier run and, where there is no record, files that happen to
    have a name that a run uses. resume: whether --resume was given, for the message.
    """
    folder = resolved.output
    snapshots = read_manifest(folder)
    if snapshots and resume:
        raise InputError(f"{display_path(folder)} holds snapshots but no {RECORD}, so the run "
                         "cannot be resumed",
                         "Restore that file, or start from the newest weights: --weights "
                         f"{display_path(os.path.join(folder, snapshots[-1]['model']['name']))} "
                         "--output ANOTHER_FOLDER")
    if snapshots:
        raise InputError(f"{display_path(folder)} holds the snapshots of an earlier run",
                         "Go on with it: --resume. Keep it: --output ANOTHER_FOLDER. "
                         "Or delete the folder.")
    if read_record(folder) is not None:
        return
    names = {LOG, PLOT, PARTIAL, MANIFEST, FOLDER, STRIP, *prototxts(resolved)}
    snapshot = re.compile(re.escape(resolved.prefix)
                          + r"_iter_[0-9]+\.(caffemodel|solverstate|classifierstate)")
    foreign = [name for name in sorted(os.listdir(folder))
               if name in names or snapshot.fullmatch(name) or EVENTS.fullmatch(name)]
    if foreign:
        raise InputError(f"{display_path(folder)} holds {', '.join(foreign)} and no {RECORD}: no "
                         "run of tools/train.py wrote that, and a run would write over it",
                         "Name another folder with --output, or move these files away.")


def refuse_difference(resolved, data, record, processes):
    """InputError with the difference when a resumed run would not be the recorded run.

    Compares solver, nets, seed, number of processes, data lists, label maps and statistics. The
    FREE_FIELDS of the solver may differ, except max_iter under lr_policy "poly", which uses it.
    """
    differences = prototxt_differences(resolved)
    if record["seed"] != resolved.seed:
        differences.append(f"seed: {record['seed']} before, {resolved.seed} now")
    if record.get("processes", 1) != processes:
        differences.append(f"processes: {record.get('processes', 1)} before, {processes} now")
    differences += _diff(
        json.dumps(record["data"], indent=1, sort_keys=True),
        json.dumps(_recorded_parts(data, record["data"]), indent=1, sort_keys=True), "data lists")
    if differences:
        raise InputError(
            "--resume would not be the same run as before in "
            f"{display_path(resolved.output)}:\n{first_lines(differences)}",
            "Undo the difference, or start a run of its own with --output ANOTHER_FOLDER.")


def _recorded_parts(data, before):
    """`data` without the label maps and statistics that an old record does not hold.

    So a run whose record was written before these were added can still be resumed.
    """
    known = {}
    for name, entry in data.items():
        old = before.get(name)
        if isinstance(old, dict) and "label_map" not in old:
            entry = {key: value for key, value in entry.items() if key != "label_map"}
        if old is not None or not name.endswith(".statistics"):
            known[name] = entry
    return known


def first_lines(differences):
    """The first 60 lines of a difference, for a message."""
    return "\n".join("    " + line for line in differences[:60])


def prototxt_differences(resolved):
    """The difference of the prototxts in the output folder to those of the resolved run, as lines.

    Solver fields that may differ are left out.
    """
    differences = []
    for name, text in prototxts(resolved).items():
        path = os.path.join(resolved.output, name)
        if not os.path.exists(path):
            # Without a snapshot, the run was killed before it wrote the file; else the net is new.
            if read_manifest(resolved.output):
                differences.append(f"{name}: not there before")
            continue
        with open(path, encoding="utf-8", errors="replace") as file:
            before = file.read()
        if name == SOLVER:
            # The nets themselves are compared; their paths change when the folder has moved.
            free = [field for field in FREE_FIELDS + NET_FIELDS
                    if field != "max_iter" or resolved.param.lr_policy != "poly"]
            before, text = _without(before, free), _without(text, free)
        differences += _diff(before, text, name)
    return differences


def prototxts(resolved):
    """{file name: text} of the resolved solver and nets."""
    texts = {SOLVER: text_format.MessageToString(resolved.param)}
    for name, net in resolved.nets.items():
        texts[name] = text_format.MessageToString(net)
    return texts


def write_prototxts(resolved):
    """Writes the resolved solver and nets into the output folder."""
    for name, text in prototxts(resolved).items():
        write_run_file(os.path.join(resolved.output, name), text)


def _without(text, fields):
    return "".join(line for line in text.splitlines(True)
                   if line.split(":")[0] not in fields)


def _diff(before, after, name):
    if before == after:
        return []
    return list(difflib.unified_diff(before.splitlines(), after.splitlines(),
                                     f"{name} before", f"{name} now", lineterm="", n=2))


class FolderLock:
    """Locks the file <folder>/lock until this process ends, in whatever way it ends.

    A POSIX record lock belongs to the process and not to the open file: a data worker that outlives
    its killed parent does not keep the folder locked.
    """

    def __init__(self, folder):
        self._path = os.path.join(folder, "lock")
        self._file = None

    def __enter__(self):
        with writing(self._path, MAKE_ROOM):
            self._file = open(self._path, "a+", encoding="utf-8", errors="replace")
        self._file.seek(0)
        owner = self._file.read().strip()
        if owner and not OWNER.fullmatch(owner):
            self._file.close()
            raise InputError(
                f"{self._path} was not written by a run, and a run would write over it",
                "Name another folder with --output, or move the file away.")
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise InputError(
                f"another run is writing into {os.path.dirname(self._path)}: "
                f"{owner or 'an unknown process'}",
                "Wait for it, stop it, or name another folder with --output.") from None
        with writing(self._path, MAKE_ROOM):
            self._file.truncate(0)
            self._file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            self._file.flush()
        return self

    def __exit__(self, *_):
        self._file.close()
