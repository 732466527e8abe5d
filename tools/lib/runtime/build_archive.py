"""Unpacks an archive of a build, so that commands can use it."""
import os
import tarfile

from data.errors import InputError
from data.files import folder_aside, sha256
from tools.lib.runtime import source_builds


def use_build(path):
    """Lets this process and its children use the build at `path`, a folder or a .tar.gz.

    An archive is unpacked into .caffe-build, under a name with its digest, once.  Raises InputError
    when it is neither.
    """
    os.environ["CAFFE_BUILD"] = _unpacked(path) if os.path.isfile(path) else path
    source_builds.selected()


def _unpacked(path):
    folder = os.path.join(source_builds.HOME, f"unpacked-{sha256(path)[:12]}")
    if os.path.isdir(folder):
        return folder
    os.makedirs(source_builds.HOME, exist_ok=True)
    try:
        with folder_aside(folder) as aside, tarfile.open(path, "r:gz") as archive:
            _extract(archive, aside)
            source_builds.read_record(aside)
    except (tarfile.TarError, EOFError, OSError, ValueError) as problem:
        raise InputError(f"--build {path} cannot be unpacked: {problem}",
                         f"{source_builds.BUILD} --archive FILE.tar.gz makes one") from None
    return folder


def _extract(archive, folder):
    """Extracts the archive's one folder as `folder`; ValueError for a member that is not inside."""
    members = []
    for member in archive:
        top, _, rest = member.name.partition("/")
        inside = os.path.normpath(rest).split("/")
        if not (member.isreg() or member.isdir()) or ".." in [top, *inside] or rest[:1] == "/":
            raise ValueError(f"{member.name} is not a file of a build")
        member.name = rest or "."
        members.append(member)
    # Python 3.12 warns without a filter; the oldest releases of 3.8 have none
    archive.extraction_filter = getattr(tarfile, "data_filter", None)
    archive.extractall(folder, members)
