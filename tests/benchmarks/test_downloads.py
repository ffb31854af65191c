import contextlib
import functools
import hashlib
import http.server
import threading

import pytest

from evalharness.benchmarks.downloads import download, find_local
from evalharness.benchmarks.sources import PublishedFile, SourceUnavailableError
from evalharness.errors import DataError, InputError

CONTENT = b'{"problem": "1+1?", "gold": "2"}\n'
COMMIT = "0123456789" * 4
# A port that nothing listens on: connections are refused at once.
NOBODY = "http://127.0.0.1:9"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@contextlib.contextmanager
def serving(folder):
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.delenv("EVALHARNESS_DATA", raising=False)
    monkeypatch.setenv("EVALHARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def published(tmp_path):
    source = PublishedFile(
        repository="someone/data",
        commit=COMMIT,
        path="sets/toy.jsonl",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
    )
    file = tmp_path / "server" / source.place
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    return source


def test_download_lands_in_the_cache_under_its_sha256(published, tmp_path):
    with serving(tmp_path / "server") as url:
        path = download(published, url)
    assert path == tmp_path / "cache" / "files" / published.sha256
    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == [published.sha256]
    assert find_local(published) == path


def test_changed_download_is_refused_with_both_hashes_and_leaves_nothing(published, tmp_path):
    (tmp_path / "server" / published.place).write_bytes(b"changed")
    with serving(tmp_path / "server") as url, pytest.raises(DataError) as caught:
        download(published, url)
    assert hashlib.sha256(b"changed").hexdigest() in str(caught.value)
    assert published.sha256 in str(caught.value)
    assert f"{url}/{published.place} (7 bytes)" in str(caught.value)
    assert list((tmp_path / "cache" / "files").iterdir()) == []


def test_no_answer_says_in_one_line_what_to_fetch_and_where_to_put_it(published, tmp_path):
    with pytest.raises(SourceUnavailableError) as caught:
        download(published, NOBODY)
    message = str(caught.value)
    assert "\n" not in message
    assert f"{NOBODY}/someone/data/{COMMIT}/sets/toy.jsonl" in message
    assert str(tmp_path / "cache" / "files" / published.sha256) in message
    assert f"sources/someone/data/{COMMIT}/sets/toy.jsonl" in message
    assert list((tmp_path / "cache" / "files").iterdir()) == []


def test_missing_file_on_the_server_counts_as_unavailable(published, tmp_path):
    (tmp_path / "empty").mkdir()
    with (
        serving(tmp_path / "empty") as url,
        pytest.raises(SourceUnavailableError, match="File not found"),
    ):
        download(published, url)


def test_other_addresses_than_http_are_refused(published, tmp_path):
    with pytest.raises(InputError, match="only http"):
        download(published, f"file://{tmp_path}/server")


def test_cache_that_cant_be_written_names_the_variable(published, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EVALHARNESS_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match="set EVALHARNESS_CACHE"):
        download(published, NOBODY)


def test_damaged_cache_file_is_fetched_again(published, tmp_path, caplog):
    published.cached.parent.mkdir(parents=True)
    published.cached.write_bytes(b"torn")
    assert find_local(published) is None
    assert "damaged" in caplog.text
    with serving(tmp_path / "server") as url:
        assert download(published, url).read_bytes() == CONTENT
    assert find_local(published) == published.cached


def test_data_folder_is_searched_before_the_cache(published, tmp_path, monkeypatch):
    with serving(tmp_path / "server") as url:
        download(published, url)
    file = tmp_path / "data" / "sources" / published.place
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    monkeypatch.setenv("EVALHARNESS_DATA", str(tmp_path / "data"))
    assert find_local(published) == file


def test_damaged_file_in_the_data_folder_is_an_error_with_path_and_both_hashes(
    published, tmp_path, monkeypatch
):
    file = tmp_path / "data" / "sources" / published.place
    file.parent.mkdir(parents=True)
    file.write_bytes(b"other")
    monkeypatch.setenv("EVALHARNESS_DATA", str(tmp_path / "data"))
    with pytest.raises(DataError) as caught:
        find_local(published)
    assert str(file) in str(caught.value)
    assert hashlib.sha256(b"other").hexdigest() in str(caught.value)
    assert published.sha256 in str(caught.value)
