"""Retired releases: a mirror without the suite, an archive with it; signatures, dates, sources."""
import os

import pytest

from data.errors import InputError
from tests import signed_repository as repository
from tools.build import parts
from tools.lib.runtime import debian
from tools.lib.runtime.mirrors import archives_of

needs_programs = pytest.mark.skipif(
    bool(repository.missing_programs),
    reason=f"not on this machine: {', '.join(repository.missing_programs)}")
PASSED = "Sat, 08 Jan 2022 00:00:00 UTC"


@pytest.mark.parametrize("mirror, archives", [
    ("http://deb.house.test/debian",
     ["http://archive.house.test/debian", "http://deb.house.test/debian-archive/debian"]),
    ("https://me:secret@ftp.de.house.test:81/debian",
     ["https://archive.de.house.test:81/debian", "https://archive.house.test:81/debian",
      "https://me:secret@ftp.de.house.test:81/debian-archive/debian"]),
    ("http://mirror.example.co.uk/pub/debian",
     ["http://archive.example.co.uk/pub/debian",
      "http://mirror.example.co.uk/pub/debian-archive/debian"]),
    ("http://10.0.0.7:3142/debian", ["http://10.0.0.7:3142/debian-archive/debian"]),
    ("http://[::1]/debian", ["http://[::1]/debian-archive/debian"]),
    ("http://localhost/debian", ["http://localhost/debian-archive/debian"]),
    ("file:/mnt/debian", ["file:/mnt/debian-archive/debian"]),
    ("http://deb.house.test/debian-security", []),
    ("mirror+http://house.test/list.txt", []),
    ("http://deb.house.test", []),
])
def test_archives_are_derived_from_the_mirror_alone(mirror, archives):
    assert archives_of([mirror]) == archives


def test_a_mirror_that_is_an_archive_is_not_asked_twice():
    mirrors = ["http://deb.house.test/debian", "http://archive.house.test/debian"]
    assert archives_of(mirrors) == ["http://deb.house.test/debian-archive/debian",
                                    "http://archive.house.test/debian-archive/debian"]


@pytest.fixture
def key(tmp_path, monkeypatch):
    """A key, its keyring in the place of Debian's."""
    made = repository.Key(tmp_path / "archive-keyring.gpg")
    monkeypatch.setattr(debian, "KEYRINGS", (made.keyring,))
    monkeypatch.setattr(debian, "REMOVED_KEYRINGS", ())
    # a machine may have its own proxies, or may have switched the check of dates off
    monkeypatch.setattr(debian, "_network_settings", lambda: [])
    yield made
    made.close()


@pytest.fixture
def web(tmp_path, monkeypatch):
    """A folder served on loopback: (folder, address, paths asked for). Any host leads to it."""
    folder = tmp_path / "web"
    (folder / "debian" / "dists").mkdir(parents=True)
    with repository.served(folder) as (address, asked):
        for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield folder, address, asked


@needs_programs
def test_a_retired_release_comes_from_the_folder_beside_although_its_date_has_passed(
        key, web, tmp_path):
    folder, address, asked = web
    archive = folder / "debian-archive" / "debian"
    repository.add_package(archive, "tiny", {"usr/share/tiny": "small"})
    repository.publish(archive, key, valid_until=PASSED)
    apt = debian.open_apt(str(tmp_path / "apt"), [address + "/debian"])
    assert apt.retired and apt.mirror == address + "/debian-archive/debian"
    assert asked[0].startswith("/debian/dists/bullseye/")
    wanted = apt.closure(("tiny",), ())
    (tmp_path / "debs").mkdir()
    apt.fetch(wanted, str(tmp_path / "debs"), lambda: None)
    assert [package.name for package in wanted] == ["tiny"]
    assert debian.is_whole(str(tmp_path / "debs" / wanted[0].file), wanted[0])


