import base64
import dataclasses
import gzip
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evalharness.cli import main
from evalharness.errors import InputError
from evalharness.report.compare import compare_runs
from evalharness.report.comparisons import ALIKE, Compared, main_tables
from evalharness.report.figures import write_figures
from evalharness.report.gather import folder_labels, gather_runs
from evalharness.report.html import html_report, html_table
from evalharness.report.parts import cell_labels, file_name
from evalharness.report.runs import ReportOptions, render_runs
from evalharness.report.sections import report_sections
from evalharness.report.survival import survival_table
from evalharness.report.tables import Table
from evalharness.report.terminal import as_terminal
from evalharness.store import RunWriter, read_responses
from tests.report.made import Said, make_run, problem


def _said(model: str, solved: range, number: int = 40, samples: int = 1) -> Iterator[Said]:
    for row in range(number):
        for sample in range(samples):
            yield Said(
                model=model,
                template="no",
                problem=problem("sums", row, f"{row}: how many?"),
                sample=sample,
                text=f"secret {model} {row}",
                status="correct" if row in solved else "incorrect",
                tokens=100 if row in solved else 200,
                extracted=f"secret answer {row}",
                prompt="secret prompt",
            )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    # best solves 0..29, near 0..27, far 0..9 of 40
    said = [*_said("far", range(10)), *_said("best", range(30)), *_said("near", range(28))]
    return make_run(tmp_path / "made", said)


def test_the_best_is_bold_and_what_the_data_cannot_rank_is_marked(run: Path) -> None:
    # best against near: 2 fixed and 0 broken, McNemar's p = 2 * 0.5^2 = 0.5: not distinguishable.
    # best against far: 20 and 0, p = 2 * 0.5^20 = 2e-6.
    gathered = gather_runs([run], None)
    table = main_tables(gathered, Compared(gathered).leaders())[0]
    assert [row[0] for row in table.rows] == ["far", "best", "near"]
    assert table.best == {(1, 2)}
    assert [ALIKE in row[2] for row in table.rows] == [False, False, True]
    assert table.rows[2][2].startswith(f"70.0{ALIKE} [")
    assert "**75.0 [" in render_runs([run], "markdown")
    assert "\\textbf{75.0}" in render_runs([run], "latex")


def test_models_that_tie_for_best_are_all_bold(tmp_path: Path) -> None:
    said = [*_said("a", range(30)), *_said("b", range(10, 40)), *_said("c", range(1))]
    gathered = gather_runs([make_run(tmp_path / "tie", said)], None)
    assert Compared(gathered).leaders()["sums"].best == {("a", "no"), ("b", "no")}


def test_the_first_model_is_the_baseline_unless_another_is_named(run: Path) -> None:
    compared = Compared(gather_runs([run], None))
    first = compared.with_baseline(None).rows
    assert [(row.baseline, row.model) for row in first] == [("far:no", "best"), ("far:no", "near")]
    assert first[0].difference.value == pytest.approx(20 / 40)
    named = compared.with_baseline("best").rows
    assert [(row.model, round(40 * row.difference.value)) for row in named] == [
        ("far", -20),
        ("near", -2),
    ]
    with pytest.raises(InputError, match="no such model"):
        compared.with_baseline("nothing")


def test_an_average_over_other_benchmarks_is_not_ranked(tmp_path: Path) -> None:
    # a answers both benchmarks, b only one: their macro averages are about different things.
    more = [
        Said("a", "no", problem("more", row), 0, "x", "correct" if row else "incorrect")
        for row in range(5)
    ]
    both = [Said("b", "no", problem("more", row), 0, "x", "incorrect") for row in range(5)]
    partly = make_run(tmp_path / "p", [*_said("a", range(9)), *more, *_said("b", range(2))])
    fully = make_run(tmp_path / "f", [*_said("a", range(9)), *more, *_said("b", range(2)), *both])
    assert "macro" not in Compared(gather_runs([partly], None)).leaders()
    assert "macro" in Compared(gather_runs([fully], None)).leaders()
    warning = "averages over others can't be compared"
    assert warning in render_runs([partly], "markdown")
    assert warning not in render_runs([fully], "markdown")


