"""What a start imports, in processes of its own."""

import subprocess
import sys

import pytest


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_the_collector_looks_at_the_libraries_no_more() -> None:
    program = """
import gc
from segzero.imports import import_libraries
from segzero.profiles import load_profile
import_libraries(load_profile("demo"))
frozen = gc.get_freeze_count()
import_libraries(load_profile("demo"))
print(gc.isenabled(), frozen > 100_000, len(gc.get_objects()) < 10_000)
print(gc.get_freeze_count() == frozen)
"""
    assert run(program).split() == ["True", "True", "True", "True"]


def test_a_served_reasoner_needs_no_model_library_of_its_own() -> None:
    program = """
import sys
from dataclasses import replace
from segzero.imports import import_libraries
from segzero.profiles import load_profile
profile = replace(load_profile("demo"), server="http://localhost:1/v1", segmenter_adapter="meta")
import_libraries(profile)
print("torch" in sys.modules)
"""
    assert run(program) == "False"
