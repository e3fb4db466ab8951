"""soli: captioning of low-resolution photographs (SOLI, arXiv 2512.08873).

`soli.load(run)` gives a trained captioner, `soli.compose([overrides])` a config, `soli.__version__` the version; the parts are in the
subpackages.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from soli.configuration import compose
    from soli.runs import load

__all__ = ["compose", "load"]


PACKAGES = ("datasets", "decoders", "degradations", "encoders", "evaluation", "losses", "negatives", "training")


def __getattr__(name: str) -> Any:
    """`load`, `compose` and the subpackages are imported at first use, so that `import soli` stays light."""
    if name == "load":
        from soli.runs import load

        return load
    if name == "compose":
        from soli.configuration import compose

        return compose
    if name == "__version__":
        from soli.version import __version__

        return __version__
    if name in PACKAGES:
        return importlib.import_module(f"soli.{name}")
    raise AttributeError(f"module 'soli' has no attribute '{name}'")
