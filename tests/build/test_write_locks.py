"""Writing lock files, with a pip that answers from the test."""
import json
from types import SimpleNamespace

import pytest

from data.errors import InputError
from tools.build import write_locks
from tools.lib.runtime import wheels


def test_a_lock_is_made_of_what_pip_would_install(tmp_path, monkeypatch):
    def pip(argv, env):
        report = argv[argv.index("--report") + 1]
        with open(report, "w") as file:
            json.dump({"install": [
                {"metadata": {"name": name, "version": version},
                 "download_info": {"archive_info": {"hashes": {"sha256": digit * 64}}}}
                for name, version, digit in (("Typing_Extensions", "4.1", "b"),
                                             ("torch", "2.13.0+cpu", "a"))]}, file)
        return SimpleNamespace(returncode=int("refused" in argv))

    monkeypatch.setattr(write_locks.subprocess, "run", pip)
    monkeypatch.setattr(write_locks.wheels, "pip_command", lambda verb: ["pip", verb])
    path = tmp_path / "torch.lock"
    path.write_text(write_locks._text(write_locks.resolve(["torch"])))
    assert wheels.locked(str(path)) == {"torch": ("2.13.0+cpu", "a" * 64),
                                        "typing-extensions": ("4.1", "b" * 64)}
    with pytest.raises(InputError, match="does not resolve refused"):
        write_locks.resolve(["refused"])
