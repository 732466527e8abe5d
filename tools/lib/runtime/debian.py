"""Debian 11's Caffe packages: found and fetched by an apt of our own, signatures checked; unpacked.

The machine's own package state is neither read nor written, and no root is needed. Of the machine's
apt configuration only the settings of the network count.
"""
import collections
import concurrent.futures
import glob
import json
import os
import re
import subprocess

from data.cores import usable_cores
from data.errors import InputError
from data.files import sha256, write_whole
from tools.lib.runtime.mirrors import OTHER_ROUTES, archives_of

#: SHA-256 and file name of every package, for folders that no signature vouches for.
DEBS_LOCK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "debian.lock")
SUITE = "bullseye"
RELEASES = {"bullseye": "Debian 11", "bookworm": "Debian 12"}
#: Packages that are taken with everything they depend on.
ROOTS = ("caffe", "libopenblas0-pthread", "libboost-python1.74.0", "python3.9-minimal",
         "libpython3.9-stdlib")
#: Taken without dependencies: Debian's Python modules clash with pip's.
ALONE = ("python3-caffe",)
KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.gpg",
            "/usr/share/keyrings/debian-archive-keyring.pgp",
            "/usr/share/keyrings/debian-archive-bullseye-stable.gpg")
#: Keys that Debian no longer signs with. One of them is asked only for an index whose key is in no
#: other keyring.
REMOVED_KEYRINGS = ("/usr/share/keyrings/debian-archive-removed-keys.gpg",
                    "/usr/share/keyrings/debian-archive-removed-keys.pgp")
#: List of the packages that unpack() writes into its folder.
UNPACKED = "debian-packages.json"
#: Packages that one apt-get downloads.
BATCH = 12

#: name; version; name of the .deb file; size in bytes; SHA-256 as hexadecimal text.
Package = collections.namedtuple("Package", "name version file size sha256")


class PrivateApt:
    """apt with its whole state in one folder.

    kinds: "deb" for binary packages, "deb-src" for source packages.
    retired: True for an archive of retired releases, whose indexes may be past their date.
    """

    def __init__(self, folder, mirror, suite=SUITE, kinds=("deb",), retired=False):
        self.folder, self.mirror, self.suite = folder, mirror, suite
        self.kinds, self.retired = kinds, retired
        for part in ("lists/partial", "archives/partial", "none.d"):
            os.makedirs(os.path.join(folder, part), exist_ok=True)
        self.config = os.path.join(folder, "apt.conf")
        self._write("status", "")
        self._trust([_keyring()])
        self._write("apt.conf", _configuration(folder))

    def _trust(self, keyrings):
        """Writes the sources list: indexes signed by a key of these keyrings count."""
        options = f"signed-by={','.join(keyrings)}"
        if self.retired:
            options += " check-valid-until=no"
        self._write("sources.list", "".join(f"{kind} [{options}] {self.mirror} {self.suite} main\n"
                                            for kind in self.kinds))

    def _write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    def run(self, arguments, cwd=None):
        """Standard output of `apt-get <arguments>`; raises AptFailed with apt's own message."""
        env = dict(os.environ, APT_CONFIG=self.config, LC_ALL="C", DEBIAN_FRONTEND="noninteractive")
        done = subprocess.run(["apt-get", "-q"] + list(arguments), cwd=cwd or self.folder, env=env,
                              stdin=subprocess.DEVNULL, capture_output=True,
                              text=True)
        if done.returncode:
            raise AptFailed(done.stderr or done.stdout)
        return done.stdout

    def update(self):
        """Fetches the suite's signed index."""
        command = ["update", "-o", "APT::Update::Error-Mode=any"]
        try:
            self.run(command)
        except AptFailed as problem:
            removed = next(filter(os.path.isfile, REMOVED_KEYRINGS), None)
            if removed is None or not problem.key_is_unknown():
                raise
            self._trust([_keyring(), removed])
            self.run(command)

    def closure(self, roots=ROOTS, alone=ALONE, left_out=None):
        """List of Package: `roots` with all they depend on, and `alone`.

        left_out: regular expression that matches the beginning of unwanted names.
        The hashes come from the signed index.
        """
        names = re.findall(r"^Inst (\S+) (?:\[\S+\] )?\((\S+)",
                           self.run(["install", "-s"] + list(roots)), re.M)
        wanted = [f"{name}={version}" for name, version in names
                  if not (left_out and re.match(left_out, name))] + list(alone)
        lines = self.run(["download", "--print-uris"] + wanted).splitlines()
        return [package for package in map(_package, lines) if package]

    def fetch(self, packages, folder, progress):
        """Downloads the packages that `folder` lacks; apt checks each file against the index."""
        missing = []
        for package in packages:
            if is_whole(os.path.join(folder, package.file), package):
                progress()
            else:
                missing.append(package)
        for start in range(0, len(missing), BATCH):
            batch = missing[start:start + BATCH]
            self.run(["download"] + [f"{p.name}={p.version}" for p in batch], cwd=folder)
            for _ in batch:
                progress()


