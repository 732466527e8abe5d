"""Changes to a source tree as data: each names its place, and a place that is not there exactly
once is an error."""
import collections
import os
import shutil

from data.errors import InputError
from data.files import write_whole

#: name: short and unique.  file: path in the tree.  find: text that occurs there exactly once.
#: put: what takes its place.  why: reason, for the log.  only: variants that need it, or None for
#: all.
Edit = collections.namedtuple("Edit", "name file find put why only")

#: A file of this project that is put into the tree: source and destination paths, why, only as
#: above.
Addition = collections.namedtuple("Addition", "name source file why only")


def chosen(items, variant):
    """The edits or additions that `variant` needs, in order."""
    return [item for item in items if item.only is None or variant in item.only]


def apply_edits(tree, edits):
    """Applies the edits in order; raises InputError, with nothing written, when one does not fit.

    Later edits of a file see the earlier ones.
    """
    texts = {}
    for edit in edits:
        path = os.path.join(tree, edit.file)
        if path not in texts:
            try:
                with open(path, encoding="utf-8") as file:
                    texts[path] = file.read()
            except OSError as problem:
                raise InputError(
                    f"edit '{edit.name}': cannot read {edit.file}: {problem.strerror}",
                    fix="the source package is not the one the edits were written for") from None
        count = texts[path].count(edit.find)
        if count != 1:
            raise InputError(f"edit '{edit.name}' of {edit.file}: expected its place exactly once, "
                             f"found it {count} times",
                             fix="compare tools/build/edit_list.py with the source package: it has "
                                 "changed")
        texts[path] = texts[path].replace(edit.find, edit.put)
    for path, text in texts.items():
        write_whole(path, text)


def add_files(tree, additions):
    """Copies the project's own files to their places; raises InputError where a file is there
    already."""
    for addition in additions:
        path = os.path.join(tree, addition.file)
        if os.path.exists(path):
            raise InputError(f"addition '{addition.name}': {addition.file} is in the source "
                             "package already",
                             fix="compare tools/build/edit_list.py with the source package: it has "
                                 "changed")
        shutil.copyfile(addition.source, path)
