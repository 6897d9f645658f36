"""Figures as people read them."""

import pytest

from rmtbench.report import numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.00"),
        (0.000012345, "0.000012"),
        (0.0005, "0.000500"),
        (0.05, "0.0500"),
        (1, "1.00"),
        (9.996, "10.0"),
        (12, "12.0"),
        (99.96, "100"),
        (123.4, "123"),
        (999.6, "1,000"),
        (12345, "12,300"),
    ],
)
def test_three_digits_and_no_exponent(value, text):
    assert numbers.three_digits(value) == text


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((None,), "–"),
        ((0.0,), "0 s"),
        ((94.3,), "94.3 s"),
        ((1234.5,), "1,230 s"),
        ((1.0,), "1.00 s"),
        ((0.9996,), "1.00 s"),
        ((0.9994,), "999 ms"),
        ((0.000853,), "853 µs"),
        ((0.0009996,), "1.00 ms"),
        ((2e-8,), "0.0200 µs"),
        ((0.0123, 1.5), "12.3/1,500 ms"),
        ((0.0, 0.25), "0/250 ms"),
        ((0.0, 0.0), "0 s"),
        ((1.0, None), "–"),
    ],
)
def test_times_have_three_digits_and_one_unit(values, text):
    assert numbers.seconds(*values) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0, "0 B"), (512, "512 B"), (1536, "1.50 KiB"), (2**20 - 1, "1.00 MiB"), (2.75 * 2**30, "2.75 GiB")],
)
def test_bytes_have_binary_units(value, text):
    assert numbers.size(value) == text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((0.5123,), "0.512"),
        ((0.5123, 0.0312), "0.512 ±.031"),
        ((0.5123, 0.0), "0.512"),
        ((1.0, None, "†*"), "1.000†*"),
        ((0.5, 0.1, "†"), "0.500† ±.100"),
    ],
)
def test_scores_have_three_decimals_and_possible_error(arguments, text):
    assert numbers.score(*arguments) == text


@pytest.mark.parametrize(
    ("above", "below", "text"),
    [(9.25, 0.853, "10.8x"), (1, 1, "1.00x"), (None, 1, "–"), (1, None, "–"), (1, 0, "–"), (0, 1, "0.00x")],
)
def test_a_quotient_without_one_of_its_parts_is_missing(above, below, text):
    assert numbers.times(above, below) == text


@pytest.mark.parametrize(("value", "text"), [(None, "–"), (0, "0"), (21_343.6, "21,344")])
def test_counts_are_whole_and_have_thousands_set_apart(value, text):
    assert numbers.whole(value) == text
