"""The import of the libraries that run models: most of the time of a start."""

import gc
import importlib
import sys

from segzero.profiles import Profile


def import_libraries(profile: Profile) -> None:
    """Import what the models of a profile need, before they are loaded.

    The libraries bring a million Python objects that live as long as the process. The garbage
    collector would look at all of them during the import, for a fifth of its time, and now and
    then ever after, for a third of a second in the middle of other work. So it looks at them no
    more.

    Args:
        profile: Names the adapters.
    """
    names = [] if profile.server else ["segzero.reasoning.local"]
    if profile.segmenter_adapter == "transformers":
        names.append("segzero.segmentation.sam2_transformers")
    if all(name in sys.modules for name in names):
        return
    enabled = gc.isenabled()
    gc.disable()
    try:
        for name in names:
            importlib.import_module(name)
        gc.freeze()
    finally:
        if enabled:
            gc.enable()