@needs_programs
def test_the_archive_host_of_the_domain_is_found(key, web, tmp_path, monkeypatch):
    folder, address, asked = web
    (folder / "deb.house.test" / "debian").mkdir(parents=True)
    repository.publish(folder / "archive.house.test" / "debian", key)
    monkeypatch.setenv("http_proxy", address)
    apt = debian.open_apt(str(tmp_path / "apt"), ["http://deb.house.test/debian"])
    assert apt.mirror == "http://archive.house.test/debian"
    assert asked[0].startswith("http://deb.house.test/debian/dists/bullseye/")


@needs_programs
def test_a_passed_date_is_forgiven_to_an_archive_and_to_no_mirror(key, web, tmp_path):
    folder, address, _ = web
    repository.publish(folder / "debian", key, valid_until=PASSED)
    with pytest.raises(InputError, match="expired"):
        debian.open_apt(str(tmp_path / "apt"), [address + "/debian"])


@needs_programs
def test_a_wrong_signature_is_refused_in_an_archive_too(key, web, tmp_path):
    folder, address, _ = web
    other = repository.Key(tmp_path / "stranger.gpg")
    try:
        repository.publish(folder / "debian-archive" / "debian", other)
    finally:
        other.close()
    with pytest.raises(InputError, match="debian-archive/debian .*is not signed"):
        debian.open_apt(str(tmp_path / "apt"), [address + "/debian"])


@needs_programs
def test_an_index_altered_after_signing_is_refused(key, web, tmp_path):
    folder, address, _ = web
    archive = folder / "debian-archive" / "debian"
    repository.publish(archive, key)
    signed = archive / "dists" / "bullseye" / "InRelease"
    signed.write_text(signed.read_text().replace("2022", "2021"))
    with pytest.raises(InputError, match="BADSIG|not signed|invalid"):
        debian.open_apt(str(tmp_path / "apt"), [address + "/debian"])


@needs_programs
def test_a_retired_key_is_taken_from_the_keyring_of_removed_keys(key, web, tmp_path, monkeypatch):
    folder, address, _ = web
    retired = repository.Key(tmp_path / "removed.gpg")
    try:
        repository.publish(folder / "debian-archive" / "debian", retired)
    finally:
        retired.close()
    monkeypatch.setattr(debian, "REMOVED_KEYRINGS", (str(tmp_path / "none"), retired.keyring))
    apt = debian.open_apt(str(tmp_path / "apt"), [address + "/debian"])
    assert apt.retired
    with open(os.path.join(apt.folder, "sources.list"), encoding="utf-8") as file:
        assert f"signed-by={key.keyring},{retired.keyring} check-valid-until=no" in file.read()


@needs_programs
def test_the_keyring_of_removed_keys_stays_out_while_the_others_do(key, web, tmp_path, monkeypatch):
    folder, address, _ = web
    repository.publish(folder / "debian", key)
    monkeypatch.setattr(debian, "REMOVED_KEYRINGS", (key.keyring,))
    apt = debian.open_apt(str(tmp_path / "apt"), [address + "/debian"])
    with open(os.path.join(apt.folder, "sources.list"), encoding="utf-8") as file:
        assert file.read() == f"deb [signed-by={key.keyring}] {address}/debian bullseye main\n"


@needs_programs
def test_the_message_names_every_address_that_was_tried(key, web, tmp_path):
    _, address, _ = web
    with pytest.raises(debian.NoPackages) as caught:
        debian.open_apt(str(tmp_path / "apt"), [address + "/debian"])
    text = str(caught.value)
    assert f"{address}/debian (" in text and f"{address}/debian-archive/debian (" in text
    assert "--debs" in text and "dropped" in text


@needs_programs
def test_the_source_package_comes_from_the_archive_too(key, web, tmp_path):
    folder, address, _ = web
    archive = folder / "debian-archive" / "debian"
    repository.add_source(archive, "tiny", "1", {"README": "small"})
    repository.publish(archive, key, valid_until=PASSED)
    parts.fetch_source("tiny", "1", "bullseye", str(tmp_path / "work"), str(tmp_path / "tree"),
                       address + "/debian")
    assert (tmp_path / "tree" / "README").read_text() == "small"