class AptFailed(Exception):
    """apt-get ended with an error; the text is apt's output."""

    def suite_is_gone(self):
        """True when the mirror answers but has no such suite, or no such package in it."""
        text = str(self)
        return ("does not have a Release file" in text or "no longer has a Release file" in text
                or "Unable to locate package" in text or "no installation candidate" in text)

    def key_is_unknown(self):
        """True when the index is signed by a key that is in none of the keyrings."""
        # the words of gpgv, and those of sqv, which apt calls since Debian 13
        return "NO_PUBKEY" in str(self) or "Missing key" in str(self)

    def first_error(self):
        """apt's first line that begins with E:, else all that apt wrote."""
        lines = [line[3:] for line in str(self).splitlines() if line.startswith("E: ")]
        return lines[0] if lines else str(self).strip() or "no message"


class NoPackages(InputError):
    """Neither the mirrors nor their archives have the suite, or they lack packages of it."""


def open_apt(folder, mirrors, suite=SUITE, kinds=("deb",)):
    """PrivateApt on the first address that has the suite, its index fetched.

    The addresses are `mirrors`, then the archives of retired releases that belong to them.
    Raises NoPackages, which says what each address answered.
    """
    gone, failed = [], []
    archives = archives_of(mirrors)
    for address in list(mirrors) + archives:
        apt = PrivateApt(folder, address, suite, kinds, address in archives)
        try:
            apt.update()
            return apt
        except AptFailed as problem:
            # an archive is a guess: one that does not exist says nothing about the network
            answers = gone if problem.suite_is_gone() or apt.retired else failed
            answers.append(f"{address} ({problem.first_error()})")
    if failed:
        raise NoPackages(f"no package index of {RELEASES[suite]} ({suite}) from "
                      f"{'; '.join(failed + gone)}",
                      fix="check the network and try again, or " + OTHER_ROUTES)
    why = ", the last Debian with Caffe" if suite == SUITE else ""
    raise NoPackages(f"the mirror has dropped {RELEASES[suite]} ({suite}){why}, and no archive of "
                  f"retired releases beside it has it: {'; '.join(gone)}", fix=OTHER_ROUTES)


def is_whole(path, package):
    """True when `path` is exactly the package's file."""
    return (os.path.isfile(path) and os.path.getsize(path) == package.size
            and sha256(path) == package.sha256)


def locked_packages(path=DEBS_LOCK):
    """[(sha256, file name)] of the committed package list."""
    with open(path, encoding="ascii") as file:
        return [tuple(line.split()) for line in file if line.strip() and not line.startswith("#")]


def offline_packages(folder):
    """Paths of the locked packages among the .deb files of `folder`, whatever their names.

    Raises InputError naming the missing ones: a file counts only when its SHA-256 is in the lock.
    """
    if not os.path.isdir(folder):
        raise InputError(f"--debs: no folder {folder}")
    there = {sha256(path): path for path in glob.glob(os.path.join(glob.escape(folder), "*.deb"))}
    wanted = locked_packages()
    missing = [name for digest, name in wanted if digest not in there]
    if missing:
        raise InputError(
            f"--debs {folder}: {len(missing)} of {len(wanted)} packages are missing or differ from "
            f"the lock, first {missing[0]}",
            fix="python3 tools/setup_caffe.py --list-debs prints every file with its SHA-256")
    return [there[digest] for digest, _ in wanted]


