"""Defaults that depend on the data: generated corpora are read by `mini`, text that people wrote by `smollm2`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from rmtbench.errors import UserError
from rmtbench.options.check import checked
from rmtbench.options.request import all_options
from rmtbench.spec import make_request

MINI = ("mini", None, "bridge")
READER = ("smollm2", "reading", "direct")


@pytest.mark.parametrize(
    ("given", "environ", "expected"),
    [
        ({"dataset": "squad"}, {}, MINI),
        ({}, {}, MINI),
        ({"dataset": "handbook"}, {}, READER),
        ({"dataset": "my/folder"}, {}, READER),
        ({"dataset": "squad", "data_dir": "files"}, {}, READER),
        ({"dataset": "triviaqa"}, {"RMTBENCH_DATA": "files"}, READER),
        ({"dataset": "triviaqa"}, {"RMTBENCH_DATA": ""}, MINI),
        ({"dataset": "handbook", "model": "mini"}, {}, MINI),
        ({"dataset": "handbook", "model": "smollm2"}, {}, ("smollm2", None, "direct")),
        ({"dataset": "my/folder", "model": "some/model"}, {}, ("some/model", None, "direct")),
    ],
)
def test_the_model_follows_the_data(
    given: Mapping[str, Any], environ: Mapping[str, str], expected: tuple[str, str | None, str]
) -> None:
    request = make_request("mini", {"systems": ("cag",), **given}, environ)
    assert (request.model, request.adapter, request.answer_style) == expected


def test_the_paper_profile_has_a_model_of_its_own() -> None:
    request = make_request("paper", {"systems": ("cag",), "dataset": "squad", "data_dir": "files"})
    assert (request.model, request.adapter) == ("meta-llama/Llama-3.1-8B-Instruct", None)


def test_an_adapter_alone_goes_on_the_default_model() -> None:
    request = make_request("mini", {"systems": ("cag",), "dataset": "my/folder", "adapter": "mine"})
    assert (request.model, request.adapter) == ("smollm2", "mine")


@pytest.mark.parametrize("field", [field for field, each in all_options().items() if each.plain_type is float])
@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e400"])
def test_no_option_is_a_number_that_no_file_holds(field: str, value: str) -> None:
    with pytest.raises(UserError, match="must be a finite number") as caught:
        checked({"dataset": "handbook", "model": "mini", field: value})
    assert caught.value.where == all_options()[field].flag
