"""The benchmark of the normalised features: its two layers compute the same."""
import numpy as np
import pytest

pytest.importorskip("caffe", reason="needs the Caffe runtime: python3 tools/setup_caffe.py")

from tools.bench import bench_normalisation as bench  # noqa: E402


@pytest.mark.parametrize("layer", [bench.RMS_NORM, bench.lrn(5)], ids=["RMSNorm", "LRN"])
def test_both_layers_are_the_normalisation_and_errors_are_seen(layer):
    draw = np.random.RandomState(3)
    features, gradient = draw.rand(2, 2, 5, 3, 2).astype(np.float32)
    net = bench.build(layer, features.shape)
    assert min(bench.passes(net, features, gradient)) > 0
    assert max(bench.errors(net, features, gradient)) < 1e-6
    net.blobs["y"].data[0, 0] += 1
    net.blobs["x"].diff[0, 0] += 1
    assert min(bench.errors(net, features, gradient)) > 0.1


def test_the_table_has_a_row_a_layer():
    table = bench.measure((1, 32, 2, 2), repeats=2)
    assert [row[0] for row in table.rows] == ["RMSNorm", "LRN"]
