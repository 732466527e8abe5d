"""Gate and loss in real Caffe against float64: both gradients of Eq. 6 and 7 in one pass.

The reference makes two backward passes with two losses; it has no gate and no ratio.
"""
import json
import sys
import types

import numpy as np
import pytest

caffe = pytest.importorskip("caffe", reason="needs the Caffe runtime: python3 tools/setup_caffe.py")

CHANNELS, LAMBDA, EPSILON = 6, 0.3, 1e-3
CONVOLUTION = """
layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}"
  convolution_param {{ num_output: {outputs} kernel_size: {kernel} pad: {pad}
    weight_filler {{ type: "gaussian" std: 0.5 }} bias_filler {{ type: "gaussian" std: 0.1 }} }} }}
"""
# The gate works in place on one side of a Split, or copies: "{gated}" is its first top.
HEAD = """
layer {{ name: "relu" type: "ReLU" bottom: "trunk" top: "trunk" }}
layer {{ name: "gate" type: "Python" bottom: "trunk" top: "{gated}" top: "link"
  python_param {{ module: "layers.domain_gate" layer: "DomainGate" }} }}
{classifier}
layer {{ name: "loss" type: "Python" bottom: "domain_score" bottom: "link"
  top: "L_D" top: "L_Dinv" top: "accuracy_source" top: "accuracy_target"
  loss_weight: {loss_weight} loss_weight: 0 loss_weight: 0 loss_weight: 0
  python_param {{ module: "layers.domain_adversarial_loss" layer: "DomainAdversarialLoss"
      param_str: '{param_str}' }} }}
"""
NORM = """
layer {{ name: "norm" type: "Python" bottom: "{gated}" top: "normalised"
  python_param {{ module: "layers.rms_norm" layer: "RMSNorm" }} }}
"""