def unpack(paths, folder, progress):
    """Unpacks .deb files into a new `folder`, several at once, and lists them there."""
    os.makedirs(folder)
    with concurrent.futures.ThreadPoolExecutor(usable_cores()) as pool:
        for _ in pool.map(lambda path: _unpack_one(path, folder), paths):
            progress()
        listed = sorted(pool.map(_name_and_version, paths))
    write_whole(os.path.join(folder, UNPACKED), json.dumps(listed, indent=1) + "\n")


def unpacked_packages(folder):
    """[[name, version]] of the packages that unpack() has put into `folder`."""
    try:
        with open(os.path.join(folder, UNPACKED), encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        raise InputError(f"{folder} has no list of its packages: an older set-up made it",
                         fix="python3 tools/setup_caffe.py --rebuild") from None


def _name_and_version(path):
    return subprocess.run(["dpkg-deb", "--show", path], stdout=subprocess.PIPE, text=True,
                          check=True).stdout.split()


def _unpack_one(path, folder):
    try:
        done = subprocess.run(["dpkg-deb", "-x", path, folder], stderr=subprocess.PIPE,
                              text=True)
    except FileNotFoundError:
        raise InputError("dpkg-deb is missing: it unpacks the Debian packages",
                         fix="install dpkg") from None
    if done.returncode:
        raise InputError(f"cannot unpack {path}: {done.stderr.strip()}",
                         fix="make room on the disk or delete the file, then run this again")


def _package(line):
    """Package from a line of `apt-get download --print-uris`; None for apt's other lines."""
    match = re.match(r"'[^']*' (\S+) (\d+) SHA256:([0-9a-f]{64})$", line)
    if not match:
        return None
    file, size, digest = match.groups()
    name, version = file.split("_")[:2]
    return Package(name, version.replace("%3a", ":"), file, int(size), digest)


def _keyring():
    for path in KEYRINGS:
        if os.path.isfile(path):
            return path
    raise InputError(f"no keyring of the Debian archive among {', '.join(KEYRINGS)}: signatures "
                     "could not be checked",
                     fix="apt install debian-archive-keyring, or " + OTHER_ROUTES)


def _configuration(folder):
    """apt.conf text: all state in `folder`, no hooks, signatures demanded."""
    inside = {
        "Dir::State": "", "Dir::State::status": "status", "Dir::State::lists": "lists",
        "Dir::Cache": "", "Dir::Cache::archives": "archives",
        "Dir::Etc::parts": "none.d", "Dir::Etc::main": "none",
        "Dir::Etc::sourcelist": "sources.list", "Dir::Etc::sourceparts": "none.d",
        "Dir::Etc::trusted": "none", "Dir::Etc::trustedparts": "none.d",
        "Dir::Etc::preferences": "none", "Dir::Etc::preferencesparts": "none.d",
    }
    lines = _network_settings()
    lines += [f'{key} "{os.path.join(folder, name)}";' for key, name in inside.items()]
    lines += [
        'APT::Architecture "amd64";', 'APT::Architectures { "amd64"; };',
        'APT::Install-Recommends "false";', 'APT::Sandbox::User "root";',
        'APT::Get::AllowUnauthenticated "false";', 'Acquire::AllowInsecureRepositories "false";',
        'Acquire::Languages "none";', 'Acquire::Retries "3";'
    ]
    return "\n".join(lines) + "\n"


def _network_settings():
    """The machine's own settings for proxies, certificates and dates, as lines of apt.conf."""
    try:
        dump = subprocess.run(["apt-config", "dump"], stdout=subprocess.PIPE,
                              text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        raise InputError("apt is missing: it fetches the Debian packages of the private runtime",
                         fix=OTHER_ROUTES) from None
    wanted = ("Acquire::http", "Acquire::https", "Acquire::ftp", "Acquire::Check-", "Acquire::Max-")
    return [line for line in dump.splitlines() if line.startswith(wanted)]
