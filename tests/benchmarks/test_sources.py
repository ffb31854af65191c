import contextlib
import functools
import hashlib
import http.server
import threading

import pytest

from evalharness.benchmarks import sources
from evalharness.benchmarks.sources import HubDataset, PublishedFile
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
        path = sources.download(published, url)
    assert path == tmp_path / "cache" / "files" / published.sha256
    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == [published.sha256]
    assert sources.find_local(published) == path


def test_changed_download_is_refused_with_both_hashes_and_leaves_nothing(published, tmp_path):
    (tmp_path / "server" / published.place).write_bytes(b"changed")
    with serving(tmp_path / "server") as url, pytest.raises(DataError) as caught:
        sources.download(published, url)
    assert hashlib.sha256(b"changed").hexdigest() in str(caught.value)
    assert published.sha256 in str(caught.value)
    assert f"{url}/{published.place} (7 bytes)" in str(caught.value)
    assert list((tmp_path / "cache" / "files").iterdir()) == []


def test_no_answer_says_in_one_line_what_to_fetch_and_where_to_put_it(published, tmp_path):
    with pytest.raises(sources.SourceUnavailableError) as caught:
        sources.download(published, NOBODY)
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
        pytest.raises(sources.SourceUnavailableError, match="File not found"),
    ):
        sources.download(published, url)


def test_other_addresses_than_http_are_refused(published, tmp_path):
    with pytest.raises(InputError, match="only http"):
        sources.download(published, f"file://{tmp_path}/server")


def test_cache_that_cant_be_written_names_the_variable(published, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EVALHARNESS_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match="set EVALHARNESS_CACHE"):
        sources.download(published, NOBODY)


def test_damaged_cache_file_is_fetched_again(published, tmp_path, caplog):
    published.cached.parent.mkdir(parents=True)
    published.cached.write_bytes(b"torn")
    assert sources.find_local(published) is None
    assert "damaged" in caplog.text
    with serving(tmp_path / "server") as url:
        assert sources.download(published, url).read_bytes() == CONTENT
    assert sources.find_local(published) == published.cached


def test_data_folder_is_searched_before_the_cache(published, tmp_path, monkeypatch):
    with serving(tmp_path / "server") as url:
        sources.download(published, url)
    file = tmp_path / "data" / "sources" / published.place
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    monkeypatch.setenv("EVALHARNESS_DATA", str(tmp_path / "data"))
    assert sources.find_local(published) == file


def test_damaged_file_in_the_data_folder_is_an_error_with_path_and_both_hashes(
    published, tmp_path, monkeypatch
):
    file = tmp_path / "data" / "sources" / published.place
    file.parent.mkdir(parents=True)
    file.write_bytes(b"other")
    monkeypatch.setenv("EVALHARNESS_DATA", str(tmp_path / "data"))
    with pytest.raises(DataError) as caught:
        sources.find_local(published)
    assert str(file) in str(caught.value)
    assert hashlib.sha256(b"other").hexdigest() in str(caught.value)
    assert published.sha256 in str(caught.value)


ROWS = [{"problem": "1+1? \u2028 é", "gold": "2"}, {"problem": 'a,\n"b"', "gold": "3"}]


def write_jsonl(path):
    path.write_text(
        '{"problem": "1+1? \u2028 é", "gold": "2"}\n\n{"problem": "a,\\n\\"b\\"", "gold": "3"}\n',
        encoding="utf-8",
    )


def write_json(path):
    path.write_text(
        '\ufeff[{"problem": "1+1? \u2028 é", "gold": "2"},\n'
        '{"problem": "a,\\n\\"b\\"", "gold": "3"}]',
        encoding="utf-8",
    )


def write_csv(path):
    path.write_text('problem,gold\n1+1? \u2028 é,2\n"a,\n""b""",3\n', encoding="utf-8")


def write_parquet(path):
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)


