"""The grammar of conditions (soli/degradations/condition.py)."""

import re
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soli.degradations import PAPER_CONDITIONS, parse
from soli.degradations.condition import Blur, Jpeg, Resize, read_condition
from soli.interfaces import SoliError

ratios = st.integers(1, 1000).map(lambda thousandths: Decimal(thousandths) / 1000)
sigmas = st.integers(1, 99999).map(lambda tenths: Decimal(tenths) / 10)


@st.composite
def stages(draw):
    """(text, operations) written independently of the reader: blur, then resize, then JPEG."""
    ratio, steps, sigma, quality = draw(ratios), draw(st.integers(1, 99)), draw(sigmas), draw(st.integers(1, 100))
    blur, resize, jpeg = Blur(_fraction(sigma)), Resize(_fraction(ratio), steps), Jpeg(quality)
    return draw(
        st.sampled_from(
            [
                (f"R{_text(ratio)}S{steps}", (resize,)),
                (f"R{_text(ratio)}S{steps}_GF{_text(sigma)}", (blur, resize)),
                (f"R{_text(ratio)}S{steps}_JPEG{quality}", (resize, jpeg)),
                (f"R{_text(ratio)}S{steps}_GF{_text(sigma)}_JPEG{quality}", (blur, resize, jpeg)),
                (f"GF{_text(sigma)}", (blur,)),
                (f"JPEG{quality}", (jpeg,)),
            ]
        )
    )


def _fraction(number):
    return Fraction(str(number))


def _text(number):
    return f"{number.normalize():f}"


@given(st.lists(stages(), min_size=1, max_size=4))
def test_a_condition_reads_into_its_operations_and_back(chosen):
    spec = "+".join(text for text, _ in chosen)
    degradation = parse(spec)
    assert degradation.spec == spec
    assert degradation.operations == tuple(operation for _, operations in chosen for operation in operations)
    assert parse(degradation.spec) == degradation


@given(st.text(alphabet="R.S_GFJPEG+0123456789original ", max_size=24))
def test_any_text_is_a_condition_or_one_clear_error(text):
    try:
        spec, operations = read_condition(text)
    except SoliError as error:
        assert re.search(r"position \d+", str(error)) and "\n" not in str(error)
    else:
        assert read_condition(spec) == (spec, operations)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [("R0.50S01", "R0.5S1"), ("R1.0S1_GF0500", "R1S1_GF500"), ("R00.2S1_JPEG030", "R0.2S1_JPEG30"), ("GF10+JPEG100", "GF10+JPEG100")],
)
def test_numbers_are_spelt_canonically(written, canonical):
    assert parse(written).spec == canonical
    assert parse(written) == parse(canonical)


def test_paper_conditions_are_the_ten_of_the_paper():
    assert len(set(PAPER_CONDITIONS)) == 10 and PAPER_CONDITIONS[0] == "original"
    assert [parse(name).spec for name in PAPER_CONDITIONS] == list(PAPER_CONDITIONS)
    assert parse("original").operations == ()


@pytest.mark.parametrize(
    ("spec", "position"),
    [
        ("", 1),
        ("R0.1", 5),
        ("R0.1X50", 5),
        ("R0.1S", 6),
        ("R0S1", 2),
        ("R1.5S1", 2),
        ("R-1S1", 2),
        ("R0.1S0", 6),
        ("R0.1S50_GF", 11),
        ("R0.1S50_GF0", 11),
        ("GF500_JPEG20", 6),
        ("JPEG0", 5),
        ("JPEG101", 5),
        ("R0.1S1+", 8),
        ("R0.1S1 ", 7),
        ("original+JPEG20", 1),
        ("r0.1s1", 1),
        ("R0.1S1_JPEG30_GF5", 14),
        ("R\u0661S1", 2),
    ],
)
def test_an_error_says_where_and_shows_an_example(spec, position):
    with pytest.raises(SoliError, match=rf"at position {position} expected .*Write for example .*R0\.1S50"):
        parse(spec)


@pytest.mark.parametrize("spec", [None, 5, ["R0.1S1"]])
def test_a_condition_is_a_string(spec):
    with pytest.raises(SoliError, match="a condition is a string"):
        parse(spec)


def test_unknown_mode_and_impossible_reference_side_are_refused():
    with pytest.raises(SoliError, match="unknown degradation mode 'exact'.*'uint8_exact'"):
        parse("R0.1S1", mode="exact")
    for side in (0, -5, 1.5, True, "500"):
        with pytest.raises(SoliError, match="reference_side"):
            parse("R0.1S1", reference_side=side)
