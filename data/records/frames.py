"""Any folder of pictures without labels, as a target or to predict on: PNG and JPEG, subfolders
included, by name."""
import os

from data.errors import InputError
from data.label_spaces import SPACES
from data.listing import files_of
from data.lists import refuse_repeats
from data.record import Frame, Record


def list_frames(folder, split, options):
    """All pictures below the option `path` (relative to the data root, or absolute); the split is
    "all"."""
    if split != "all":
        raise InputError('frames has the split "all" alone, found %r' % split)
    frames = [
        Frame(os.path.splitext(name)[0], os.path.join(folder, name))
        for name in files_of(folder, below=True)
    ]
    refuse_repeats(((frame.name, frame.image) for frame in frames), "rename or remove one of them")
    return frames


RECORDS = (
    Record(name="frames", folder="frames", splits=("all",), options={"path": "frames"},
           # no labels; the space is only for the colours of predictions
           tables={name: {} for name in SPACES},
           mean=(103.53, 116.28, 123.675),  # ImageNet's, which the initial weights expect
           list_frames=list_frames),)
