"""The routes that the doctor names, and the days on which the runtime in use ends."""
import datetime
import json

import pytest

from tests import signed_repository as repository
from tools.lib.runtime import checkup, mirrors, pack, routes, source_builds

BOTH = f" {routes.BINARIES}\n {routes.SOURCES}\n"


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with one mirror and all programs; gives the texts of the indexes to fill in."""
    indexes = {"http://deb.house.test/debian": "", "http://archive.house.test/debian": "",
               "http://deb.house.test/debian-archive/debian": ""}
    monkeypatch.setattr(mirrors, "machine_mirrors", lambda: ["http://deb.house.test/debian"])
    monkeypatch.setattr(routes, "index", indexes.get)
    monkeypatch.setattr(routes.shutil, "which", lambda name: "/usr/bin/" + name)
    monkeypatch.setattr(source_builds, "missing_programs", lambda: [])
    monkeypatch.setattr(source_builds, "building_python", lambda: "/usr/bin/python3.12")
    monkeypatch.setattr(routes, "ROOT", str(tmp_path / "house" / "project"))
    (tmp_path / "house" / "project").mkdir(parents=True)
    return indexes


def found():
    return {route.name: (route.is_open, route.text) for route in routes.routes()}


def test_a_mirror_that_has_the_release_opens_packages_and_source(machine):
    machine["http://deb.house.test/debian"] = BOTH
    assert found()["Debian packages"] == (True, "Debian 11 at http://deb.house.test/debian")
    assert found()["source build"] == (
        True, "by /usr/bin/python3.12, source package at http://deb.house.test/debian")
    assert not found()["archive"][0] and not found()["packed runtime"][0]


def test_an_archive_is_a_route_of_its_own(machine):
    machine["http://archive.house.test/debian"] = BOTH
    assert not found()["Debian packages"][0]
    assert found()["archive"] == (True, "Debian 11 at http://archive.house.test/debian")
    assert found()["source build"][0]


def test_source_packages_alone_open_the_source_build_alone(machine):
    machine["http://deb.house.test/debian"] = f" {routes.SOURCES}\n"
    assert [name for name, (is_open, _) in found().items() if is_open] == ["source build"]


def test_a_machine_without_compiler_or_fitting_python_is_told_so(machine, monkeypatch):
    machine["http://deb.house.test/debian"] = BOTH
    monkeypatch.setattr(source_builds, "missing_programs", lambda: ["g++ (the C++ compiler)"])
    monkeypatch.setattr(source_builds, "building_python", lambda: None)
    is_open, text = found()["source build"]
    assert not is_open and "g++" in text and "Python 3.11 or 3.12" in text


def test_a_machine_without_mirrors_or_apt_has_neither_packages_nor_archive(machine, monkeypatch):
    monkeypatch.setattr(mirrors, "machine_mirrors", lambda: [])
    assert found()["Debian packages"] == (False, "no address in this machine's apt sources")
    monkeypatch.setattr(routes.shutil, "which", lambda name: None)
    assert found()["Debian packages"] == (False, "no apt-get on this machine")


def test_a_pack_beside_the_repository_is_a_route_if_it_fits(machine, monkeypatch, tmp_path):
    (tmp_path / "house" / "runtime.pack").write_bytes(b"x")
    is_open, text = found()["packed runtime"]
    assert not is_open and "runtime.pack is cut, altered or no packed runtime" in text
    monkeypatch.setattr(pack, "read_manifest", lambda path, file: {})
    assert found()["packed runtime"] == (
        True, f"setup_caffe.py --unpack {tmp_path / 'house' / 'runtime.pack'}")


@pytest.mark.skipif(bool(repository.missing_programs), reason="no apt on this machine")
def test_an_index_is_read_and_a_missing_one_is_empty(tmp_path, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "debian" / "dists" / "bullseye"
    home.mkdir(parents=True)
    (home / "InRelease").write_text(BOTH)
    with repository.served(tmp_path) as (address, _):
        assert routes.index(address + "/debian") == BOTH
        assert routes.index(address + "/none") == ""
    monkeypatch.setattr(routes, "HELPER", str(tmp_path / "none"))
    assert routes.index(f"file:{tmp_path}/debian") == ""


def test_an_address_that_does_not_answer_is_left_after_a_while(tmp_path, monkeypatch):
    helper = tmp_path / "helper"
    helper.write_text("#!/bin/sh\nexec sleep 60\n")
    helper.chmod(0o755)
    monkeypatch.setattr(routes, "HELPER", str(helper))
    monkeypatch.setattr(routes, "PATIENCE", 0.2)
    assert routes.index("http://deb.house.test/debian") == ""


@pytest.mark.parametrize("day, passed", [
    ((2025, 10, 31), [False, False]), ((2025, 11, 1), [False, True]),
    ((2026, 8, 31), [False, True]), ((2026, 9, 1), [True, True])])
def test_the_private_runtime_ends_with_debian_11_and_python_39(monkeypatch, day, passed):
    monkeypatch.setattr(routes, "DEBIAN_DATES", "/nowhere")
    assert [end[1] for end in routes.ends(None, datetime.date(*day))] == passed


def test_a_build_ends_with_debian_12_and_its_own_python(monkeypatch, tmp_path):
    monkeypatch.setattr(routes, "DEBIAN_DATES", "/nowhere")
    (tmp_path / "build.json").write_text(json.dumps({"python": "3.12", "variant": "cpu"}))
    assert routes.ends(str(tmp_path), datetime.date(2026, 11, 27)) == [
        ("Debian 12's libraries: long-term support until 2028-06-30", False),
        ("Python 3.12: security fixes until 2028-10", False)]


def test_the_machines_own_table_of_releases_is_believed(tmp_path, monkeypatch):
    table = tmp_path / "debian.csv"
    table.write_text("version,codename,series,created,release,eol,eol-lts,eol-elts\n"
                     "11,Bullseye,bullseye,2019-07-06,2021-08-14,2024-08-14,2030-01-01,\n"
                     "14,Forky,forky,2025-08-09\n")
    monkeypatch.setattr(routes, "DEBIAN_DATES", str(table))
    assert routes.ends(None, datetime.date(2026, 11, 27))[0] == (
        "Debian 11's libraries: long-term support until 2030-01-01", False)


def test_the_doctor_reports_routes_and_ends_and_none_of_them_as_missing(machine, monkeypatch):
    monkeypatch.setattr(checkup, "runtime_kind", lambda: ("private, /p", checkup.REBUILD))
    monkeypatch.setattr(checkup, "ask", lambda question: {"failed": "not asked here"})
    monkeypatch.setattr(routes, "ends", lambda build: [("Python 3.9: ended", True)])
    findings = list(checkup.examine())
    assert [f.grade for f in findings if f.subject == "route"] == ["note"] * 4
    assert [(f.text, f.grade) for f in findings if f.subject == "support"] == [
        ("Python 3.9: ended", "note")]
