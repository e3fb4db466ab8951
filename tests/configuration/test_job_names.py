"""The part of a run folder's name that its overrides make."""

from __future__ import annotations

import pytest

from soli.configuration import override_dirname


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ([], ""),
        (["encoder=tiny", "experiment=flickr8k/a", "run_dir=a", "resume=b"], ""),
        (["seed=1", "optimizer.lr=0.01"], "optimizer.lr-0.01_seed-1"),
        (["++seed=1", "seed=2"], "seed-2"),
        (
            ["dataset.root=/data/my photos", "degradation.conditions=[original,R0.1S1]"],
            "dataset.root--data-my-photos_degradation.conditions--original-R0.1S1",
        ),
    ],
)
def test_override_dirname_is_safe_in_a_folder_name(overrides: list[str], name: str) -> None:
    assert override_dirname(overrides) == name


def test_long_names_stay_short_and_distinct() -> None:
    names = {override_dirname([f"dataset.root={'x' * 300}{letter}"]) for letter in "abé"}
    assert len(names) == 3 and all(len(name.encode()) <= 150 for name in names)
