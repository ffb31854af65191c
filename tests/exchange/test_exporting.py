import csv
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from evalharness import store
from evalharness.cli import main
from evalharness.errors import InputError, MissingExtraError, StoreError
from evalharness.exporting import export_run
from evalharness.exporting.places import safe_names
from evalharness.exporting.tables import COLUMNS
from tests.exchange.made import imported

PRACTICE = ["Work out 8 + 3.", "Work out 4 + 7."]  # rows 0 and 1, both 11


def row(at: int, sample: int, response: str, **changes: Any) -> dict[str, Any]:
    return {
        "benchmark": "practice",
        "problem_id": f"practice/{at}",
        "problem": PRACTICE[at],
        "response": response,
        "model": "maker/model",
        "template": "no",
        "sample_index": sample,
        "n_tokens": 10 + sample,
        "token_limit": 64,
        "finish_reason": "stop" if sample == 0 else "length",
        "prompt": PRACTICE[at],
    } | changes


ROWS = [
    row(0, 0, "\\boxed{11}", label=True),
    row(0, 1, "=1+1, so \\boxed{12}", label=True),
    row(1, 0, "", label=False),
    row(1, 1, "\\boxed{11} \ud83d", label=None),
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return made(tmp_path / "runs" / "x", *ROWS)


def made(folder: Path, *rows: dict[str, Any]) -> Path:
    folder.parent.mkdir(exist_ok=True)
    path = folder.parent / "rows.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    imported(folder, path)
    return folder


def carried(folder: Path) -> list[tuple[Any, ...]]:
    """What a round trip has to keep of every response."""
    found = [
        (
            each.model,
            each.template,
            each.problem_id,
            each.sample_index,
            each.response,
            each.num_tokens,
            each.token_limit,
            each.finish_reason,
        )
        for each in store.read_responses(folder)
    ]
    return sorted(found)


def verdicts(folder: Path) -> dict[tuple[str, str, str, int], str]:
    name = next(each for each in store.verdict_names(folder) if each != "label@source")
    return {each.key: each.status for each in store.read_verdicts(folder, name)}


def test_lm_eval_files_come_back_as_the_same_responses_and_verdicts(
    run: Path, tmp_path: Path
) -> None:
    export_run(run, "lm-eval", tmp_path / "out")
    imported(tmp_path / "back", tmp_path / "out")
    assert carried(tmp_path / "back") == carried(run)
    assert verdicts(tmp_path / "back") == verdicts(run)
    prompts = store.read_prompts(tmp_path / "back")
    assert set(prompts.values()) == set(PRACTICE)


def test_lm_eval_files_have_the_names_keys_and_numbers_of_lm_eval(
    run: Path, tmp_path: Path
) -> None:
    result = export_run(run, "lm-eval", tmp_path / "out")
    samples, results = result.paths
    assert samples.parent.name == "maker__model"
    assert re.fullmatch(r"samples_practice_[\dT.-]+\.jsonl", samples.name)
    assert results.name == samples.name.replace("samples_practice", "results").replace(
        "jsonl", "json"
    )
    first, second = map(json.loads, samples.read_text().splitlines())
    # right, wrong: (1 + 0) / 2; no answer, right: (0 + 1) / 2
    assert (first["exact_match"], second["exact_match"]) == (0.5, 0.5)
    assert first["resps"] == [["\\boxed{11}", "=1+1, so \\boxed{12}"]]
    assert first["filtered_resps"] == ["11", "12"]
    assert second["filtered_resps"] == ["[invalid]", "11"]
    assert first["target"] == "11"
    summary = json.loads(results.read_text())
    assert summary["results"]["practice"]["exact_match,none"] == 0.5  # 2 of 4
    assert summary["n-samples"]["practice"] == {"original": 120, "effective": 2}
    assert summary["configs"]["practice"]["repeats"] == 2
    assert summary["model_name"] == "maker/model"


def test_two_templates_are_two_tasks(tmp_path: Path) -> None:
    run = made(tmp_path / "runs" / "x", ROWS[0], row(0, 0, "12", template="r1"))
    export_run(run, "lm-eval", tmp_path / "out")
    names = {path.name.split("_2")[0] for path in (tmp_path / "out").rglob("samples_*")}
    assert names == {"samples_practice_no", "samples_practice_r1"}
    imported(tmp_path / "back", tmp_path / "out")
    assert carried(tmp_path / "back") == carried(run)


def test_a_task_of_an_unknown_benchmark_comes_back_under_its_name(tmp_path: Path) -> None:
    own = {"benchmark": "my-sums", "problem_id": "my-sums/7", "gold": "11"}
    run = made(
        tmp_path / "runs" / "x", row(0, 0, "11", **own), row(0, 0, "12", template="b", **own)
    )
    result = export_run(run, "lm-eval", tmp_path / "out")
    assert {path.name.split("_20")[0] for path in result.paths} == {
        "samples_my_sums_no",
        "samples_my_sums_b",
        "results",
    }
    imported(tmp_path / "back", tmp_path / "out")
    assert carried(tmp_path / "back") == carried(run)


def test_lm_eval_s_own_schema_and_table_take_the_files(run: Path, tmp_path: Path) -> None:
    schema = pytest.importorskip("lm_eval.result_schema", reason="lm-eval isn't installed")
    from lm_eval.utils import get_file_datetime, get_file_task_name, make_table

    samples, results = export_run(run, "lm-eval", tmp_path / "out").paths
    summary = json.loads(results.read_text())
    assert summary.keys() - {"evalharness_version"} <= schema.EvalResults.__annotations__.keys()
    assert summary["config"].keys() <= schema._EvalConfig.__annotations__.keys()
    line = json.loads(samples.read_text().splitlines()[0])
    assert line.keys() - schema.SampleResult.__annotations__.keys() == {
        "exact_match",
        "evalharness",
    }
    assert schema.SampleResult.__annotations__.keys() <= line.keys()
    assert get_file_task_name(samples.name) == "practice"
    assert f"results_{get_file_datetime(samples.name)}.json" == results.name
    (line,) = [line for line in make_table(summary).splitlines() if "exact_match" in line]
    cells = [cell.strip() for cell in line.split("|")]
    assert cells[1] == "practice"
    assert float(cells[7]) == 0.5  # behind version, filter, n-shot, metric and its arrow


def test_every_key_of_a_real_sample_is_there(run: Path, tmp_path: Path) -> None:
    folder = Path(__file__).parent.parent / "data" / "exchange" / "lm-eval"
    (real,) = folder.rglob("samples_*.jsonl")
    samples, results = export_run(run, "lm-eval", tmp_path / "out").paths
    theirs = json.loads(real.read_text().splitlines()[0])
    ours = json.loads(samples.read_text().splitlines()[0])
    assert theirs.keys() <= ours.keys()
    assert {name: type(theirs[name]) for name in theirs} == {
        name: type(ours[name]) for name in theirs
    }
    summary = json.loads(results.read_text())
    real_summary = json.loads(next(folder.rglob("results_*.json")).read_text())
    # What describes lm-eval's own process and tokenizer has no counterpart.
    missing = real_summary.keys() - summary.keys()
    assert missing == {
        "eot_token_id",
        "fewshot_as_multiturn",
        "git_hash",
        "lm_eval_version",
        "max_length",
        "pretty_env_info",
        "system_instruction",
        "chat_template_sha",
        "system_instruction_sha",
        "task_hashes",
        "tokenizer_bos_token",
        "tokenizer_eos_token",
        "tokenizer_pad_token",
        "total_evaluation_time_seconds",
        "transformers_version",
        "upper_git_hash",
    }


def test_the_flat_table_has_every_column_and_both_verdicts(run: Path, tmp_path: Path) -> None:
    (path,) = export_run(run, "parquet", tmp_path / "x.parquet").paths
    frame = pd.read_parquet(path)
    assert tuple(frame.columns) == COLUMNS
    assert list(frame["status"]) == ["correct", "incorrect", "no_answer", "correct"]
    assert list(frame["source_status"].fillna("-")) == ["correct", "correct", "incorrect", "-"]
    assert list(frame["golds"].map(list)) == [["11"]] * 4
    assert list(frame["problem"]) == [PRACTICE[0]] * 2 + [PRACTICE[1]] * 2
    assert list(frame["num_tokens"]) == [10, 11, 10, 11]


def test_cells_of_the_csv_are_no_formulas(run: Path, tmp_path: Path) -> None:
    result = export_run(run, "csv", tmp_path / "x.csv")
    with (tmp_path / "x.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[1]["response"] == "'=1+1, so \\boxed{12}"
    assert json.loads(rows[0]["golds"]) == ["11"]
    assert result.notes[0].startswith("1 cells begin like a formula")


def test_nothing_is_written_over_without_force(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("mine")
    with pytest.raises(InputError, match=r"x\.csv is there already: .* --force"):
        export_run(run, "csv", path)
    assert path.read_text() == "mine"
    export_run(run, "csv", path, force=True)
    assert path.read_text().startswith("model,template,")


@pytest.mark.parametrize("form", ["lm-eval", "parquet", "csv"])
def test_names_with_separators_stay_inside_the_folder(tmp_path: Path, form: str) -> None:
    evil = row(0, 0, "11", model="../../evil", template="/etc/x", benchmark="..", gold="11")
    run = made(tmp_path / "runs" / "x", evil | {"problem_id": "../0"})
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    result = export_run(run, form, tmp_path / "out" / "here")
    written = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert written == set(result.paths)
    assert all(path.is_relative_to(tmp_path / "out") for path in written)


def test_two_names_that_become_one_are_kept_apart() -> None:
    names = safe_names(["a/b", "a:b", "..", "A__B"])
    assert names["a/b"] == "a__b"
    assert len({name.lower() for name in names.values()}) == 4
    assert all("/" not in name and not name.startswith(".") for name in names.values())


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_not_even_force_writes_over_the_run_s_own_files(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    before = (run / "responses.jsonl").read_bytes()
    monkeypatch.chdir(run)
    for name in ("responses.jsonl", "responses.parquet", "run.json"):
        with pytest.raises(InputError, match=f"{name} is a file of the run itself"):
            export_run(run, form, Path(name), force=True)
    assert (run / "responses.jsonl").read_bytes() == before


@pytest.mark.parametrize("force", [True, False])
def test_an_export_never_lands_among_the_verdict_tables(run: Path, force: bool) -> None:
    # Whatever ends in .parquet there counts as one, the newest of them as the run's own.
    names = store.verdict_names(run)
    for name in (f"{names[-1]}.parquet", "new.parquet", "deeper/new.parquet"):
        with pytest.raises(InputError, match=f"{name} is a file of the run itself"):
            export_run(run, "parquet", run / "verdicts" / name, force=force)
    assert store.verdict_names(run) == names
    assert len(list(store.read_verdicts(run, names[-1]))) == 4


def test_a_long_name_in_any_script_is_a_file_name(tmp_path: Path) -> None:
    # Three bytes a letter: 120 letters are 360 bytes, and a file system takes 255.
    names = safe_names(["\u6a21" * 120, "\u6a21" * 121])
    assert [len(each.encode()) for each in names.values()] == [120, 129]  # 8 digits and a hyphen
    assert len(set(names.values())) == 2
    run = made(tmp_path / "runs" / "x", row(0, 0, "11", model="\u6a21" * 120))
    assert len(export_run(run, "lm-eval", tmp_path / "out").paths) == 2


def test_a_run_without_verdicts_is_refused_with_the_command(tmp_path: Path) -> None:
    run = made(tmp_path / "runs" / "x", row(0, 0, "11"))
    for path in (run / "verdicts").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"there is none: evalharness score "):
        export_run(run, "csv", tmp_path / "x.csv")


def test_a_benchmark_that_is_no_data_set_of_the_hub_has_no_place_there(
    run: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="practice is no data set of the hub"):
        export_run(run, "hf", tmp_path / "out")


def test_hub_entries_are_read_by_the_hub_s_own_parser(tmp_path: Path) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub")
    import yaml

    # A made run over a whole benchmark: every one of AMC 2023's 40 problems, 10 right.
    rows = [
        row(at, 0, "\\boxed{7}" if at < 10 else "8", benchmark="amc23", gold="7")
        | {"problem_id": f"amc23/{at}", "problem": f"made {at}"}
        for at in (0, 1)
    ]
    run = made(tmp_path / "runs" / "x", *rows)
    spec = store.read_spec(run)
    spec["benchmarks"]["amc23"]["num_published"] = 2
    (run / "run.json").write_text(json.dumps(spec))
    result = export_run(run, "hf", tmp_path / "out")
    assert result.paths == (tmp_path / "out" / "maker__model" / ".eval_results" / "amc23.yaml",)
    data = yaml.safe_load(result.paths[0].read_text())
    (entry,) = huggingface_hub.parse_eval_result_entries(data)
    assert (entry.dataset_id, entry.value) == ("math-ai/amc23", 100.0)  # 2 of 2
    assert "template no, n=2, k=1" in entry.notes
    assert entry.date == spec["sessions"][0]["started"]


def test_a_score_on_a_training_split_is_not_that_of_the_data_set(tmp_path: Path) -> None:
    # gsm8k and gsm8k-train are openai/gsm8k, config main, both.
    rows = [
        row(0, 0, "7", benchmark=name, gold="7", problem_id=f"{name}/0", problem="made")
        for name in ("gsm8k", "gsm8k-train")
    ]
    run = made(tmp_path / "runs" / "x", *rows)
    spec = store.read_spec(run)
    for each in spec["benchmarks"].values():
        each["num_published"] = 1
    (run / "run.json").write_text(json.dumps(spec))
    result = export_run(run, "hf", tmp_path / "out")
    assert [path.name for path in result.paths] == ["gsm8k.yaml"]
    assert "left out: gsm8k-train is no data set of the hub, or a part of one" in result.notes


def test_a_score_over_a_part_of_a_benchmark_is_left_out(tmp_path: Path) -> None:
    rows = [row(0, 0, "7", benchmark="amc23", gold="7", problem_id="amc23/0", problem="made")]
    run = made(tmp_path / "runs" / "x", *rows)
    spec = store.read_spec(run)
    spec["benchmarks"]["amc23"]["num_published"] = 40
    (run / "run.json").write_text(json.dumps(spec))
    with pytest.raises(InputError, match="1 of 40 problems"):
        export_run(run, "hf", tmp_path / "out")


def test_an_unfinished_run_says_so_and_has_no_score_for_the_hub(run: Path, tmp_path: Path) -> None:
    spec = store.read_spec(run)
    (run / "run.json").write_text(json.dumps(spec | {"status": "unfinished"}))
    note = "the run is unfinished: its numbers are those of the responses it has"
    assert note in export_run(run, "csv", tmp_path / "x.csv").notes
    with pytest.raises(InputError, match="x is unfinished: run its command again"):
        export_run(run, "hf", tmp_path / "out")
    (run / "run.json").write_text(json.dumps(spec))
    assert note not in export_run(run, "csv", tmp_path / "y.csv").notes


def test_an_unfinished_run_is_a_cancelled_log_of_inspect(run: Path, tmp_path: Path) -> None:
    log = pytest.importorskip("inspect_ai.log")
    spec = store.read_spec(run)
    (run / "run.json").write_text(json.dumps(spec | {"status": "unfinished"}))
    (path,) = export_run(run, "inspect", tmp_path / "out").paths
    assert log.read_eval_log(str(path)).status == "cancelled"


def test_a_log_of_inspect_that_breaks_off_leaves_no_file(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = pytest.importorskip("inspect_ai.log")

    def broken(_: object, location: str, **__: object) -> None:
        Path(location).write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(log, "write_eval_log", broken)
    with pytest.raises(KeyboardInterrupt):
        export_run(run, "inspect", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_problem_that_the_run_lost_is_named(run: Path, tmp_path: Path) -> None:
    first, _ = (run / "problems.jsonl").read_text().splitlines()
    (run / "problems.jsonl").write_text(first + "\n")
    for form in ("csv", "lm-eval"):
        with pytest.raises(StoreError, match=r"problems\.jsonl: practice/1 is missing"):
            export_run(run, form, tmp_path / form)


def test_a_score_over_the_judged_part_of_a_benchmark_is_left_out(tmp_path: Path) -> None:
    # Both problems are answered by two models; the source judged one answer of the first only.
    rows = [
        row(at, 0, "7", benchmark="amc23", gold="7", problem_id=f"amc23/{at}", model=model)
        | {"problem": f"made {at}", "label": True if (model, at) == ("a", 0) else None}
        for model in ("a", "b")
        for at in (0, 1)
    ]
    run = made(tmp_path / "runs" / "x", *rows)
    spec = store.read_spec(run)
    spec["benchmarks"]["amc23"]["num_published"] = 2
    (run / "run.json").write_text(json.dumps(spec))
    with pytest.raises(InputError) as caught:
        export_run(run, "hf", tmp_path / "out", verdicts="label@source")
    assert "a on amc23: label@source judges 1 of 2 problems" in str(caught.value)
    assert "b on amc23: label@source judges 0 of 2 problems" in str(caught.value)


def test_the_order_of_files_and_lines_is_that_of_the_run_and_its_problems(tmp_path: Path) -> None:
    # The store has made/10 before made/9, and the benchmark "a" before "made".
    rows = [
        row(0, 0, "1", gold="1", benchmark=name, problem_id=f"{name}/{at}", problem=f"p{at}")
        for name, at in (("made", 9), ("made", 10), ("a", 0))
    ]
    run = made(tmp_path / "runs" / "x", *rows)
    result = export_run(run, "lm-eval", tmp_path / "out")
    (samples,) = [path for path in result.paths if "samples_made" in path.name]
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    assert [(line["doc_id"], line["doc"]["problem"]) for line in lines] == [(0, "p9"), (1, "p10")]
    (results,) = [path for path in result.paths if path.name.startswith("results")]
    assert list(json.loads(results.read_text())["results"]) == ["made", "a"]


def test_inspect_s_reader_and_ours_find_the_same_in_an_exported_log(
    run: Path, tmp_path: Path
) -> None:
    inspect_log = pytest.importorskip("inspect_ai.log", reason="inspect_ai isn't installed")
    (path,) = export_run(run, "inspect", tmp_path / "out").paths
    log = inspect_log.read_eval_log(str(path))
    assert (log.status, log.eval.task, log.eval.model) == ("success", "practice", "maker/model")
    assert log.results.scores[0].metrics["accuracy"].value == 0.5  # 2 of 4
    found = {(each.id, each.epoch): each for each in log.samples}
    second = found["practice/0", 2]
    assert second.output.completion == "=1+1, so \\boxed{12}"
    assert second.output.stop_reason == "max_tokens"
    assert second.scores["evalharness"].value == "I"
    assert second.scores["source"].value == "C"
    assert second.target == ["11"]
    imported(tmp_path / "back", path)
    assert carried(tmp_path / "back") == carried(run)
    assert verdicts(tmp_path / "back") == verdicts(run)


def test_without_inspect_the_message_names_the_extra(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "inspect_ai.log", None)
    with pytest.raises(MissingExtraError, match=r'pip install "evalharness\[inspect\]"'):
        export_run(run, "inspect", tmp_path / "out")


def test_the_command_prints_the_paths_and_tells_what_is_lost(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(run), "--format", "lm-eval"]) == 0
    printed = capsys.readouterr()
    paths = [Path(line) for line in printed.out.splitlines()]
    assert all(path.is_file() for path in paths)
    assert paths[0].parent.parent == run.with_name("x-lm-eval")
    assert "lm-eval has one score a problem" in printed.err


@pytest.mark.parametrize("form", ["lm-eval", "inspect"])
def test_a_response_that_the_engine_could_not_give_comes_back_as_one(
    tmp_path: Path, form: str
) -> None:
    if form == "inspect":
        pytest.importorskip("inspect_ai.log", reason="inspect_ai isn't installed")
    failed = row(1, 0, "", finish_reason="error", n_tokens=0)
    run = made(tmp_path / "runs" / "x", ROWS[0], failed)
    assert verdicts(run)["maker/model", "no", "practice/1", 0] == "error"
    export_run(run, form, tmp_path / "out")
    imported(tmp_path / "back", tmp_path / "out")
    assert carried(tmp_path / "back") == carried(run)
    assert verdicts(tmp_path / "back") == verdicts(run)
