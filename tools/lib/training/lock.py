"""One run at a time in an output folder."""
import fcntl
import os
import re
import socket

from data.errors import InputError
from tools.lib.training.files import writing

#: What a run writes into its lock.
OWNER = re.compile("process [0-9]+ on .*")


class FolderLock:
    """Holds <folder>/lock for this process, until it ends, however it ends.

    A POSIX record lock: it belongs to the process and not to the open file, so a worker
    process that outlives its killed parent does not keep the folder locked.
    """

    def __init__(self, folder):
        self._path = os.path.join(folder, "lock")
        self._file = None

    def __enter__(self):
        with writing(self._path):
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
        with writing(self._path):
            self._file.truncate(0)
            self._file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            self._file.flush()
        return self

    def __exit__(self, *_):
        self._file.close()
