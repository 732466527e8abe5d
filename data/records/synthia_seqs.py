"""SYNTHIA-SEQS (Ros et al. 2016): videos of drawn towns in several seasons, 13 classes, 1280 x 760.

SYNTHIA-SEQS-NN-SEASON/{RGB,GT/LABELS}/CAMERA/VIEW/000000.png, labels as in SYNTHIA-RAND-CITYSCAPES.
Options: season (spring, summer, fall, winter), view (Omni_F, the dash-cam's; Omni_B, Omni_L,
Omni_R), camera (Stereo_Left, Stereo_Right).

The data set has no splits of its own.  Neighbouring frames of a video are nearly the same, so
"train" is the first four fifths of each sequence, "test" the last fifth, and "all" both.
"""
import os

from data.dataset import DatasetSpec, Frame
from data.errors import InputError
from data.folders import files_of
from data.label_spaces import complete

_CHOICES = {
    "season": ("spring", "summer", "fall", "winter"),
    "view": ("Omni_F", "Omni_B", "Omni_L", "Omni_R"),
    "camera": ("Stereo_Left", "Stereo_Right"),
}

# In the order of the paper's Table 2. Id 12 is lane marking here and motorcycle in RAND.
_TABLE = complete(
    {1: 0, 2: 1, 3: 2, 4: 3, 5: 4, 6: 5, 7: 6, 8: 7, 9: 8, 10: 9, 11: 10, 12: 11, 15: 12},
    range(16))


def list_frames(folder, split, options):
    """The frames of a split of all sequences of the season, each with its label's path."""
    for option, choices in _CHOICES.items():
        if options[option] not in choices:
            raise InputError(f"synthia_seqs: {option} is {options[option]!r}; expected one of "
                             f"{', '.join(choices)}")
    if split not in ("train", "test", "all"):
        raise InputError(f"synthia_seqs has no split {split!r}; it has train, test, all")
    ending = "-" + options["season"].upper()
    sequences = sorted(name for name in _folders(folder)
                       if name.startswith("SYNTHIA-SEQS-") and name.endswith(ending))
    if not sequences:
        raise InputError(f"{folder}: no folder SYNTHIA-SEQS-NN{ending} in it")
    frames = []
    for sequence in sequences:
        view = os.path.join(options["camera"], options["view"])
        images = os.path.join(folder, sequence, "RGB", view)
        labels = os.path.join(folder, sequence, "GT", "LABELS", view)
        frames += [Frame(f"{sequence}/{name[:-4]}", os.path.join(images, name),
                         os.path.join(labels, name))
                   for name in _part(files_of(images, (".png",)), split)]
    return frames


def other_splits(folder, options):
    """Split "all" of every season: all seasons share one folder and so one skip.txt."""
    return [("all", dict(options, season=season)) for season in _CHOICES["season"]]


def _part(names, split):
    """The names of a sequence that belong to the split."""
    cut = len(names) * 4 // 5
    return {"train": names[:cut], "test": names[cut:], "all": names}[split]


def _folders(folder):
    try:
        return os.listdir(folder)
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed ({error.strerror})") from None


RECORDS = (
    DatasetSpec(
        name="synthia_seqs", folder="synthia_seqs", splits=("train", "test", "all"),
        whole=("all",), tables={"synthia_seqs": _TABLE},
        mean=(72.39, 82.91, 73.16),     # of Cityscapes; both domains of Table 2 are as far from it
        options={"season": "summer", "view": "Omni_F", "camera": "Stereo_Left"},
        list_frames=list_frames, other_splits=other_splits),)
