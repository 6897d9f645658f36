"""Options of other commands than a run: declared once, checked as declared."""

from __future__ import annotations

import pytest

from rmtbench.errors import UserError
from rmtbench.options.memory import MemoryForm
from rmtbench.options.settings import read_settings


def test_flags_and_settings_make_the_family() -> None:
    form = read_settings(MemoryForm, {"write": "gradient"}, ["first-order=on", "inner-steps=3", "inner_rate=.5"])
    assert form == MemoryForm(write="gradient", first_order=True, inner_steps=3, inner_rate=0.5)
    assert form.changed == {"write": "gradient", "first_order": True, "inner_steps": 3, "inner_rate": 0.5}
    assert read_settings(MemoryForm, {}).changed == {}


@pytest.mark.parametrize(
    ("given", "settings", "where", "what"),
    [
        ({"write": "gradent"}, [], "--write", "must be 'forward' or 'gradient'"),
        ({"write": "gradient"}, ["inner-steps=0"], "--set inner-steps", "must be at least 1"),
        ({"write": "gradient"}, ["inner-rate=0"], "--set inner-rate", "must be greater than 0"),
        ({}, ["inner-steps=3"], "--set inner-steps", "means nothing without --write gradient"),
        ({}, ["memory-last=3"], "--set memory-last", "means nothing without --memory accumulate"),
        ({}, ["iner-steps=3"], "--set", "no setting 'iner-steps=3'"),
        ({}, ["write=gradient"], "--set", "no setting 'write=gradient'"),
        ({}, ["first-order"], "--set", "no setting 'first-order'"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict, settings: list[str], where: str, what: str) -> None:
    with pytest.raises(UserError) as caught:
        read_settings(MemoryForm, given, settings)
    assert caught.value.where == where
    assert what in caught.value.what
