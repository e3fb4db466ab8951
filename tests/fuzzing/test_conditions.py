"""Names of conditions, and tiny photographs under those that are read."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from soli.degradations import parse
from tests.fuzzing.strategies import fuzz, only_sentences

NUMBERS = st.sampled_from(
    ["0", "1", "0.5", "0.05", "00.10", "1e3", "-1", "50", "1000", "1001", "999999999", "9" * 30, "0.000000000001", "", "٣"]
)
WORDS = st.sampled_from(["R", "S", "_GF", "_JPEG", "GF", "JPEG", "+", "original", "_", " ", "\0", "\u0660"])
LIKELY = st.builds("R{}S{}_GF{}".format, NUMBERS, NUMBERS, NUMBERS) | st.builds("GF{}+R{}S{}_JPEG{}".format, *[NUMBERS] * 4)
SPECS = st.text(max_size=20) | LIKELY | st.lists(WORDS | NUMBERS, max_size=12).map("".join)


@given(spec=SPECS, mode=st.sampled_from(["matrix", "uint8_exact"]), side=st.none() | st.integers(-2, 2000))
@fuzz(150)
def test_a_condition_is_read_or_refused(spec: str, mode: str, side: int | None) -> None:
    with only_sentences():
        degradation = parse(spec, mode=mode, reference_side=side)
        assert parse(degradation.spec, mode=mode, reference_side=side) == degradation


@given(spec=SPECS, height=st.integers(1, 40), width=st.integers(1, 40), mode=st.sampled_from(["matrix", "uint8_exact"]))
@fuzz(60)
def test_what_is_read_can_be_done_to_small_photographs(spec: str, height: int, width: int, mode: str) -> None:
    pixels = np.full((height, width, 3), 77, np.uint8)
    with only_sentences():
        degradation = parse(spec, mode=mode)
        found = degradation(pixels)
        assert found.dtype == np.uint8 and found.shape[2] == 3 and 1 <= found.shape[0] <= height and 1 <= found.shape[1] <= width
        rendered = degradation.batch(torch.full((1, 3, height, width), 0.3), (8, 8))
        assert rendered.shape == (1, 3, 8, 8) and rendered.isfinite().all()