def test_what_can_t_be_compared_leaves_the_others_compared_and_ranks_nothing(
    tmp_path: Path,
) -> None:
    # c answered other problems than a and b: a against b stays, and no column says who is alike.
    apart = [Said("c", "no", problem("sums", row, "?"), 0, "x", "correct") for row in range(50, 60)]
    said = [*_said("a", range(9)), *_said("b", range(30)), *apart]
    compared = Compared(gather_runs([make_run(tmp_path / "r", said)], None))
    against = compared.with_baseline(None)
    assert [(row.model, round(40 * row.difference.value)) for row in against.rows] == [("b", 21)]
    assert against.troubles == ("sums: c:no against a:no: they have no problem in common",)
    assert compared.leaders() == {}


def test_runs_in_folders_of_one_name_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    # 10, 20 and 30 of 40 right; all three folders are called run.
    folders = [
        make_run(tmp_path / seed / "run", _said("m", range(number)))
        for seed, number in (("s1", 10), ("s2", 20), ("s3", 30))
    ]
    found = {
        row["model"]: row["value"]
        for row in gather_runs(folders, None).metrics
        if row["metric"] == "accuracy"
    }
    assert found == {"m": 0.25, "m (s2/run)": 0.5, "m (s3/run)": 0.75}
    rows = compare_runs(folders, "m").rows
    assert [(row.model, row.difference.value) for row in rows] == [
        ("m (s2/run)", 0.25),
        ("m (s3/run)", 0.5),
    ]
    assert folder_labels([folders[0], folders[1], folders[0]]) == ["s1/run", "s2/run", "s1/run #2"]


def test_every_figure_has_a_table_and_a_name_of_its_own(run: Path) -> None:
    figures = [each for part in report_sections(gather_runs([run], None)) for each in part.figures]
    assert len({each.name for each in figures}) == len(figures) >= 5
    for figure in figures:
        assert figure.table.rows, figure.name
        assert all(len(row) == len(figure.table.columns) for row in figure.table.rows)


def test_a_difference_is_drawn_in_points_and_not_in_percent(run: Path) -> None:
    # best solves 20 of 40 problems more than far: 50 points, of 25% accuracy.
    figures = [each for part in report_sections(gather_runs([run], None)) for each in part.figures]
    (chart,) = [each.spec for each in figures if each.name == "difference-sums-far"]
    assert [round(row["value"]) for row in chart["datasets"]["rows"]] == [50, 45]
    axis = next(
        layer["encoding"]["x"]["axis"]
        for layer in chart["layer"]
        if "axis" in layer["encoding"].get("x", {})
    )
    assert "%" not in axis["format"]
    assert any("difference in points" in str(layer["encoding"]) for layer in chart["layer"])


def test_the_line_in_words_is_open_however_many_models_there_are(tmp_path: Path) -> None:
    said = [each for number in range(15) for each in _said(f"m{number}", range(number), 20)]
    page = render_runs([make_run(tmp_path / "many", said)], "html", ReportOptions(num_responses=0))
    glance = page[page.index('<section id="glance"') :]
    assert "<details>" not in glance[: glance.index("</section>")]


def test_samples_give_a_pass_at_k_section(tmp_path: Path) -> None:
    said = _said("a", range(10), number=20, samples=4)
    sections = report_sections(gather_runs([make_run(tmp_path / "k", said)], None))
    (section,) = [each for each in sections if each.key == "samples"]
    # every sample of a problem is alike, so pass@k and maj@k stay at 10 of 20
    rows = [row[1:4] for row in section.figures[0].table.rows]
    assert ("pass@k", "4", "50.0") in rows
    assert ("maj@k", "2", "50.0") in rows


def test_checkpoints_give_a_series_by_step(tmp_path: Path) -> None:
    said = [*_said("run/checkpoint-20", range(9)), *_said("run/checkpoint-100", range(18))]
    sections = report_sections(gather_runs([make_run(tmp_path / "s", said)], None))
    (section,) = [each for each in sections if each.key == "training"]
    accuracy = section.figures[0].table.rows
    assert [row[1:3] for row in accuracy] == [("20", "22.5"), ("100", "45.0")]  # 9/40, 18/40


