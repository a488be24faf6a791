import pytest
import torch

from segzero.devices import memory_errors, resolve_device
from segzero.errors import CheckpointError, DeviceOutOfMemory


def test_auto_takes_the_gpu_if_there_is_one():
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["abacus", "cuda:99", ""])
def test_a_device_that_is_not_there_is_named(name):
    with pytest.raises(CheckpointError, match=f"can't use device '{name}'"):
        resolve_device(name)


def test_an_allocation_beyond_the_machine_is_out_of_memory():
    with pytest.raises(DeviceOutOfMemory, match="out of memory"), memory_errors():
        torch.empty(2**50)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), MemoryError()])
def test_the_errors_of_devices_are_out_of_memory(error):
    with pytest.raises(DeviceOutOfMemory), memory_errors():
        raise error


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="shapes"), memory_errors():
        raise RuntimeError("shapes don't match")
