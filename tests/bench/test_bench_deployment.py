"""What the deployment benchmark refuses."""
import os

import pytest

pytest.importorskip("caffe")

from data.errors import InputError
from tools.bench.bench_deployment import require_size


def test_an_image_that_the_margin_takes_whole_is_refused(repo_root):
    """Caffe would end the process at it."""
    model = os.path.join(repo_root, "models", "gta", "deploy.prototxt")
    with pytest.raises(InputError, match="at least 373 pixels\n.*--size 628 744"):
        require_size(model, (256, 372))
    require_size(model, (373, 628))
    require_size(os.path.join(repo_root, "models", "toy", "deploy.prototxt"), (1, 1))
