import pytest

from evalharness.benchmarks.hub_rows import read_hub
from evalharness.benchmarks.sources import HubDataset, SourceUnavailableError
from evalharness.errors import InputError


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
    (hub / "test.jsonl").write_bytes(b'{"problem": "1+1?", "gold": "2"}\n')
    [row] = read_hub(HubDataset(hub="owner/toy")).rows
    assert row.cells == {"problem": "1+1?", "gold": "2"}
    assert row.place == "owner/toy (test): row 0"
    [row] = read_hub(HubDataset(hub="owner/toy", split="train")).rows
    assert row.cells["problem"] == "t"
    with pytest.raises(InputError, match='no split "dev"; it has train, test'):
        read_hub(HubDataset(hub="owner/toy", split="dev"))


def test_hub_filter_keeps_the_rows_that_contain_the_text(hub):
    (hub / "train.jsonl").write_text(
        '{"problem": "old", "url": "x/2023_AIME_I"}\n{"problem": "new", "url": "x/2024_AIME_I"}\n'
    )
    source = HubDataset(hub="owner/toy", where={"url": "2024_AIME"})
    assert [row.cells["problem"] for row in read_hub(source).rows] == ["new"]
    with pytest.raises(InputError, match='split train has no rows with "1999" in url'):
        read_hub(HubDataset(hub="owner/toy", where={"url": "1999"}))
    # str(None) holds "None": a column that isn't there must not be searched.
    with pytest.raises(InputError, match='no column "link" for "where"; it has problem, url'):
        read_hub(HubDataset(hub="owner/toy", where={"link": "None"}))


def test_unreachable_hub_fails_at_once_and_names_the_cache_switch(monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    with pytest.raises(SourceUnavailableError, match="HF_HUB_OFFLINE=1"):
        read_hub(HubDataset(hub="owner/absent"))


def test_offline_hub_without_cache_is_unavailable(monkeypatch, tmp_path):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hf"))
    with pytest.raises(SourceUnavailableError, match="owner/absent"):
        read_hub(HubDataset(hub="owner/absent"))
