"""The values of a training's log that tell how strong its losses were, without a target label.

docs/watching_adaptation.md explains each of them.
"""
import os

import numpy as np

from tools.lib.training.log import LOG, read_log

#: Name in the log: the column's title.
PROBES = {"domain_gradient_ratio": "dom/seg", "domain_target_share": "share on target",
          "domain_accuracy_source": "accuracy, source", "domain_accuracy_target": "target",
          "feature_norm_source": "norm, source", "feature_norm_target": "target",
          "mil_gradient_ratio": "mil/seg", "mil_precision": "presence, precision",
          "mil_recall": "recall"}


def medians(folder):
    """The medians of PROBES over the second half of a run's log; nan for what the log lacks."""
    lines = [entry["values"] for entry in read_log(os.path.join(folder, LOG))
             if entry["kind"] == "train"]
    found = [[line[name] for line in lines[len(lines) // 2:] if name in line] for name in PROBES]
    return np.array([np.median(values) if values else np.nan for values in found])