def conv(name, bottom, outputs, kernel=1):
    return CONVOLUTION.format(name=name, bottom=bottom, outputs=outputs, kernel=kernel,
                              pad=kernel // 2)


def net_text(data, objective="confusion", source_images=1, loss_weight=1, gated="gated",
             dropout=False, channels=CHANNELS, normalised=False):
    classifier = NORM.format(gated=gated) if normalised else ""
    classifier += conv("domain_fc1", "normalised" if normalised else gated, 8)
    classifier += 'layer { name: "relu1" type: "ReLU" bottom: "domain_fc1" top: "domain_fc1" }\n'
    bottom = "domain_fc1"
    if dropout:
        classifier += ('layer { name: "drop1" type: "Dropout" bottom: "domain_fc1" '
                       'top: "dropped" }\n')
        bottom = "dropped"
    classifier += conv("domain_fc2", bottom, 5)
    classifier += 'layer { name: "relu2" type: "ReLU" bottom: "domain_fc2" top: "domain_fc2" }\n'
    classifier += conv("domain_score", "domain_fc2", 2)
    param_str = json.dumps(
        {"objective": objective, "weight": LAMBDA, "source_images": source_images})
    return 'force_backward: true\n' + data + conv(
        "trunk", "data", channels, kernel=3) + HEAD.format(
            gated=gated, classifier=classifier, loss_weight=loss_weight, param_str=param_str)


def input_layer(shape):
    dims = " ".join(f"dim: {side}" for side in shape)
    return 'layer { name: "data" type: "Input" top: "data" input_param { shape { %s } } }\n' % dims


def build(folder, text, phase=caffe.TRAIN):
    path = folder / "net.prototxt"
    path.write_text(text)
    return caffe.Net(str(path), phase)


def parameters(net):
    return {
        name: [blob.data.astype(np.float64) for blob in blobs]
        for name, blobs in net.params.items()
    }


def aim_logits(net, size):
    """Scales the last layer so that the typical |logit| is `size`, with both signs in a domain."""
    net.params["domain_score"][1].data[...] = 0
    net.forward()
    score = net.blobs["domain_score"].data
    logit = score[:, 1] - score[:, 0]
    net.params["domain_score"][1].data[1] = -np.median(logit)
    net.forward()
    logit = score[:, 1] - score[:, 0]
    for blob in net.params["domain_score"]:
        blob.data[...] *= size / np.median(np.abs(logit))


class Reference:
    """The toy net in float64, written with shifts and einsum."""

    def __init__(self, weights, images, source_images, objective, mask=1.0, normalised=False):
        self.w, self.source, self.objective, self.mask = weights, source_images, objective, mask
        n, _, height, width = images.shape
        padded = np.zeros((n, images.shape[1], height + 2, width + 2))
        padded[:, :, 1:-1, 1:-1] = images
        self.patches = np.stack([[padded[:, :, i:i + height, j:j + width] for j in range(3)]
                                 for i in range(3)])
        kernel, bias = weights["trunk"]
        self.trunk = np.einsum("ijnchw,ocij->nohw", self.patches, kernel) + bias[:, None, None]
        self.features = np.maximum(self.trunk, 0)
        mean_squares = (self.features ** 2).mean(axis=1, keepdims=True)
        self.rms = np.sqrt(EPSILON + mean_squares) if normalised else None
        self.seen = self.features / self.rms if normalised else self.features
        self.fc1 = self.one_by_one("domain_fc1", self.seen)
        self.hidden1 = np.maximum(self.fc1, 0) * mask
        self.fc2 = self.one_by_one("domain_fc2", self.hidden1)
        self.hidden2 = np.maximum(self.fc2, 0)
        score = self.one_by_one("domain_score", self.hidden2)
        self.logit = score[:, 1] - score[:, 0]

    def one_by_one(self, name, x):
        kernel, bias = self.w[name]
        return np.einsum("nchw,oc->nohw", x, kernel[:, :, 0, 0]) + bias[:, None, None]

    def slopes(self):
        """dL_D/ds, dL_Dinv/ds of every unit, with exp of negative numbers only."""
        small = np.exp(-np.abs(self.logit))
        p = np.where(self.logit > 0, 1, small) / (1 + small)
        q = np.where(self.logit > 0, small, 1) / (1 + small)        # 1 - p
        y = (np.arange(len(p)) < self.source)[:, None, None]
        return np.where(y, -q, p) / p.size, np.where(y, p, -q) / p.size

    def values(self):
        y = (np.arange(len(self.logit)) < self.source)[:, None, None]
        signed = np.where(y, self.logit, -self.logit)
        cross = lambda t: (np.maximum(-t, 0) + np.log1p(np.exp(-np.abs(t)))).mean()   # noqa: E731
        return cross(signed), cross(-signed), (signed[:self.source]
                                               > 0).mean(), (signed[self.source:] > 0).mean()

    def gradients(self):
        """{layer: [weights, bias]}.

        The classifier's gradients are those of L_D, the trunk's those of the features' loss.
        """
        loss, inverse_loss = self.slopes()
        found = self.backward(loss)
        target = (np.arange(len(loss)) >= self.source)[:, None, None]
        wanted = {
            "confusion": 0.5 * (loss + inverse_loss), "reversal": -loss,
            "inverse": inverse_loss * target
        }
        found["trunk"] = self.backward(LAMBDA * wanted[self.objective])["trunk"]
        return found

    def backward(self, slope):
        found = {}
        diff = np.stack([-slope, slope], axis=1)
        for name, below, before in (("domain_score", self.hidden2,
                                     self.fc2), ("domain_fc2", self.hidden1, self.fc1),
                                    ("domain_fc1", self.seen, None)):
            found[name] = [
                np.einsum("nohw,nchw->oc", diff, below)[:, :, None, None],
                diff.sum((0, 2, 3))
            ]
            diff = np.einsum("nohw,oc->nchw", diff, self.w[name][0][:, :, 0, 0])
            if before is not None:
                diff = diff * (before > 0)
            if name == "domain_fc2":
                diff = diff * self.mask
        if self.rms is not None:    # quotient rule: d(R / rms) with d rms = mean(R dR) / rms
            along = (diff * self.features).mean(axis=1, keepdims=True)
            diff = diff / self.rms - self.features * along / self.rms ** 3
        diff = diff * (self.trunk > 0)
        found["trunk"] = [np.einsum("nohw,ijnchw->ocij", diff, self.patches), diff.sum((0, 2, 3))]
        return found


def reference_of(net, source_images, objective, mask=1.0, normalised=False):
    images = net.blobs["data"].data.astype(float)
    return Reference(parameters(net), images, source_images, objective, mask, normalised)


def assert_same(found, expected, factor=1.0, bound=1e-5):
    """Compares each layer's gradient, weights and bias together; the bias alone may cancel out."""
    for name, arrays in expected.items():
        a = np.concatenate([array.ravel() for array in found[name]])
        b = factor * np.concatenate([array.ravel() for array in arrays])
        assert np.isfinite(a).all() and np.linalg.norm(b) > 0
        assert np.linalg.norm(a - b) <= bound * np.linalg.norm(b), name


def diffs(net):
    return {name: [blob.diff.copy() for blob in blobs] for name, blobs in net.params.items()}


def toy(folder, shape, seed=1, logits=2.0, **options):
    """The toy net with random data in it, after one forward and one backward pass."""
    caffe.set_random_seed(seed)
    net = build(folder, net_text(input_layer(shape), **options))
    net.blobs["data"].data[...] = np.random.RandomState(seed).randn(*shape)
    aim_logits(net, logits)
    net.forward()
    net.backward()
    return net


@pytest.mark.parametrize("objective", ["confusion", "reversal", "inverse"])
@pytest.mark.parametrize("logits", [1e-3, 2.0, 40.0, 800.0])
@pytest.mark.parametrize("source, target, height, width",
                         [(1, 1, 5, 7), (1, 3, 1, 9), (2, 1, 8, 3)])
def test_both_gradients_in_one_pass(tmp_path, objective, logits, source, target, height, width):
    net = toy(tmp_path, (source + target, 3, height, width), logits=logits, objective=objective,
              source_images=source)
    reference = reference_of(net, source, objective)
    assert np.median(abs(reference.logit)) == pytest.approx(logits, rel=0.01)
    assert_same(diffs(net), reference.gradients())
    found = [
        float(net.blobs[top].data[0])
        for top in ("L_D", "L_Dinv", "accuracy_source", "accuracy_target")
    ]
    assert found == pytest.approx(reference.values(), rel=1e-5)


@pytest.mark.parametrize("objective", ["confusion", "reversal", "inverse"])
@pytest.mark.parametrize("channels", [64, 256, 4096])
def test_normalised_features_leave_both_gradients_exact(tmp_path, objective, channels):
    net = toy(tmp_path, (3, 3, 5, 7), objective=objective, source_images=2, channels=channels,
              normalised=True)
    reference = reference_of(net, 2, objective, normalised=True)
    assert_same(diffs(net), reference.gradients())
    found = [float(net.blobs[top].data[0]) for top in ("L_D", "L_Dinv")]
    assert found == pytest.approx(reference.values()[:2], rel=1e-5)


def test_dropout_shares_its_mask_between_both_gradients(tmp_path):
    net = toy(tmp_path, (2, 3, 9, 5), dropout=True)
    mask = 2.0 * (net.blobs["dropped"].data != 0)      # where relu1 gave 0 the mask plays no part
    assert 0.1 < (mask > 0).mean() < 0.9
    assert_same(diffs(net), reference_of(net, 1, "confusion", mask).gradients())


def test_a_gate_in_place_gives_the_same_numbers(tmp_path):
    apart, in_place = (toy(tmp_path, (3, 3, 5, 7), gated=top) for top in ("gated", "trunk"))
    assert "gated" not in in_place.blobs
    for name, arrays in diffs(apart).items():
        for a, b in zip(arrays, diffs(in_place)[name]):
            assert np.array_equal(a, b)


def test_loss_weight_scales_both_gradients(tmp_path):
    net = toy(tmp_path, (2, 3, 5, 7), loss_weight=0.25)
    assert_same(diffs(net), reference_of(net, 1, "confusion").gradients(), 0.25)


class TwoBatches(caffe.Layer):
    """Serves batch 0, 1, 0, 1, ..."""
    batches = np.random.RandomState(3).randn(2, 3, 3, 5, 7)

    def setup(self, bottom, top):
        self.served = 0

    def reshape(self, bottom, top):
        top[0].reshape(*self.batches.shape[1:])

    def forward(self, bottom, top):
        top[0].data[...] = self.batches[self.served % 2]
        self.served += 1

    def backward(self, top, propagate_down, bottom):
        pass


def test_iter_size_averages_over_its_passes(tmp_path, monkeypatch):
    module = types.ModuleType("toy_two_batches")
    module.TwoBatches = TwoBatches
    monkeypatch.setitem(sys.modules, module.__name__, module)
    data = ('layer { name: "data" type: "Python" top: "data" '
            'python_param { module: "toy_two_batches" layer: "TwoBatches" } }\n')
    (tmp_path / "net.prototxt").write_text(net_text(data, source_images=2))
    (tmp_path / "solver.prototxt").write_text(
        'net: "%s"\nbase_lr: 0.5\nlr_policy: "fixed"\nmomentum: 0\nweight_decay: 0\niter_size: '
        '2\nmax_iter: 1\n'
        'snapshot_after_train: false\nrandom_seed: 5\n' % (tmp_path / "net.prototxt"))
    solver = caffe.get_solver(str(tmp_path / "solver.prototxt"))
    before = parameters(solver.net)
    passes = [
        Reference(before, batch, 2, "confusion").gradients()
        for batch in TwoBatches.batches.astype(np.float32)
    ]
    solver.step(1)
    after = parameters(solver.net)
    # float32 parameters keep 24 bits of the step's end, not of the step.
    for name, arrays in before.items():
        for index, old in enumerate(arrays):
            mean = 0.5 * (passes[0][name][index] + passes[1][name][index])
            assert after[name][index] == pytest.approx(old - 0.5 * mean, rel=1e-6, abs=1e-7), name
            assert np.abs(mean).max() > 1e-3
