"""Runs mutations in child processes and counts how they end."""
import collections
import contextlib
import fcntl
import functools
import json
import os
import random
import shutil
import signal
import tempfile

from data.child_process import run_in_child
from data.errors import InputError
from data.parallel import each_result

#: Seconds after which a case counts as hanging; one takes about 0.05, longer on a busy machine.
SLOWEST = 60
#: Bytes a case may allocate: hostile sizes must not take the machine down.
MEMORY = 2 << 30
#: Cases that share a child process.
BATCH = 100
#: Bytes that must be free in the memory's file system for the cases to go there.
ROOM = 256 << 20
LONGEST_MESSAGE = 10000

SUCCESS, REFUSED = "success", "refused"
#: One case.  end: SUCCESS, REFUSED, or what went wrong; message: the InputError's, or the details.
Case = collections.namedtuple("Case", "subject index end message")


def run_campaign(subjects, mutations, seed, workers=None, report=lambda cases: None, begun=()):
    """[Case] of `mutations` cases in all, spread evenly over the subjects, which take turns.

    workers: processes (default: one a usable core); report(cases) is called for those that ended;
    begun: {subject's name: number of its cases that an earlier campaign has run}.
    """
    begun, parts = dict(begun), []
    for number, subject in enumerate(subjects):
        share = mutations // len(subjects) + (number < mutations % len(subjects))
        start = begun.get(subject.name, 0)
        while start < share:
            stop = min(start // BATCH * BATCH + BATCH, share)
            parts.append((start, number, range(start, stop)))
            start = stop
    cases = []
    for done in each_result(lambda part: run_subject(subjects[part[1]], part[2], seed),
                            sorted(parts, key=lambda part: part[:2]), workers, chunk=1):
        cases += done
        report(done)
    return cases


def run_subject(subject, indices, seed):
    """[Case] of the cases `indices` of one subject, in batches that share a child process.

    The indices lie between two multiples of BATCH.
    """
    indices = list(indices)
    with _own_place(f"{subject.name} {indices[0] // BATCH * BATCH}") as place:
        files = _make(subject, place)
        _use_unchanged(subject, files, place)
        cases = []
        while indices:
            done = _run_batch(subject, files, place, indices, seed)
            cases += done
            del indices[:len(done)]
        return cases


@contextlib.contextmanager
def _own_place(name):
    """A folder with room above it for files that climb out.

    Its path is in the files that are changed, and so in the changes: it is the same in each run,
    and runs that want it wait for each other.
    """
    base = os.path.join(_fast_folder(), f"fuzzing-{os.getuid()}")
    os.makedirs(base, mode=0o700, exist_ok=True)
    if os.lstat(base).st_uid != os.getuid():
        raise RuntimeError(f"{base} belongs to another user")
    folder = os.path.join(base, name.replace(" ", "_"))
    with open(folder + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(folder, ignore_errors=True)       # of a run that was killed
        try:
            yield os.path.join(folder, "above", "case")
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@functools.lru_cache(maxsize=None)  # one for all cases: their changes depend on it
def _fast_folder():
    """A folder in memory where there is one with room: the commands wait for the disk otherwise."""
    memory = "/dev/shm"
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM:
        return memory
    return tempfile.gettempdir()


def _make(subject, place):
    """The subject's valid files, {path: bytes}."""
    _write(place, {})
    made = run_in_child(lambda: subject.make(place) or True, 300)
    if not made.value:
        raise RuntimeError(f"{subject.name}: its files cannot be made: {made}")
    return _read(place)


def _use_unchanged(subject, files, place):
    """A subject that fails on its unchanged files would test nothing."""
    _write(place, files)
    used = run_in_child(lambda: subject.use(place) or True, 300, MEMORY)
    if not used.value:
        raise RuntimeError(f"{subject.name}: the unchanged files fail: {used}")


def _run_batch(subject, files, place, indices, seed):
    """[Case] up to the end of `indices` or to the first case that ends the child."""
    with tempfile.NamedTemporaryFile("r") as lines:
        outcome = run_in_child(lambda: _run_cases(subject, files, place, indices, seed, lines.name),
                               SLOWEST * len(indices), MEMORY)
        done = [Case(subject.name, *json.loads(line)) for line in lines]
    if len(done) < len(indices):
        done.append(Case(subject.name, indices[len(done)], *_how_it_died(outcome)))
    return done


def _run_cases(subject, files, place, indices, seed, path):
    """In the child: runs the cases in turn and adds a line to the file `path` for each."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)      # ends the process, whatever it is busy with
    with open(path, "a") as lines:
        for index in indices:
            signal.alarm(SLOWEST)
            end, message = run_case(subject, files, place, seed, index)
            signal.alarm(0)
            lines.write(json.dumps([index, end, message]) + "\n")
            lines.flush()
    return True


def run_case(subject, files, place, seed, index):
    """(end, message) of one case, run in this process."""
    changed = subject.change(_draw(subject, seed, index), dict(files))
    _write(place, changed)
    cwd = os.getcwd()
    try:
        subject.use(place)
        end, message = SUCCESS, ""
    except InputError as problem:
        end, message = REFUSED, str(problem)
        if not message.strip() or len(message) > LONGEST_MESSAGE or "Traceback" in message:
            end = "not a clear message"
    except SystemExit as problem:
        end, message = (REFUSED if problem.code == 2 else f"exit code {problem.code}"), ""
    except Exception as problem:
        frame = _innermost(problem.__traceback__)
        end, message = "exception", f"{type(problem).__name__}: {problem} ({frame})"
    os.chdir(cwd)
    left = _read(place)
    above = os.path.dirname(os.path.dirname(place))
    if os.listdir(above) != ["above"] or os.listdir(os.path.dirname(place)) != ["case"]:
        escaped = sorted(set(_read(above)) - {os.path.join("above", "case", name) for name in left})
        shutil.rmtree(above)
        os.makedirs(above)
        return "wrote outside the folders given", ", ".join(escaped)
    for name in changed:
        if not name.startswith("out/") and left.get(name) != changed[name]:
            end, message = "changed an input file", name
    return end, message


def _innermost(traceback):
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return f"{os.path.basename(traceback.tb_frame.f_code.co_filename)}:{traceback.tb_lineno}"


def _how_it_died(outcome):
    last = " ".join(outcome.stderr.split())[-500:]
    if outcome.timeout is not None or outcome.signal == signal.SIGALRM:
        return "hang", f"not done within {SLOWEST} s"
    if outcome.signal is not None:
        return signal.Signals(outcome.signal).name, last
    return "process ended", f"{outcome.exception or outcome.status} {last}"


def _read(place):
    """{path below `place`: bytes} of every file."""
    files = {}
    for folder, _, names in os.walk(place):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                files[os.path.relpath(path, place)] = file.read()
    return files


def _write(place, files):
    """Makes the folder hold exactly these files."""
    shutil.rmtree(place, ignore_errors=True)
    os.makedirs(place)
    for name, content in files.items():
        path = os.path.join(place, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)


def failures(cases):
    """The cases that ended neither in success nor in a refusal."""
    return [case for case in cases if case.end not in (SUCCESS, REFUSED)]


def table(cases):
    """{subject: Counter of ends}, in the cases' order."""
    counts = {}
    for case in cases:
        counts.setdefault(case.subject, collections.Counter())[case.end] += 1
    return counts


def replay(subject, seed, index):
    """(end, message, names of the changed files) of one case, run in this process.

    For a debugger.
    """
    with _own_place(f"{subject.name} {index // BATCH * BATCH}") as place:
        files = _make(subject, place)
        changed = subject.change(_draw(subject, seed, index), dict(files))
        end = run_case(subject, files, place, seed, index)
        return end + ([name for name in changed if changed[name] != files[name]],)


def _draw(subject, seed, index):
    return random.Random(f"{seed}/{subject.name}/{index}")
