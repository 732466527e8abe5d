"""The experiments: data, sizes, losses and schedules, one module a family.

fields.py says what every field means.  toy.py, camvid.py, gta.py, synthia.py, seasons.py,
cityscapes.py and bdds.py hold the experiments.  A module that is put beside them, with a tuple
EXPERIMENTS, is found by itself.  models/build.py makes the nets from them, solvers/build.py the
solvers, and tools/run_experiment.py runs their stages in order.
"""
import importlib
import pkgutil

from data.errors import InputError
from models.experiments.fields import NET_OF_STAGE, STAGES

__all__ = ["EXPERIMENTS", "FILES", "NET_OF_STAGE", "STAGES"]


def find_experiments():
    """({name: Experiment}, {name: its file, relative to the repository}) of this folder's modules.

    Raises InputError when two experiments have one name.
    """
    experiments, files = {}, {}
    for module in pkgutil.iter_modules(__path__):
        path = f"models/experiments/{module.name}.py"
        found = importlib.import_module(f"{__name__}.{module.name}")
        for experiment in getattr(found, "EXPERIMENTS", ()):
            name = experiment.name
            if name in experiments:
                raise InputError(f"two experiments have the name {name}: in {files[name]} and in "
                                 f"{path}", "give one of them another name")
            experiments[name], files[name] = experiment, path
    return experiments, files


EXPERIMENTS, FILES = find_experiments()
