"""Result records of random predictions, for tests of tables."""
import numpy as np

from data.label_spaces import TOY
from tools.lib.confusion import Confusion
from tools.lib.results import result_record


def record(name="A", space=TOY, seed=0, **origin):
    """A result record of one image over the classes of `space`, all but the last."""
    confusion = Confusion(len(space.classes))
    random = np.random.RandomState(seed)
    confusion.add(*random.randint(0, len(space.classes) - 1, (2, 40, 40)).astype(np.uint8))
    return result_record(name, confusion, "toy", "target_val", space, **origin)
