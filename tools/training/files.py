"""Files that are there whole or not at all."""
import os


def replace_file(path, content):
    """Writes bytes beside `path`, to the disk, and puts them in its place in one step."""
    aside = path + ".partial"
    with open(aside, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)
    sync_folder(os.path.dirname(path))


def sync_file(path):
    """Waits until the file's bytes are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder):
    """Waits until the folder's names are on the disk."""
    sync_file(folder or ".")
