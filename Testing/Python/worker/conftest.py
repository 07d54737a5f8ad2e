"""A real worker that tests share, for starting one takes seconds."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from SemiSegCervicalLib.worker.protocol import Hello, Model
from SemiSegCervicalLib.worker.subprocess_transport import local_client
from SemiSegTrainerLib.worker.protocol import LIBRARIES, SERVER_MODULE


@pytest.fixture(scope="session", autouse=True)
def surroundings(tmp_path_factory):
    """One thread in every process, and nobody's own folders."""
    place = tmp_path_factory.mktemp("surroundings")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("SEMISEG_MODELS", str(place / "models"))
        patch.setenv("SEMISEG_CACHE", str(place / "cache"))
        yield place


@pytest.fixture(scope="session")
def shared(tmp_path_factory, trained):
    """The shared worker: its client, its folder of temporary files, its log, the model."""
    place = tmp_path_factory.mktemp("shared")
    (place / "temporary").mkdir()
    with local_client(temporary=place / "temporary", log=place / "worker.log") as client:
        yield SimpleNamespace(
            client=client, temporary=place / "temporary", log=place / "worker.log", pack=trained,
            model=Model(str(trained), device="cpu", backend="torch"),
        )  # fmt: skip
        assert client.state != "off", client.error
    assert list((place / "temporary").iterdir()) == [], "closing leaves nothing"


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """The client of a worker that trains; closing it leaves nothing but the log."""
    place = tmp_path_factory.mktemp("trainer")
    hello = Hello(modules=(SERVER_MODULE,))
    with local_client(libraries=LIBRARIES, hello=hello, temporary=place, log=place / "log" / "worker.log") as client:
        yield client
    assert [p.name for p in place.iterdir()] == ["log"]


@pytest.fixture
def worker(shared):
    """The shared worker; a test must leave it without jobs, with its model, and working."""
    yield shared
    folders = {p.name for p in shared.temporary.rglob("job-*") if p.is_dir()}
    for name in folders:
        number = name.removeprefix("job-")
        assert number in shared.client._jobs, f"the folder of job {number} was left behind"
        shared.client.release(shared.client._jobs[number])
