"""Where the yaml files are: beside the package in a checkout, inside it in a wheel."""

from __future__ import annotations

from pathlib import Path

from soli.interfaces import SoliError


def config_folder() -> Path:
    """The folder of train.yaml. Raises SoliError when the installation lacks it."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "configs", package.parent / "configs"):
        if (folder / "train.yaml").is_file():
            return folder
    raise SoliError(f"soli's configs are neither in {package} nor beside it: install soli again.")
