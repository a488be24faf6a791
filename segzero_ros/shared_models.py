"""Models that several nodes of one process use: their weights lie in memory once."""

from collections.abc import Callable

from segzero.pipeline import SegZero
from segzero.profiles import Profile, load_profile
from segzero_ros.questions.turns import Turns


class SharedModels:
    """Loads the models of each profile and device once; for one thread.

    Args:
        load: Loads the models of a (profile, device).

    Attributes:
        turns: Whose question is answered.
    """

    def __init__(self, load: Callable[[str, str], SegZero] = SegZero.load) -> None:
        self.turns = Turns()
        self._load = load
        self._loaded: dict[tuple[Profile, str], SegZero] = {}
        self._users: dict[tuple[Profile, str], set[SegZero]] = {}

    def load(self, profile: str, device: str) -> SegZero:
        """Load models, or share those that are loaded.

        Args:
            profile: A shipped profile's name, or the path of a YAML file.
            device: As for `SegZero.load`.

        Returns:
            A SegZero of the caller's own. The weights are freed when all who share them have closed
            theirs. It has been warmed up.

        Raises:
            CheckpointError: Profile, weights or device are missing or unusable.
            DeviceOutOfMemory: The models don't fit.
        """
        key = (load_profile(profile), device)  # the file may have changed since
        if key not in self._loaded:
            loaded = self._load(profile, device)
            try:
                loaded.warm_up()
            except Exception:
                loaded.close()
                raise
            self._loaded[key], self._users[key] = loaded, set()
        share = _Share(self._loaded[key], key[0], lambda: self._leave(key, share))
        self._users[key].add(share)
        return share

    def _leave(self, key: tuple[Profile, str], share: SegZero) -> None:
        self._users[key].discard(share)
        if not self._users[key]:
            del self._users[key]
            self._loaded.pop(key).close()


class _Share(SegZero):
    """The same models, for another thread and with a life of its own."""

    def __init__(self, loaded: SegZero, profile: Profile, on_close: Callable[[], None]) -> None:
        super().__init__(*loaded._models(), profile.completion_format, profile.name)
        self._on_close = on_close

    def warm_up(self) -> None:
        """Do nothing: the models are warm, and another thread may use them."""

    def close(self) -> None:
        """See `SegZero.close`; the weights stay as long as others share them."""
        if self._reasoner is None:
            return
        self._ahead.shutdown()
        self._reasoner = self._segmenter = None
        self._on_close()
