"""Any folder of pictures without labels (PNG, JPEG; subfolders included), as a target domain."""
import os

from data.dataset import DatasetSpec, Frame
from data.errors import InputError
from data.folders import files_of
from data.frame_lists import refuse_repeats
from data.label_spaces import SPACES


def list_frames(folder, split, options):
    """All pictures below `folder`, by name; the only split is "all"."""
    if split != "all":
        raise InputError(f'frames has only the split "all", found {split!r}')
    frames = [Frame(os.path.splitext(name)[0], os.path.join(folder, name))
              for name in files_of(folder, below=True)]
    refuse_repeats(((frame.name, frame.image) for frame in frames), "rename or remove one of them")
    return frames


RECORDS = (
    DatasetSpec(
        name="frames", folder="frames", splits=("all",), options={"path": "frames"},
        # there are no labels; a label space only gives the colours of predictions
        tables={name: {} for name in SPACES},
        mean=(103.53, 116.28, 123.675),     # ImageNet's, which the initial weights expect
        list_frames=list_frames),)
