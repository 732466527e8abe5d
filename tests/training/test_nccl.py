"""Gradients exchanged between GPUs: what NCCL is asked, and when MPI takes its place.

No GPU is needed: nccl_stand_in takes the place of NVIDIA's libraries.
"""
import numpy as np
import pytest

pytest.importorskip("caffe", reason="needs the Caffe runtime")

from nccl_stand_in import ID, Blob, Gpu, Nccl, Net

from layers import gpu_arrays
from tools.lib.training import nccl, parallel


class Communicator:
    """MPI's of two processes; others: what the other one hands over, by this one's rank."""

    size = 2

    def __init__(self, rank=0, reason=None, card="other"):
        self.rank, self._other = rank, (reason, ("machine", card), b"" if rank == 0 else ID)

    def allgather(self, mine):
        self.mine = mine
        return [mine, self._other] if self.rank == 0 else [self._other, mine]


@pytest.fixture
def library(monkeypatch):
    """NCCL between this process and one that has zeros everywhere: means are halves."""
    def halve(arrays):
        for array in arrays:
            array /= 2
    made = Nccl(halve)
    monkeypatch.setattr(nccl, "load", lambda: made)
    return made


@pytest.fixture
def gpu(monkeypatch):
    made = Gpu()
    monkeypatch.setattr(gpu_arrays, "_current", gpu_arrays.GpuArrays(made))
    monkeypatch.setattr(nccl.platform, "node", lambda: "machine")
    return made


@pytest.fixture
def net():
    """Two layers, and a third one that shares the first one's weights."""
    draw = np.random.RandomState(1)
    weights, bias = Blob(draw.normal(size=(4, 3))), Blob(draw.normal(size=4))
    return Net(one=[weights, bias], two=[Blob(draw.normal(size=(2, 5)))], three=[weights])


@pytest.mark.parametrize("rank", [0, 1])
def test_the_first_process_makes_the_id_and_all_meet_under_it(library, gpu, rank):
    communicator = Communicator(rank)
    means, reason = nccl.connect(communicator)
    assert means is not None and reason is None
    assert communicator.mine == (None, ("machine", "0000:0F:00.0"), ID if rank == 0 else b"")
    assert library.place == (rank, 2)
    assert library.calls == ["ncclGetUniqueId"] * (rank == 0) + ["ncclCommInitRank"]


def test_gradients_go_out_together_each_once_and_come_back_as_means(library, gpu, net):
    means, _ = nccl.connect(Communicator())
    before = {name: [blob.values.copy() for blob in blobs] for name, blobs in net.params.items()}
    del library.calls[:]
    gpu.looks = 3
    assert means.average_gradients(net) > 0
    assert library.calls == (["ncclGroupStart"] + 3 * ["ncclAllReduce"] + ["ncclGroupEnd"]
                             + 3 * ["ncclCommGetAsyncError"])
    assert gpu.waited == 1
    for name, blobs in net.params.items():
        for blob, values in zip(blobs, before[name]):
            assert np.array_equal(blob.values, values / 2)


@pytest.mark.parametrize("reason", [None, "no NCCL: libnccl.so.2: cannot open"])
def test_where_one_process_has_no_nccl_none_uses_it(gpu, monkeypatch, reason):
    def load():
        raise RuntimeError("none here")
    monkeypatch.setattr(nccl, "load", load)
    assert nccl.connect(Communicator(reason=reason)) == (None, "none here (process 0)")
    assert nccl.connect(Communicator(rank=1, reason=reason)) == (
        None, f"{reason} (process 0)" if reason else "none here (process 1)")


def test_two_processes_on_one_card_do_without(library, gpu):
    assert nccl.connect(Communicator(card="0000:0F:00.0")) == (
        None, "two processes use the same card")
    assert "ncclCommInitRank" not in library.calls


@pytest.mark.parametrize("function", ["ncclGroupStart", "ncclAllReduce", "ncclGroupEnd",
                                      "ncclCommGetAsyncError"])
def test_a_failure_is_named(library, gpu, net, function):
    means, _ = nccl.connect(Communicator())
    library._failing[function] = 6
    gpu.looks = 1
    where = "the exchange" if function == "ncclCommGetAsyncError" else function
    with pytest.raises(RuntimeError, match=f"{where} has failed: text of 6"):
        means.average_gradients(net)


def test_a_communicator_that_cannot_be_made_is_an_error(library, gpu):
    library._failing["ncclCommInitRank"] = 2
    with pytest.raises(RuntimeError, match="ncclCommInitRank has failed: text of 2"):
        nccl.connect(Communicator())


def test_without_nccl_the_reason_is_the_loaders_own(monkeypatch):
    monkeypatch.setattr(nccl, "LIBRARY", "libno_such_nccl.so.2")
    with pytest.raises(RuntimeError, match="no NCCL: .*libno_such_nccl"):
        nccl.load()


def test_one_process_has_no_gpus_to_connect():
    assert parallel.ALONE.connect_gpus() is None
