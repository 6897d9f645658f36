"""The command under a verdict makes exactly the runs that lack data, in their own settings."""

import shlex
from dataclasses import replace

import pytest
from report_runs import spec_of

from rmtbench.core import Source
from rmtbench.options.request import all_options
from rmtbench.report.settle import command_for
from rmtbench.runs.plan import plan_runs
from rmtbench.spec import make_request, rare_options

DATA = Source("own", "notes", "dd44" * 16)
OWN = {"dataset": "notes", "size": "all", "data": f"own:notes@{DATA.sha256[:16]}"}


def planned(command):
    """The runs that a command would plan, from its own words."""
    flags = {option.flag: option for option in all_options().values()}
    words = shlex.split(command)
    assert words[:2] == ["rmtbench", "run"]
    given, rare, profile = {}, [], "mini"
    for flag, value in zip(words[2::2], words[3::2], strict=True):
        if flag == "--set":
            rare.append(value)
        elif flag == "--profile":
            profile = value
        else:
            option = flags[flag]
            given[option.field] = tuple(value.split(",")) if option.item_type else value
    request = make_request(profile, {**given, **rare_options(rare)})
    return plan_runs(request, DATA, device="cpu", dtype=given.get("dtype", "float32"))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"max_answer_tokens": 24, "answer_style": "bridge", "seed": 3, "questions": 12},
        {"batch": 8, "dtype": "bfloat16"},
        {"model": "smollm2", "adapter": "reading", "tokenizer": "mini"},
        {"model": "mini", "answer_style": "bridge"},
        {"model": "mini"},
    ],
)
def test_its_runs_are_those_of_the_verdict_over_more_draws(fields):
    settings = {"chunk_tokens": 128, "chunk_overlap": 32, "top_k": 3}
    specs = [spec_of("cag", **OWN | fields), spec_of("rag-sparse", **OWN | settings | fields)]
    specs.append(
        spec_of("rag-dense", embedder="org/other", settings=(("embed_windows", "on"),), **OWN | settings | fields)
    )
    assert planned(command_for(specs, paths=False, draws=9)) == [replace(spec, draws=9) for spec in specs]


def test_there_is_none_where_runs_differ_in_an_option():
    few = spec_of("rag-sparse", **OWN, top_k=3, chunk_tokens=128)
    assert command_for([few, replace(few, top_k=1, chunk_tokens=512)], paths=False, draws=9) == ""
    assert command_for([few, spec_of("cag", **OWN, max_answer_tokens=8)], paths=False, draws=9) == ""


def test_data_of_the_hub_need_the_profile_that_reads_it():
    assert "--profile paper" in command_for([spec_of("cag", data="hub:squad@dd44")], paths=False, draws=9)


def test_a_server_s_runs_name_no_device_of_this_machine():
    served = spec_of("cag", **OWN, model="openai:a", device="server", dtype="unknown", settings=(("concurrency", "4"),))
    command = command_for([served], paths=False, draws=9)
    assert "--concurrency 4" in command
    assert "--d" not in command.replace("--dataset", "").replace("--draws", "")
