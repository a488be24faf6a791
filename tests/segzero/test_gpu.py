"""What holds a GPU together, as far as that can be seen without one."""

import threading

import pytest
import torch

from segzero import gpu
from segzero.reasoning.step_graphs import buckets


@pytest.mark.parametrize(
    ("capacity", "sizes"),
    [(512, [512]), (1024, [512, 1024]), (5632, [512, 1024, 2048, 4096, 5632])],
)
def test_attention_reads_in_a_few_buckets_of_length(capacity: int, sizes: list[int]) -> None:
    assert buckets(capacity) == sizes


def test_a_number_on_the_cpu_is_at_hand() -> None:
    assert gpu.to_host(torch.tensor([7]))() == 7


def test_there_is_one_object_for_a_device_in_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    class Streams:
        def __init__(self, device: torch.device) -> None:
            self.lock = threading.RLock()

    monkeypatch.setattr(gpu, "Gpu", Streams)
    monkeypatch.setattr(gpu, "_GPUS", {})
    found: list[object] = []
    threads = [
        threading.Thread(target=lambda: found.append(gpu.of(torch.device("cuda:0"))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1
    assert gpu.of(torch.device("cuda:1")) is not found[0]


def test_no_cache_is_emptied_while_a_graph_is_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    class Streams:
        def __init__(self, device: torch.device) -> None:
            self.lock = threading.RLock()

    monkeypatch.setattr(gpu, "Gpu", Streams)
    monkeypatch.setattr(gpu, "_GPUS", {})
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    emptied = threading.Event()
    monkeypatch.setattr(torch.cuda, "empty_cache", emptied.set)
    with gpu.of(torch.device("cuda:0")).lock:
        other = threading.Thread(target=gpu.empty_cache)
        other.start()
        assert not emptied.wait(0.05)
    other.join()
    assert emptied.is_set()
