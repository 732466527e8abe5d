"""Opens data sets by name; their records are the modules found in data/records/."""
import functools
import importlib
import os
import pkgutil

from data import records
from data.dataset import DataSet
from data.errors import InputError
from data.label_spaces import label_space

_DEFAULT_ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sets")


def names():
    """The names that open_dataset knows, sorted."""
    return sorted(_all())


def open_dataset(name, root=None, space=None, **options):
    """Opens a data set by name; its folder is read when frames are listed.

    name:  a data set's name; options may follow: "synthia_seqs:season=fall,view=Omni_F".
    root:  the folder that holds the data sets' folders (default: environment variable DATA_ROOT,
           else data/sets).
    space: a label space's name (default: the record's first).
    Raises InputError for an unknown name, space or option, and for an option that is not text.
    """
    name, options = _split_options(name, options)
    if name not in _all():
        raise InputError(f"unknown data set {name!r}; there are {', '.join(names())}")
    record = _all()[name]
    for option in options:
        if option not in record.options:
            raise InputError(f"data set {name} has no option {option!r}; it has "
                             f"{', '.join(record.options) or 'none'}")
        _require_text(name, option, options[option])
    options = dict(record.options, **options)
    # A relative option `path` starts at the data root; join leaves an absolute one as it is.
    folder = os.path.join(root or os.environ.get("DATA_ROOT") or _DEFAULT_ROOT,
                          options.get("path", record.folder))
    if record.open_space is not None:
        own, table, mean = record.open_space(folder, options)
        if space not in (None, own.name):
            raise InputError(f"data set {name} has classes of its own, {own.name}; label space "
                             f"{space!r} cannot be chosen")
        return DataSet(record, folder, own, table, mean, options)
    chosen = space or next(iter(record.tables))
    if chosen not in record.tables:
        raise InputError(f"data set {name} has no map to label space {chosen!r}; it has "
                         f"{', '.join(record.tables)}")
    return DataSet(record, folder, label_space(chosen), record.tables[chosen], options=options)


@functools.lru_cache(maxsize=None)
def _all():
    found = {}
    for module in pkgutil.iter_modules(records.__path__):
        for record in importlib.import_module("data.records." + module.name).RECORDS:
            found[record.name] = record
    return found


def _require_text(name, option, value):
    """Raises InputError unless the value of a data set's option is text that a path can hold."""
    try:
        if isinstance(value, str) and b"\0" not in os.fsencode(value):
            return
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can write
        pass
    raise InputError(
        f"data set {name}: option {option} is {value!r}; expected text that a path can hold",
        f'nets write "options": {{"{option}": "..."}}, commands --dataset {name}:{option}=...')


def _split_options(name, options):
    name, colon, rest = name.partition(":")
    if colon:
        for pair in rest.split(","):
            key, equals, value = pair.partition("=")
            if not equals or key in options:
                raise InputError(f"data set {name + ':' + rest!r}: options are written "
                                 "NAME:OPTION=VALUE,OPTION=VALUE, each once")
            options = dict(options, **{key: value})
    return name, options
