"""What a plan looks for before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_models import save_model

from rmtbench.errors import UserError
from rmtbench.runs.needs import find_counter


@pytest.mark.parametrize("damage", [{"num_attention_heads": "two"}, {"num_attention_heads": 0}, {"rope_scaling": 7}])
def test_a_damaged_configuration_is_one_line(tmp_path: Path, damage: dict[str, object]) -> None:
    folder = save_model(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **damage}))
    with pytest.raises(UserError, match="cannot be loaded") as caught:
        find_counter(str(folder), None)
    assert "\n" not in str(caught.value)