@pytest.mark.parametrize(
    ("write", "places"),
    [
        # A blank line is no row, and the next row keeps its own line number.
        (write_jsonl, [":1", ":3"]),
        (write_json, [": row 0", ": row 1"]),
        (write_csv, [":2", ":4"]),
        (write_parquet, [": row 0", ": row 1"]),
    ],
)
def test_every_format_gives_the_same_rows_and_says_where_they_stand(tmp_path, write, places):
    path = tmp_path / f"toy.{write.__name__.removeprefix('write_')}"
    write(path)
    rows = sources.read_file(path)
    assert [dict(row.cells) for row in rows] == ROWS
    assert [row.place for row in rows] == [f"{path}{place}" for place in places]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"a": 1}\n{"a": \n', "a.jsonl:2: not valid JSON"),
        ("a.jsonl", b"[1]\n", "a.jsonl:1: a row must be an object"),
        ("a.jsonl", b"\n", "no rows"),
        ("a.jsonl", b"\xff\xfe", "can't be read"),
        ("a.json", b'[{"a": 1},\n}]', "a.json:2: not valid JSON"),
        ("a.json", b'{"a": 1}', "must be a list"),
        ("a.json", b"[1]", "row 0: a row must be an object"),
        ("a.json", b"[]", "no rows"),
        ("a.csv", b"a,b\n1,2,3\n", "a.csv:2: the header has 2 columns"),
        ("a.csv", b"a,b\n1\n", "a.csv:2: the header has 2 columns"),
        ("a.csv", b'a,b\n1,"x"y\n', "a.csv: after line 1: not valid CSV"),
        ("a.csv", b"a,b\n", "no rows"),
        ("a.parquet", b"PAR1 no parquet", "not a valid parquet file"),
        ("a.txt", b"x", "ends in one of .jsonl, .json, .parquet, .csv"),
    ],
)
def test_broken_file_is_named_with_its_place(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        sources.read_file(tmp_path / name)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A folder that `datasets` loads as it loads a hub data set of the same name."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hf"))
    monkeypatch.chdir(tmp_path)
    datasets.disable_progress_bars()
    folder = tmp_path / "owner" / "toy"
    folder.mkdir(parents=True)
    return folder


def test_hub_data_set_takes_the_test_split_of_several(hub):
    (hub / "train.jsonl").write_text('{"problem": "t", "gold": "0"}\n')
    (hub / "test.jsonl").write_bytes(CONTENT)
    [row] = sources.read_hub(HubDataset(hub="owner/toy")).rows
    assert row.cells == {"problem": "1+1?", "gold": "2"}
    assert row.place == "owner/toy (test): row 0"
    [row] = sources.read_hub(HubDataset(hub="owner/toy", split="train")).rows
    assert row.cells["problem"] == "t"
    with pytest.raises(InputError, match='no split "dev"; it has train, test'):
        sources.read_hub(HubDataset(hub="owner/toy", split="dev"))


def test_hub_filter_keeps_the_rows_that_contain_the_text(hub):
    (hub / "train.jsonl").write_text(
        '{"problem": "old", "url": "x/2023_AIME_I"}\n{"problem": "new", "url": "x/2024_AIME_I"}\n'
    )
    source = HubDataset(hub="owner/toy", where={"url": "2024_AIME"})
    assert [row.cells["problem"] for row in sources.read_hub(source).rows] == ["new"]
    with pytest.raises(InputError, match="no rows"):
        sources.read_hub(HubDataset(hub="owner/toy", where={"url": "1999"}))


def test_unreachable_hub_fails_at_once_and_names_the_cache_switch(monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", NOBODY)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    with pytest.raises(sources.SourceUnavailableError, match="HF_HUB_OFFLINE=1"):
        sources.read_hub(HubDataset(hub="owner/absent"))


def test_offline_hub_without_cache_is_unavailable(monkeypatch, tmp_path):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hf"))
    with pytest.raises(sources.SourceUnavailableError, match="owner/absent"):
        sources.read_hub(HubDataset(hub="owner/absent"))
