"""The finished runtime as one file, and the set-up from that file without a network.

The file is a tar with two members:

runtime.tar.gz   caffe/, the private runtime, and mpi/, the private MPI for its Python
manifest.json    hash and size of the first; the packages with versions and licences; what the
                 commands must agree with: kind of machine, hash of the locked packages

Equal runtimes and commits give equal files. A file is input that nobody has checked: names, links
and sizes are compared with what write_pack() writes before anything is put in place.
"""
import email
import glob
import gzip
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import tarfile
import zipfile
import zlib

from data.errors import InputError
from data.files import replace_folder, sha256, write_aside
from tools.lib.runtime import debian, machine, mpi, private_runtime, setup
from tools.lib.runtime.enter import SETUP

PAYLOAD, MANIFEST = "runtime.tar.gz", "manifest.json"
#: Folders of the payload.
TOPS = ("caffe", "mpi")
FORMAT, MACHINE = 1, "x86_64"
PYTHON = private_runtime.PYTHON.replace("python", "")
#: Bytes of the largest manifest that is read.
MANIFEST_LIMIT = 4 << 20
#: Bytes of the largest runtime that is unpacked.
LARGEST = 4 << 30
#: Type of each field of a manifest.
FIELDS = {"format": int, "machine": str, "commit": str, "fingerprint": str, "sha256": str,
          "bytes": int, "files": int, "unpacked_bytes": int, "packages": list}
BLOCK = 1 << 20
PACK_ANEW = f"pack the runtime anew: {SETUP} --pack FILE"


def fingerprint():
    """Hash of the locked packages of the runtime and of MPI, as hexadecimal text."""
    return hashlib.sha256((setup.fingerprint() + sha256(mpi.LOCK)).encode()).hexdigest()


def write_pack(path, report=print):
    """Writes the finished private runtime and MPI as the file `path`; returns the manifest.

    report: called with each line of progress.
    Raises InputError without a finished private runtime of this version of the set-up, and for one
    whose set-up kept no list of packages.
    """
    folder = private_runtime.prefix_folder()
    if not setup.is_current(folder):
        raise InputError(f"no finished private runtime in {folder}: no other can be packed",
                         fix=f"{SETUP} makes it; a source build is packed by "
                             "tools/build/build_caffe.py --archive")
    packages = packages_of(folder, mpi.FOLDER)
    members = _members(folder, "caffe") + _members(mpi.FOLDER, "mpi")
    report(f"Packing {len(members)} files of {len(packages)} packages")
    counter = setup.Counter("file", len(members))
    with write_aside(path) as aside, open(aside, "wb") as file:
        file.write(bytes(tarfile.BLOCKSIZE))    # the header, when the size is known
        digest = hashlib.sha256()
        # without the time and the name that gzip would write
        with gzip.GzipFile("", "wb", 6, _Hashed(file, digest), mtime=0) as packed, \
                tarfile.open(fileobj=packed, mode="w|", format=tarfile.GNU_FORMAT) as archive:
            for member, source in members:
                _add(archive, member, source)
                counter.step()
        size = file.tell() - tarfile.BLOCKSIZE
        manifest = {"format": FORMAT, "machine": MACHINE,
                    "commit": (machine.git_state() or {"commit": "unknown"})["commit"],
                    "fingerprint": fingerprint(), "sha256": digest.hexdigest(), "bytes": size,
                    "files": len(members),
                    "unpacked_bytes": sum(member.size for member, _ in members),
                    "packages": packages}
        text = (json.dumps(manifest, indent=1) + "\n").encode()
        file.write(_padding(size) + _header(MANIFEST, len(text)) + text + _padding(len(text))
                   + bytes(2 * tarfile.BLOCKSIZE))
        file.seek(0)
        file.write(_header(PAYLOAD, size))
        file.flush()
        os.fsync(file.fileno())
    return manifest


def unpack(path, digest=None, report=print):
    """Sets up the private runtime and MPI from the file `path`; returns the runtime's folder.

    digest: SHA-256 that the file must have, as hexadecimal text; None compares nothing.
    Raises InputError for a file that is cut, altered, for another kind of machine or for other
    versions of the packages, or that would write outside its folder. Nothing is replaced then.
    """
    if not os.path.isfile(path):
        raise InputError(f"{path}: no such file", fix=f"{SETUP} --pack FILE makes one")
    folder = private_runtime.prefix_folder()
    report(f"[1/3] Comparing {path} with its hash")
    if digest is not None and sha256(path) != digest.lower():
        raise InputError(f"{path}: its SHA-256 is not {digest}",
                         fix="get the file again, or ask its maker for the right hash")
    with open(path, "rb") as file:
        manifest = read_manifest(path, file)
        setup.check_machine(os.path.dirname(folder), manifest["unpacked_bytes"])
        _require_hash(path, file, manifest)
        work = folder + "-partial"
        with setup.one_at_a_time(work):
            shutil.rmtree(work, ignore_errors=True)
            os.makedirs(work)
            try:
                report(f"[2/3] Unpacking {manifest['files']} files, "
                       f"{manifest['unpacked_bytes'] / 1e6:.0f} MB")
                tree = os.path.join(work, "unpacked")
                _extract(path, file, manifest, tree)
                report("[3/3] Checking that Caffe works")
                setup.put_in_place(os.path.join(tree, "caffe"), folder)
                replace_folder(os.path.join(tree, "mpi"), mpi.FOLDER)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return folder


