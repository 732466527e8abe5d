"""Files of test.py --json against their JSON schema, docs/test_json.schema.json."""
import copy
import importlib
import json
import os

import caffe
import pytest

from data.errors import InputError
from data.files import ROOT
from data.label_spaces import CITYSCAPES
from tools.bench.official import pinned_package
from tools.lib.scoring import score_command

from made_results import record
from tiny_training import TOY_DEPLOY

SCHEMA = os.path.join(ROOT, "docs", "test_json.schema.json")
LOCK = os.path.join(ROOT, "tools", "bench", "fastjsonschema.lock")


@pytest.fixture(scope="module")
def check():
    """Validates a value by the schema with fastjsonschema; skips where it cannot be fetched."""
    try:
        folder = pinned_package(os.path.join(ROOT, ".fastjsonschema"), LOCK, 60)
    except InputError as problem:
        pytest.skip(str(problem))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        validator = importlib.import_module("fastjsonschema")
        with open(SCHEMA, encoding="utf-8") as file:
            yield validator.compile(json.load(file))


def read(path):
    return json.loads(path.read_text())


def test_what_test_py_writes_fits_the_schema(check, tmp_path):
    model, weights = tmp_path / "deploy.prototxt", tmp_path / "net.caffemodel"
    model.write_text(TOY_DEPLOY)
    caffe.Net(str(model), caffe.TEST).save(str(weights))
    of_net, of_maps, maps = tmp_path / "net.json", tmp_path / "maps.json", tmp_path / "maps"
    chosen = ["--dataset", "toy", "--split", "target_val[:2]"]
    score_command.main(["--model", str(model), "--weights", str(weights), "--json", str(of_net),
                        "--save-predictions", str(maps)] + chosen)
    score_command.main(["--predictions", str(maps), "--json", str(of_maps)] + chosen)
    assert check(read(of_net)) and check(read(of_maps))


def test_means_over_parts_of_the_cityscapes_classes_fit_the_schema(check):
    scores = record(space=CITYSCAPES, predictions="maps")
    assert len(scores["means"]) == 3 and None in scores["iou"]
    check({"results": [scores]})


@pytest.mark.parametrize("change", [
    dict(version=2), dict(iou=[1.5]), dict(images=-1), dict(confusion=[[0.5, 1]]), dict(more=1),
    dict(name=None), dict(device="tpu")])
def test_the_schema_refuses_a_changed_file(check, change):
    scores = {"results": [record(predictions="maps")]}
    check(copy.deepcopy(scores))
    scores["results"][0].update(change)
    with pytest.raises(Exception, match="data.results"):
        check(scores)
