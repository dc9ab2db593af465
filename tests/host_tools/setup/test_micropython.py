"""Where MicroPython comes from: the machine's own mirror, and only what was pinned if its lists cannot be used."""

import functools
import http.server
import runpy
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SETUP = runpy.run_path(str(ROOT / "host_tools/setup/micropython.py"))
SetupError = SETUP["SetupError"]


@pytest.fixture
def etc_apt(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def test_mirror_of_a_list_file(etc_apt):
    (etc_apt / "sources.list").write_text(
        "# deb http://old.example/debian a main\ndeb [arch=amd64] http://mirror.example/debian bookworm main contrib\n"
    )
    assert SETUP["debian_mirror"](etc_apt) == "http://mirror.example/debian"


def test_mirror_of_a_sources_file_and_not_that_of_other_software(etc_apt):
    (etc_apt / "sources.list.d/a.sources").write_text("Types: deb\nURIs: https://tools.example/apt\nSuites: x\nComponents: main\n")
    (etc_apt / "sources.list.d/debian.sources").write_text(
        "Types: deb\nURIs: http://security.example/debian-security\nSuites: s\nComponents: main\n\n"
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\n"
    )
    assert SETUP["debian_mirror"](etc_apt) == "http://mirror.example/debian"


def test_without_a_debian_mirror_it_says_what_to_install(etc_apt):
    (etc_apt / "sources.list").write_text("deb http://archive.example/ubuntu noble main\n")
    with pytest.raises(SetupError, match=r"Install MicroPython 1\.25"):
        SETUP["debian_mirror"](etc_apt)


@pytest.fixture
def mirror(tmp_path):
    """A mirror that has the right names and the wrong bytes; its URL and folder."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}", tmp_path
        server.shutdown()


def test_a_pinned_package_with_other_bytes_is_refused(mirror, tmp_path):
    url, folder = mirror
    place, version, _ = SETUP["PACKAGES"]["micropython"]
    (folder / place).mkdir(parents=True)
    (folder / place / f"micropython_{version}_i386.deb").write_bytes(b"not what was pinned")
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(SetupError, match="not the file that was pinned"):
        SETUP["fetch_pinned"](url, "i386", target)
    assert not list(target.iterdir())


def test_a_pinned_package_that_is_gone_is_named(mirror, tmp_path):
    with pytest.raises(SetupError, match=r"micropython_.*_amd64\.deb is not there either"):
        SETUP["fetch_pinned"](mirror[0], "amd64", tmp_path)


def test_the_launchers_run_new_enough_ports_of_both_word_sizes():
    for name, (_, maxsize, *_) in SETUP["PORTS"].items():
        assert SETUP["serves"]([str(ROOT / "build/bin" / name)], maxsize)
        assert not SETUP["serves"]([str(ROOT / "build/bin" / name)], maxsize + 1)
    assert not SETUP["serves"](["/bin/true"], 2**63 - 1)