def packages_of(folder, mpi_folder):
    """[{"kind", "name", "version", "licence"}] of what lies in the runtime and the private MPI."""
    found = []
    for name, version in debian.unpacked_packages(folder):
        found.append(("Debian", name, version, _debian_licence(folder, name)))
    for site in (private_runtime.site_packages(folder), mpi_folder + "/python-" + PYTHON):
        for each in importlib.metadata.distributions(path=[site]):
            found.append(("wheel", each.metadata["Name"], each.version,
                          _wheel_licence(each.metadata)))
    for wheel in glob.glob(os.path.join(glob.escape(mpi_folder), "wheels", "mpich-*.whl")):
        metadata = _wheel_metadata(wheel)
        found.append(("wheel", metadata["Name"], metadata["Version"], _wheel_licence(metadata)))
    return [dict(zip(("kind", "name", "version", "licence"), each)) for each in sorted(set(found))]


def read_manifest(path, file):
    """The manifest of a pack open as `file`, compared with this machine and this project.

    Raises InputError for a file that is cut or no pack, or that this project cannot use.
    """
    try:
        with tarfile.open(fileobj=file, mode="r:") as outer:
            payload, member = outer.next(), outer.next()
            if payload is None or member is None or outer.next() is not None:
                raise ValueError("it ends too early or too late")
            if (payload.name, member.name) != (PAYLOAD, MANIFEST) or not (
                    payload.isreg() and member.isreg() and member.size <= MANIFEST_LIMIT):
                raise ValueError(f"it does not hold {PAYLOAD} and {MANIFEST}")
            manifest = json.loads(outer.extractfile(member).read().decode())
        wrong = [name for name, kind in FIELDS.items()
                 if not isinstance(manifest.get(name), kind) or isinstance(manifest[name], bool)]
        wrong += [name for name, most in (("unpacked_bytes", LARGEST), ("bytes", payload.size))
                  if not wrong and manifest[name] > most]
        if wrong or manifest["bytes"] < payload.size:
            raise ValueError(f"{MANIFEST}: {wrong[0] if wrong else 'bytes'} is wrong")
    except (tarfile.TarError, ValueError, AttributeError, RecursionError, OSError) as problem:
        raise InputError(f"{path} is cut, altered or no packed runtime: {problem}",
                         fix=f"get the file again, or {PACK_ANEW}") from None
    if manifest["format"] != FORMAT or manifest["fingerprint"] != fingerprint():
        raise InputError(f"{path} was packed at commit {manifest['commit']}, where the runtime had "
                         "other versions of its packages",
                         fix=f"git checkout that commit, or {PACK_ANEW} at this one")
    if manifest["machine"] != MACHINE:
        raise InputError(f"{path} is for {manifest['machine']}, expected {MACHINE}",
                         fix=f"on a machine of this kind, {PACK_ANEW}")
    return manifest


class _Hashed:
    """A file to write that also feeds a hash."""

    def __init__(self, file, digest):
        self.file, self.digest = file, digest

    def write(self, data):
        self.digest.update(data)
        return self.file.write(data)

    def flush(self):
        self.file.flush()


def _members(top, name):
    """[(TarInfo, path)] of the files and links below the folder `top`, as `name`, sorted.

    Left out: the stamp of the finished set-up, compiled Python, what is not for this Python, and
    programs of wheels, which begin with the path of the Python that ran pip. Links are relative and
    stay inside.
    """
    found = []
    programs = os.path.relpath(os.path.join(private_runtime.site_packages(top), "bin"), top)
    for folder, folders, files in os.walk(top):
        inside = os.path.relpath(folder, top)
        folders[:] = [each for each in folders if each != "__pycache__"
                      and os.path.normpath(os.path.join(inside, each)) != programs
                      and not (name == "mpi" and inside == "." and each.startswith("python-")
                               and each != "python-" + PYTHON)]
        links = [each for each in folders if os.path.islink(os.path.join(folder, each))]
        for each in files + links:
            relative = os.path.normpath(os.path.join(inside, each))
            path = os.path.join(folder, each)
            member = tarfile.TarInfo(f"{name}/{relative}")
            if relative == private_runtime.READY:
                continue
            if os.path.islink(path):
                member.type, member.linkname = tarfile.SYMTYPE, _inner_link(top, path)
                if member.linkname is None:
                    continue
            else:
                member.size = os.path.getsize(path)
                member.mode = 0o755 if os.access(path, os.X_OK) else 0o644
            found.append((member, path))
    return sorted(found, key=lambda pair: pair[0].name)


def _inner_link(top, path):
    """Target of a link, relative to its own folder; None where it leads out of `top`.

    Debian's absolute links are meant from the folder of the runtime.
    """
    target = os.readlink(path)
    if os.path.isabs(target):
        target = os.path.relpath(os.path.join(top, target.lstrip("/")), os.path.dirname(path))
    real = os.path.realpath(os.path.join(os.path.dirname(path), target))
    inside = real.startswith(os.path.realpath(top) + os.sep) and os.path.exists(real)
    return target if inside else None


