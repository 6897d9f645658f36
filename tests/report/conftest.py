"""Chromium and the pages that its tests look at. Tests that ask for none of them start no browser."""

import os
import shutil
from pathlib import Path

import pytest
from large_results import large_results
from page_cases import write_page
from report_runs import EMBEDDER, add_run, spec_of


@pytest.fixture(scope="session")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        named = os.environ.get("RMTBENCH_CHROMIUM") or next(
            (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
        )
        if named is None and not Path(started.chromium.executable_path).exists():
            pytest.skip("no Chromium: name one in RMTBENCH_CHROMIUM, or run playwright install chromium")
        flags = ["--no-sandbox", "--disable-gpu"] if os.geteuid() == 0 else ["--disable-gpu"]
        browser = started.chromium.launch(executable_path=named, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def look(chromium):
    """Open a page; whatever it complains of, or asks the network for, is an error at the end."""
    contexts, complaints = [], []

    def opened(path, *, width=1280, height=900, **options):
        context = chromium.new_context(viewport={"width": width, "height": height}, offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: None if request.url.startswith("file:") else complaints.append(request.url))
        page.goto(path.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="session")
def usual(tmp_path_factory):
    """A few systems in eight draws at two sizes, and a section of another model."""
    results = tmp_path_factory.mktemp("usual")
    for size in ("small", "large"):
        for place, (system, top_k) in enumerate(
            (("cag", None), ("full-context", None), ("rag-sparse", 1), ("rag-sparse", 10))
        ):
            add_run(results, spec_of(system, top_k=top_k, size=size, draws=8), score=0.8 - 0.1 * place,
                    seconds=0.2 + place, prepare={"prefill": 40.0 / (place + 1)}, failed=place)  # fmt: skip
    add_run(results, spec_of("rag-dense", top_k=3, embedder="minilm", draws=8), score=0.3, provenance=EMBEDDER)
    add_run(results, spec_of("cag", model="other/model"), provenance={"model": {"id": "other/model", "label": ""}})
    write_page(results)
    return results


@pytest.fixture(scope="session")
def large(tmp_path_factory):
    """Synthetic: 50,000 answers in ten runs."""
    results = tmp_path_factory.mktemp("large")
    large_results(results, runs=10, draws=20, questions=250)
    path = write_page(results)
    print(f"\n50,000 answers: {path.stat().st_size / 1e6:.1f} MB")
    return results
