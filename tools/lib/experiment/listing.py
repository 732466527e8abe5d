"""The list of the experiments: name, what it is, the data it reads, the hours of its training."""
import importlib
import textwrap

from models.experiments import EXPERIMENTS, FILES, STAGES
from tools.lib.experiment import hours, plan
from tools.lib.experiment.placement import Placement
from tools.lib.experiment.preconditions import needed_data

CPU = Placement((), False, 1)
GPU = Placement(("gpu:0",), True, 1)
WIDTH = 100


def listing():
    """Text with a paragraph an experiment."""
    paragraphs = []
    for name, experiment in EXPERIMENTS.items():
        lines = [about(experiment), "data: " + data(experiment), "hours: " + duration(experiment)]
        paragraphs.append("\n".join([name] + [
            textwrap.fill(line, WIDTH, initial_indent="    ", subsequent_indent="      ")
            for line in lines]))
    return "\n\n".join(paragraphs)


def about(experiment):
    """The first line of the experiment's module, and how its domains are aligned."""
    module = importlib.import_module(FILES[experiment.name][:-len(".py")].replace("/", "."))
    family = (module.__doc__ or "").strip().split("\n")[0]
    loss = experiment.domain_loss
    parts = [f"domain loss {loss.objective}"]
    if loss.normalised:
        parts.append("normalised features")
    if loss.classifier_steps > 1:
        parts.append(f"{loss.classifier_steps} classifier steps")
    return " ".join(filter(None, (family, f"GA: {', '.join(parts)}.", experiment.note)))


def data(experiment):
    """The data sets and splits of all stages; "images": no label is read."""
    parts = [f"{dataset} {split}" + ("" if labelled else " (images)")
             for dataset, split, labelled in needed_data(experiment, STAGES)]
    if experiment.initial_weights:
        parts.append(f"initial weights {experiment.initial_weights}")
    return ", ".join(parts)


def duration(experiment):
    """Hours of training of all stages with one seed, on the CPU and on one GPU where known."""
    found = []
    for place, words in ((CPU, "on this CPU"), (GPU, "on one GPU in TF32")):
        known = hours.whole(experiment, plan.tasks(experiment), place)
        if known is not None:
            found.append(f"{known[0]:.2g} {words}, by {known[1]}")
    return "; ".join(found) or "not known before its first run on this machine"
