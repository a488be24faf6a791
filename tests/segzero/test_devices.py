import logging
import os
import platform
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from segzero.devices import (
    choose_dtype,
    computes_bfloat16,
    limit_omp_threads,
    resolve_device,
    translate_oom,
)
from segzero.errors import CheckpointError, DeviceOutOfMemory


def test_auto_takes_the_gpu_if_there_is_one():
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["abacus", "cuda:99", ""])
def test_a_device_that_is_not_there_is_named(name):
    with pytest.raises(CheckpointError, match=f"can't use device '{name}'"):
        resolve_device(name)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="reads the flags of an x86 processor")
def test_a_processor_computes_bfloat16_from_avx512_on():
    flags = set(Path("/proc/cpuinfo").read_text().partition("flags")[2].partition("\n")[0].split())
    avx512 = {"avx512f", "avx512bw", "avx512vl", "avx512dq"} <= flags
    expected = avx512 or "avx_ne_convert" in flags
    assert computes_bfloat16(torch.device("cpu")) == expected


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="oneDNN's limit is one of x86")
def test_a_processor_without_avx512_computes_in_float32_and_says_so():
    """oneDNN's own limit makes this processor one without AVX-512."""
    code = (
        "import torch\n"
        "from segzero.devices import choose_dtype\n"
        "for wanted in ('bfloat16', 'float16', 'float32'):\n"
        "    print(choose_dtype(wanted, torch.device('cpu'), 'reasoner'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["float32"] * 3
    assert done.stderr.splitlines() == [
        f"the reasoner computes in float32: this processor has no fast kernels for {wanted}"
        for wanted in ("bfloat16", "float16")
    ]


@pytest.mark.parametrize("wanted", ["bfloat16", "float16", "float32"])
def test_a_gpu_computes_in_the_type_that_is_asked_for(wanted, caplog):
    with caplog.at_level(logging.INFO, "segzero"):
        assert choose_dtype(wanted, torch.device("cuda"), "segmenter") == wanted
    assert caplog.messages == [f"the segmenter computes in {wanted} on cuda"]


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
