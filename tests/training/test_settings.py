"""Settings refuse values that no training can use, by their full names."""

import pytest

from soli.interfaces import SoliError
from soli.training import settings


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("Vocabulary", "min_count", 0),
        ("Loader", "batch_size", 0),
        ("Loader", "max_tokens", 1),
        ("Optimizer", "lr", -1e-3),
        ("Optimizer", "lr", float("nan")),
        ("Optimizer", "warmup_steps", -1),
        ("Validation", "every_epochs", 0),
        ("Validation", "patience", 0),
        ("Generation", "num_beams", 0),
        ("Logging", "every_steps", 0),
        ("Runtime", "workers", -1),
        ("Runtime", "max_steps", 0),
    ],
)
def test_a_value_below_its_minimum_is_named(section, key, value):
    with pytest.raises(SoliError, match=rf"{section.lower()}\.{key}={value} must be at least"):
        getattr(settings, f"{section}Settings")(**{key: value})


def test_null_stands_for_no_limit():
    assert settings.ValidationSettings(limit=None, patience=None).limit is None
    assert settings.OptimizerSettings(clip_norm=None).clip_norm is None


def test_a_loss_scale_does_not_go_with_a_divided_encoder():
    with pytest.raises(SoliError, match=r"runtime\.shard=true does not go with runtime\.precision=fp16.*bf16"):
        settings.RuntimeSettings(shard=True, precision="fp16")
