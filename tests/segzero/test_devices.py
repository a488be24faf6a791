import threading

import pytest
import torch

from segzero.devices import limit_omp_threads, resolve_device, translate_oom
from segzero.errors import CheckpointError, DeviceOutOfMemory


def test_auto_takes_the_gpu_if_there_is_one():
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["abacus", "cuda:99", ""])
def test_a_device_that_is_not_there_is_named(name):
    with pytest.raises(CheckpointError, match=f"can't use device '{name}'"):
        resolve_device(name)


def test_an_allocation_beyond_the_machine_is_out_of_memory():
    with pytest.raises(DeviceOutOfMemory, match="out of memory"), translate_oom():
        torch.empty(2**50)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), MemoryError()])
def test_the_errors_of_devices_are_out_of_memory(error):
    with pytest.raises(DeviceOutOfMemory), translate_oom():
        raise error


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="shapes"), translate_oom():
        raise RuntimeError("shapes don't match")


def test_limit_omp_threads_leaves_half_of_them_to_others():
    before, elsewhere = torch.get_num_threads(), []
    with limit_omp_threads():
        assert torch.get_num_threads() == max(1, before // 2)
        other = threading.Thread(target=lambda: elsewhere.append(torch.get_num_threads()))
        other.start()
        other.join()
    assert torch.get_num_threads() == before
    assert elsewhere == [before]


def test_after_an_error_all_cores_are_there_again():
    before = torch.get_num_threads()
    with pytest.raises(KeyError), limit_omp_threads():
        raise KeyError
    assert torch.get_num_threads() == before
