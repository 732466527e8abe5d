"""The committed lists of wheels and packages, and the conda environment beside them."""
import os
import re

import pytest

from data.errors import InputError
from tools.lib.runtime import debian, wheels

#: conda-forge name -> PyPI name, where they differ.
PYPI_NAMES = {"opencv": "opencv-python-headless", "python-lmdb": "lmdb",
              "matplotlib-base": "matplotlib"}


def numbers(version):
    return tuple(int(part) for part in re.findall(r"\d+", version))


def test_every_wheel_has_a_hash_and_numpy_and_protobuf_fit_caffe():
    locked = wheels.locked()
    assert numbers(locked["numpy"][0])[0] == 1
    assert locked["protobuf"][0].startswith("3.20.")
    assert len({digest for _, digest in locked.values()}) == len(locked)


def test_all_requested_wheels_are_locked():
    with open(wheels.REQUESTED, encoding="utf-8") as file:
        names = re.findall(r"^([a-z][\w-]*)", file.read(), re.M)
    assert set(names) <= set(wheels.locked())


@pytest.mark.parametrize("line", [
    "numpy==1.26.4", "numpy --hash=sha256:" + 64 * "0", "numpy==1.26.4 --hash=sha256:" + 63 * "0",
    "numpy==1.26.4 --hash=md5:" + 64 * "0", "numpy==1.26.4 --hash=sha256:" + 64 * "z",
    "<<<<<<< HEAD"])
def test_a_lock_line_without_version_and_hash_is_refused_by_name(tmp_path, line):
    path = tmp_path / "requirements.lock"
    path.write_text(f"# comment\nsix==1.0 \\\n    --hash=sha256:{64 * 'a'}\n{line}\n")
    with pytest.raises(InputError, match="requirements.lock.*expected"):
        wheels.locked(str(path))


def test_the_package_list_holds_caffe_and_nothing_twice():
    locked = debian.locked_packages()
    names = [name for _, name in locked]
    assert len(set(names)) == len(names) and all(
        re.fullmatch("[0-9a-f]{64}", digest) for digest, _ in locked)
    for wanted in ("caffe", "libcaffe1", "python3-caffe", "libc6", "python3.9-minimal",
                   "libopenblas0-pthread"):
        assert sum(name.split("_")[0] == wanted for name in names) == 1


def test_conda_environment_admits_the_locked_versions(repo_root):
    with open(os.path.join(repo_root, "environment.yml"), encoding="utf-8") as file:
        wanted = re.findall(r"^  - ([a-z-]+)([<>=].*)?$", file.read(), re.M)
    locked = wheels.locked()
    compared = 0
    for name, ranges in wanted:
        if PYPI_NAMES.get(name, name) in locked:
            version = numbers(locked[PYPI_NAMES.get(name, name)][0])
            for relation, bound in re.findall(r"(>=|<)([\d.]+)", ranges):
                newer = version >= numbers(bound)
                assert newer if relation == ">=" else not newer, name
                compared += 1
    assert compared >= 10
    assert ("caffe", "=1.0") in wanted and ("python", "=3.9") in wanted