def test_accuracy_at_a_budget_counts_what_ended_within_it(run: Path) -> None:
    # correct responses have 100 tokens, so at 64 nothing is right and at 128 all 30 of 40 are
    sections = report_sections(gather_runs([run], None))
    (section,) = [each for each in sections if each.key == "budget"]
    table = section.figures[0].table
    row = dict(zip(table.columns, table.rows[1], strict=True))
    assert row["model"] == "best"
    assert (row["64"], row["128"]) == ("0.0", "75.0")


def test_names_keep_what_tells_models_apart() -> None:
    cells = [("a/x/step-1", "no"), ("a/y/step-1", "no"), ("a/y/step-2", "no"), ("z", "no")]
    assert [*cell_labels([*cells, ("z", "r1")]).values()] == [
        "x/step-1",
        "y/step-1",
        "step-2",
        "z · no",
        "z · r1",
    ]
    assert file_name("inflation", "aime24", "a/b: c") == "inflation-aime24-a-b-c"


def _unpacked(page: str) -> list[Any]:
    blocks = re.findall(r'<script type="application/gzip" id="[^"]+">([^<]*)</script>', page)
    return [json.loads(gzip.decompress(base64.b64decode(block))) for block in blocks]


def test_a_report_without_texts_has_nothing_that_a_model_wrote(run: Path) -> None:
    gathered = gather_runs([run], None)
    whole = html_report(gathered, title="t")
    assert "secret best 3" in json.dumps(_unpacked(whole))
    bare = html_report(gathered, title="t", options=ReportOptions(with_texts=False))
    assert "secret" not in bare
    (index,) = _unpacked(bare)
    assert "secret" not in json.dumps(index)
    assert len(index["columns"]["status"]) == 120


def test_a_browser_that_is_too_small_holds_equally_many_of_each_model(run: Path) -> None:
    page = html_report(gather_runs([run], None), title="t", options=ReportOptions(num_responses=30))
    index = _unpacked(page)[0]
    assert [index["columns"]["cell"].count(cell) for cell in range(3)] == [10, 10, 10]
    assert index["total"] == 120
    assert "30 of 120 responses" in page


def test_the_page_is_the_same_bytes_each_time(run: Path) -> None:
    assert render_runs([run], "html") == render_runs([run], "html")


def test_the_page_allows_only_its_own_scripts(run: Path) -> None:
    page = render_runs([run], "html", ReportOptions(num_responses=0))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]
    assert policy.count("'sha256-") == page.count("<script>")


def test_names_in_tables_are_escaped() -> None:
    table = Table(
        title="<t>",
        columns=("<c>", "b"),
        rows=(("<r>", "1 [<0>, 2]"),),
        num_labels=1,
        notes=("<n>",),
    )
    assert re.findall(r"<(?:t|c|r|0|n)>", html_table(table)) == []


def test_figures_are_written_in_the_asked_formats(run: Path, tmp_path: Path) -> None:
    sections = report_sections(gather_runs([run], None))
    figure = sections[0].figures[0]
    paths = write_figures([figure], tmp_path / "figures", ["svg", "png", "pdf"])
    assert [path.name for path in paths] == [
        f"accuracy-sums.{form}" for form in ("svg", "png", "pdf")
    ]
    heads = [path.read_bytes()[:5] for path in paths]
    assert heads == [b"<svg ", b"\x89PNG\r", b"%PDF-"]
    assert "best" in paths[0].read_text()


