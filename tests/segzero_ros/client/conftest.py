from pathlib import Path

import pytest


@pytest.fixture
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that are started and killed are missed after seconds."""
    file = Path(__file__).parent / "short_lease.xml"
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", str(file))
