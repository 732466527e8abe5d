"""A GPU that is not there is an error message, not the end of the process."""
import pytest

pytest.importorskip("caffe")

from data.errors import InputError
from tools.checking.device import use_device


def test_the_cpu_is_always_there():
    use_device(None, "--device cpu")


def test_a_gpu_of_an_impossible_number_is_refused_with_the_flag():
    with pytest.raises(InputError, match="--device gpu:77: Caffe refuses it: ") as refused:
        use_device(77, "--device gpu:77")
    assert "--device cpu" in refused.value.fix
    use_device(None, "--device cpu")
