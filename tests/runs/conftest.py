"""No official files in the environment, and a saved memory of the tiny model.

The memory has learned nothing: what it answers means nothing, how it is used does.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest

from rmtbench.models.local import LocalModel
from rmtbench.rmt.base import BaseIdentity
from rmtbench.rmt.config import RmtConfig
from rmtbench.rmt.storage import save_pretrained, wrap


@pytest.fixture(scope="module", autouse=True)
def without_official_files() -> Iterator[None]:
    """Real rows that the machine has would decide the model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RMTBENCH_DATA", raising=False)
        yield


@pytest.fixture(scope="session")
def saved_memory(tiny_model: LocalModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its folder; the weights trained along, so that what is loaded must not be the weights of others."""
    folder = tmp_path_factory.mktemp("trained") / "untaught"
    config = RmtConfig("decoder", segment_tokens=48, memory_tokens=4, update="gated", trained="all")
    identity = BaseIdentity.of(tiny_model.provenance)
    made = wrap(copy.deepcopy(tiny_model.model), config, identity)
    made.base.get_output_embeddings().weight.data.mul_(-1)
    save_pretrained(made, folder, {"task": "nothing", "mode": "memory"})
    return folder
