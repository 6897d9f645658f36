"""The results folder whose report is checked in as ``data/report.md``: one of everything that a report can meet.

After a wanted change: ``python tests/report/golden_runs.py`` writes it anew; read the difference before committing.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from report_runs import EMBEDDER, PROVENANCE, add_run, spec_of

GOLDEN = Path(__file__).parent / "data" / "report.md"


def make_golden_runs(results: Path) -> None:
    """Write the runs."""
    add_run(results, spec_of("closed-book"), score=0.1, seconds=0.05)
    add_run(results, spec_of("full-context"), score=0.6, seconds=9.25)
    cag = {"tokenize": 0.3, "prefill": 11.0}
    add_run(results, spec_of("cag"), score=0.6, seconds=0.853, failed=1, prepare=cag, kept=2_750_000_000)
    index = {"chunk": 0.02, "index": 0.0312}
    add_run(results, spec_of("rag-sparse", top_k=1), score=0.4, seconds=0.4, prepare=index, kept=123_456, shared=True)
    add_run(results, spec_of("rag-sparse", top_k=3), score=None, seconds=0.5, prepare=index, kept=123_456, shared=True)
    dense = spec_of("rag-dense", top_k=3, embedder="minilm")
    embed, counts = index | {"embed": 4.1}, {"chunks": 1_000, "truncated_chunks": 7}
    add_run(results, dense, score=0.5, seconds=0.5, prepare=embed, provenance=EMBEDDER, counts=counts)
    # The same cell twice: the run of one draw gives way to the one of two draws.
    add_run(results, spec_of("closed-book", draws=1), score=0.9)
    # At another size some rows are missing, one is unfinished, and one has scores of its first answers only.
    add_run(results, spec_of("full-context", size="large"), score=0.5, seconds=94.3)
    add_run(results, spec_of("cag", size="large"), score=0.5, seconds=2.33, answered=5, prepare=cag)
    add_run(results, spec_of("rag-sparse", top_k=3, size="large"), score=0.3, scored=6)
    # Another dataset, read in one draw, with a system that is not ours.
    squad = {"dataset": "squad", "data": "official:squad.json:ff66", "draws": 1}
    add_run(results, spec_of("cag", **squad), score=0.75, seconds=0.7, prepare=cag)
    add_run(results, spec_of("their-system", settings=(("depth", "a|b"),), **squad), score=0.5)
    # Random weights on miniature data.
    model = PROVENANCE["model"] | {"id": "random:tiny", "label": "random weights", "weights_sha256": "cc33"}
    random = {"model": "random:tiny", "data": "miniature:world:1", "draws": 1}
    for system, seconds in (("full-context", 0.02), ("cag", 0.01)):
        spec = spec_of(system, **random)
        add_run(results, spec, kind="miniature", seconds=seconds, score=0.01, provenance={"model": model})


if __name__ == "__main__":
    from rmtbench.report.write import write_report

    with tempfile.TemporaryDirectory() as folder:
        make_golden_runs(Path(folder))
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_bytes((write_report(Path(folder)).folder / "report.md").read_bytes())