def _add(archive, member, source):
    if member.issym():
        archive.addfile(member)
        return
    with open(source, "rb") as file:
        archive.addfile(member, file)


def _header(name, size):
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def _padding(size):
    return bytes(-size % tarfile.BLOCKSIZE)


def _require_hash(path, file, manifest):
    """Raises InputError unless the payload's bytes are those of the manifest."""
    file.seek(tarfile.BLOCKSIZE)
    digest, left = hashlib.sha256(), manifest["bytes"]
    while left:
        block = file.read(min(left, BLOCK))
        if not block:
            break
        digest.update(block)
        left -= len(block)
    if digest.hexdigest() != manifest["sha256"]:
        raise InputError(f"{path} is altered: the SHA-256 of {PAYLOAD} is not the one in "
                         f"{MANIFEST}", fix=f"get the file again, or {PACK_ANEW}")


def _extract(path, file, manifest, into):
    """Writes the members of the payload below the new folder `into`; InputError for a wrong one.

    Links are made last, so that no file is written through one.
    """
    file.seek(tarfile.BLOCKSIZE)
    counter = setup.Counter("file", manifest["files"])
    links, seen, room = {}, set(), manifest["unpacked_bytes"]
    try:
        with tarfile.open(fileobj=file, mode="r|gz") as archive:
            for member in archive:
                room -= member.size
                why = _objection(member, seen)
                if not why and (room < 0 or len(seen) >= manifest["files"]):
                    why = f"there is more than {MANIFEST} says"
                if why:
                    raise InputError(f"{path}: {member.name!r}: {why}", fix=PACK_ANEW)
                seen.add(member.name)
                if member.issym():
                    links[member.name] = member.linkname
                else:
                    _write_file(archive, member, os.path.join(into, member.name))
                counter.step()
        if len(seen) != manifest["files"]:
            raise InputError(f"{path} holds {len(seen)} files, {MANIFEST} says "
                             f"{manifest['files']}", fix=PACK_ANEW)
        for name, target in links.items():
            _make_link(name, target, links, into)
        for name in links:
            top = os.path.realpath(os.path.join(into, name.split("/")[0]))
            if not os.path.realpath(os.path.join(into, name)).startswith(top + os.sep):
                raise InputError(f"{path}: {name!r} links to {links[name]!r}, outside the runtime",
                                 fix=PACK_ANEW)
        for folder in TOPS:
            if not os.path.isdir(os.path.join(into, folder)):
                raise InputError(f"{path} holds no {folder}/", fix=PACK_ANEW)
    except (tarfile.TarError, EOFError, zlib.error, FileExistsError, NotADirectoryError,
            IsADirectoryError) as problem:
        raise InputError(f"{path} is damaged: {problem}", fix=PACK_ANEW) from None


def _objection(member, seen):
    """Why a member must not be written, None where it may be."""
    parts = member.name.split("/")
    if parts[0] not in TOPS or len(parts) < 2 or set(parts) & {"", ".", ".."}:
        return "its path leads out of the runtime"
    if member.name in seen:
        return "it comes twice"
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.SYMTYPE) or member.size < 0:
        return "it is neither a file nor a symbolic link"
    return None


def _write_file(archive, member, path):
    """Writes a regular file that is not there yet; of its mode only "executable" counts."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "xb") as target:
        shutil.copyfileobj(archive.extractfile(member), target, BLOCK)
    os.chmod(path, 0o755 if member.mode & 0o111 else 0o644)


def _make_link(name, target, links, into):
    """Makes a link unless a folder above it is a link too: it would lie somewhere else then."""
    parts = name.split("/")
    if any("/".join(parts[:count]) in links for count in range(1, len(parts))):
        raise FileExistsError(f"{name!r} lies below a link")
    path = os.path.join(into, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.symlink(target, path)


def _debian_licence(folder, name):
    """Licences that the copyright file of a Debian package names, such as "BSD-2-clause"."""
    path = os.path.join(folder, "usr/share/doc", name, "copyright")
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return "unknown"
    # the form that programs read, or else the licences that the text refers to
    found = re.findall(r"^License:[ \t]*(\S.*?)\s*$", text, re.M) or re.findall(
        r"/usr/share/common-licenses/([\w.+-]*\w)", text)
    return ", ".join(sorted(set(found))) or f"see usr/share/doc/{name}/copyright"


def _wheel_licence(metadata):
    """The licence in a wheel's metadata: its expression, its classifiers, or its text's begin."""
    classified = [value.split(" :: ")[-1] for value in metadata.get_all("Classifier", ())
                  if value.startswith("License ::")]
    lines = (metadata.get("License") or "").strip().splitlines()
    return (metadata.get("License-Expression") or ", ".join(sorted(classified))
            or (lines[0][:80] if lines else "unknown"))


def _wheel_metadata(path):
    """The metadata of a wheel file, as a message whose fields are read by name."""
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_string(archive.read(name).decode())
