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


def test_a_net_that_cannot_be_computed_in_tiles_is_measured_too(tmp_path):
    path = tmp_path / "deploy.prototxt"
    path.write_text(
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 '
        'dim: 32 dim: 32 } } }\n'
        'layer { name: "score" type: "Convolution" bottom: "data" top: "score" '
        'convolution_param { num_output: 4 kernel_size: 7 stride: 2 } }\n')
    require_size(str(path), (40, 41))
    with pytest.raises(InputError, match='layer "score"'):
        require_size(str(path), (40, 1))