def test_a_hub_benchmark_s_figures_are_files_of_the_folder(tmp_path: Path) -> None:
    # The name of a hub data set has a slash; a name in another alphabet keeps its letters.
    said = [
        Said(model, "no", problem(name, row, f"{row}?"), 0, "x", "correct")
        for model in ("a", "b")
        for name in ("owner/name", "數學")
        for row in range(3)
    ]
    gathered = gather_runs([make_run(tmp_path / "hub", said)], None)
    figures = [each for part in report_sections(gathered) for each in part.figures]
    names = {path.name for path in write_figures(figures, tmp_path / "f", ["svg"])}
    assert {"accuracy-owner-name.svg", "accuracy-數學.svg"} <= names
    assert names == {path.name for path in (tmp_path / "f").iterdir()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "html", "--responses", "-5"], "--responses -5: a number of responses"),
        (["--steps", "far=1,far=2"], "--steps far=2: far is 1 already"),
        (["--published", "zzz"], "no such row; there are Qwen2.5-Math-1.5B:no"),
    ],
)
def test_a_report_flag_that_means_nothing_is_refused(
    run: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["report", str(run), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_responses_without_a_verdict_are_told_by_report_and_compare(run: Path) -> None:
    # As after a kill: 40 more responses are stored than the verdict table knows.
    said = list(_said("best", range(30)))
    with RunWriter(run) as writer:
        writer.append(
            dataclasses.replace(each, sample_index=1)
            for each in read_responses(run)
            if each.model == "best"
        )
    gathered = gather_runs([run], None)
    sentence = f"{len(said)} responses have no verdict under checker@1"
    assert any(sentence in each for each in gathered.warnings)
    assert any(sentence in each for each in compare_runs([run], "far").left_out)


def test_a_report_over_no_verdicts_is_refused_in_every_format(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with RunWriter(run) as writer:
        writer.write_verdicts("checker@1", [])
    for form in ("terminal", "csv", "json"):
        assert main(["report", str(run), "--format", form]) == 2
        assert "none of its responses has a verdict under checker@1" in capsys.readouterr().err


def _cut_problems(run: Path) -> None:
    lines = (run / "problems.jsonl").read_text().splitlines(keepends=True)
    (run / "problems.jsonl").write_text("".join(lines[:-1]))


def _empty_verdicts(run: Path) -> None:
    (run / "verdicts" / "checker@1.parquet").write_bytes(b"")


def _empty_spec(run: Path) -> None:
    (run / "run.json").write_text("{}")


@pytest.mark.parametrize(
    ("damage", "commands", "message"),
    [
        (_cut_problems, ("report", "compare", "score"), "problems.jsonl has no sums/39, which"),
        (_empty_verdicts, ("report", "compare", "show"), "evalharness score` makes it again"),
        (_empty_spec, ("report", "compare", "show", "score"), "it has no models"),
    ],
)
def test_a_damaged_run_is_told_in_words(
    run: Path,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], None],
    commands: tuple[str, ...],
    message: str,
) -> None:
    damage(run)
    for command in commands:
        more = ["--baseline", "far"] if command == "compare" else []
        assert main([command, str(run), *more]) == 2
        assert message in capsys.readouterr().err


def test_unequal_numbers_of_samples_and_failed_ones_raise_no_false_alarm(tmp_path: Path) -> None:
    # 1 of 1 and 1 of 3: (1 + 1/3)/2 = 66.7% is no count over 2 problems x 2 samples, and right.
    one, other = problem("b", 0, "0?"), problem("b", 1, "1?")
    said = [Said("m", "t", one, 0, "x", "correct")]
    said += [
        Said("m", "t", other, at, f"{at}", "incorrect" if at else "correct") for at in range(3)
    ]
    # Both responses to each problem failed: they are empty, and no copies of one response.
    said += [
        Said("n", "t", each, at, "", "error", 0, "error", None)
        for each in (one, other)
        for at in range(2)
    ]
    assert gather_runs([make_run(tmp_path / "r", said)], None).warnings == frozenset()


def test_titles_are_one_line_however_narrow_their_table() -> None:
    table = Table(title="A title of several words", columns=("n",), rows=(("1",),), num_labels=1)
    assert as_terminal([table]).splitlines()[0] == "A title of several words"


def test_show_lists_what_was_asked_for_and_no_length_that_is_not_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    problems = [problem("b", row, f"{row}?") for row in range(2)]
    said = [Said("org/good", "t", each, 0, "x", "correct", tokens=7) for each in problems]
    said += [Said("org/bad", "t", each, 0, "x", "no_answer", None, None, None) for each in problems]
    run = str(make_run(tmp_path / "r", said))
    assert main(["show", run, "--model", "good"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["b/0", "1/1", "7", "tokens", "0?"]
    assert main(["show", run, "--model", "org/bad"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["b/0", "0/1", "–", "tokens", "0?"]
    assert main(["show", run, "b/0", "--model", "bad"]) == 0
    assert "  no answer, decided by" in capsys.readouterr().out
    assert main(["show", run, "--model", "other"]) == 2
    assert "they have org/good, org/bad" in capsys.readouterr().err
    assert main(["show", run, "--template", "r1"]) == 2
    assert "it has t" in capsys.readouterr().err


def test_the_command_writes_the_page_beside_the_run(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(run), "--format", "html"]) == 0
    assert capsys.readouterr().err == f"report: {run}/report.html\n"
    assert (run / "report.html").read_text().startswith("<!doctype html>")
    assert main(["report", str(run), str(run), "--format", "html"]) == 2
    assert "name --out FILE" in capsys.readouterr().err


def test_copies_and_an_unfinished_run_are_warnings_at_the_top_of_the_page(tmp_path: Path) -> None:
    run = make_run(tmp_path / "made", _said("m", range(10), samples=2))  # each sample the same text
    spec = run / "run.json"
    spec.write_text(spec.read_text().replace('"complete"', '"interrupted"'))
    page = html_report(gather_runs([run], None), title="t")
    assert '<p class="warning">This run is interrupted.</p>' in page
    assert '<p class="warning">m no sums: 40 of 40 problems have only copies' in page


def test_a_published_row_and_its_errors_stand_in_the_page(tmp_path: Path) -> None:
    said = [
        each._replace(problem=problem("aime24", row))
        for row, each in enumerate(_said("m", range(9), number=30))
    ]
    options = ReportOptions(published="Qwen2.5-Math-7B:no")
    page = html_report(
        gather_runs([make_run(tmp_path / "made", said)], None), title="t", options=options
    )
    assert "Beside Qwen2.5-Math-7B under no, as published" in page
    assert "is impossible: the nearest are" in page


def test_steps_are_given_for_names_that_do_not_tell_them(run: Path) -> None:
    options = ReportOptions(steps={"far": 0, "near": 100, "best": 300})
    sections = report_sections(gather_runs([run], None), options)
    training = next(each for each in sections if each.key == "training")
    # solved 10, 28 and 30 of 40
    found = [row[1:3] for row in training.figures[0].table.rows]
    assert found == [("0", "25.0"), ("100", "70.0"), ("300", "75.0")]


def test_steps_of_an_unknown_model_are_refused(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(run), "--steps", "best=1,nearr=2"]) == 2
    assert '--steps nearr: no such model; did you mean "near"?' in capsys.readouterr().err
    assert main(["report", str(run), "--steps", "best=ten"]) == 2
    assert "--steps best=ten: a step is a whole number" in capsys.readouterr().err


def test_keywords_of_second_thoughts_can_be_replaced(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # every response of far is "secret far ROW": 40 of the word, on 10 * 100 + 30 * 200 tokens
    asked = ["report", str(run), "--format", "markdown", "--details", "--keywords", "secr*,x"]
    assert main(asked) == 0
    text = capsys.readouterr().out
    line = next(each for each in text.splitlines() if each.startswith("| far | no | 40 |"))
    assert line.endswith("| 100.0 | 100.0 | 1.00 | 5.71 |")


def test_lengths_under_unequal_limits_are_told_up_to_a_common_horizon(tmp_path: Path) -> None:
    # As in the test of Kaplan and Meier: 10, 20, 20 cut, 40 cut; b ends all at 5.
    problems = [problem("sums", row) for row in range(4)]
    lengths = [(10, "stop", 100), (20, "stop", 100), (20, "length", 20), (40, "length", 40)]
    said = [
        *(
            Said("a", "no", each, 0, "x", "correct", tokens, finish)
            for each, (tokens, finish, _) in zip(problems, lengths, strict=True)
        ),
        *(Said("b", "no", each, 0, "x", "correct", 5) for each in problems),
    ]
    gathered = gather_runs([make_run(tmp_path / "made", said)], None)
    assert survival_table(gathered) is None  # one limit for all
    frame = gathered.frame.copy()
    frame.loc[frame["model"] == "a", "token_limit"] = [each[2] for each in lengths]
    table = survival_table(dataclasses.replace(gathered, frame=frame))
    # up to 40: 10 * 1 + 10 * 3/4 + 20 * 1/2 = 27.5; half are at most 20; p90 lies beyond
    assert table is not None
    assert table.rows == (
        ("a", "no", "sums", "20 to 100", "40", "28", "20", "–"),
        ("b", "no", "sums", "100", "40", "5", "5", "5"),
    )
