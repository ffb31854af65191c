from pathlib import Path

import pytest

from evalharness import store
from evalharness.errors import InputError
from tests.exchange.made import imported, labels, lm_eval_files, lm_eval_line, statuses


def test_samples_become_responses_with_the_model_of_the_results_beside_them(
    tmp_path: Path,
) -> None:
    path = lm_eval_files(
        tmp_path / "out", lm_eval_line(0), lm_eval_line(1, resps=[["I say 3"]], exact_match=0.0)
    )
    imported(tmp_path / "run", path)
    first, second = store.read_responses(tmp_path / "run")
    assert (first.model, first.template, first.problem_id) == ("maker/model", "lm-eval", "sums/0")
    assert (first.response, first.token_limit, first.num_tokens) == ("It is \\boxed{1}.", 64, None)
    assert second.response == "I say 3"
    assert set(store.read_prompts(tmp_path / "run").values()) == {"Q: 0+1?", "Q: 1+1?"}
    assert statuses(tmp_path / "run") == {"sums/0": "correct", "sums/1": "incorrect"}
    assert labels(tmp_path / "run") == {"sums/0": "correct", "sums/1": "incorrect"}
    (source,) = store.read_spec(tmp_path / "run")["sources"]
    assert source["lm_eval_version"] == "0.4.13"
    assert source["score"] == "exact_match:none"


def test_lines_of_two_filters_are_one_response_and_the_wanted_filter_is_the_verdict(
    tmp_path: Path,
) -> None:
    strict = lm_eval_line(filter="strict-match", exact_match=0.0)
    loose = lm_eval_line(filter="flexible-extract")
    path = lm_eval_files(tmp_path / "out", strict, loose)
    notes = imported(tmp_path / "first", path)
    assert len(store.read_responses(tmp_path / "first")) == 1
    assert labels(tmp_path / "first") == {"sums/0": "incorrect"}
    assert any("exact_match:strict-match is taken" in note for note in notes)
    imported(tmp_path / "second", path, score="exact_match:flexible-extract")
    assert labels(tmp_path / "second") == {"sums/0": "correct"}


def test_several_samples_have_one_score_together_and_so_no_verdict_each(tmp_path: Path) -> None:
    path = lm_eval_files(tmp_path / "out", lm_eval_line(resps=[["1", "2", "3"]], exact_match=1.0))
    imported(tmp_path / "run", path)
    found = {row.sample_index: row.response for row in store.read_responses(tmp_path / "run")}
    assert found == {0: "1", 1: "2", 2: "3"}
    assert "label@source" not in store.verdict_names(tmp_path / "run")


def test_a_score_between_right_and_wrong_is_no_verdict(tmp_path: Path) -> None:
    path = lm_eval_files(tmp_path / "out", lm_eval_line(0, exact_match=0.5), lm_eval_line(1))
    imported(tmp_path / "run", path)
    assert labels(tmp_path / "run") == {"sums/1": "correct"}


def test_a_worked_solution_as_target_gives_its_last_line(tmp_path: Path) -> None:
    path = lm_eval_files(tmp_path / "out", lm_eval_line(target="0 and 1 are 1.\n#### 1,001"))
    imported(tmp_path / "run", path)
    (problem,) = store.read_problems(tmp_path / "run").values()
    assert problem.golds == ("1001",)


def test_a_task_with_our_problems_under_a_name_of_its_own_gets_our_golds(tmp_path: Path) -> None:
    # Rows 0 and 1 of the practice benchmark; the gold of the file is wrong.
    lines = [
        lm_eval_line(0, doc={"problem": "Work out 8 + 3."}, target="12", resps=[["11"]]),
        lm_eval_line(1, doc={"problem": "Work out 4 + 7."}, target="11", resps=[["11"]]),
    ]
    notes = imported(tmp_path / "run", lm_eval_files(tmp_path / "out", *lines, task="my_sums"))
    assert statuses(tmp_path / "run") == {"practice/0": "correct", "practice/1": "correct"}
    assert "my_sums: all its problems are those of practice" in notes
    assert any("1 of 2 rows bring a gold that is spelled otherwise" in note for note in notes)


def test_a_folder_is_read_whole_and_its_results_are_no_responses(tmp_path: Path) -> None:
    lm_eval_files(tmp_path / "out" / "a", lm_eval_line(), task="sums")
    lm_eval_files(tmp_path / "out" / "b", lm_eval_line(), task="others")
    (tmp_path / "out" / "strange.json").write_text('{"a": 1}')
    notes = imported(tmp_path / "run", tmp_path / "out")
    assert {row.problem_id for row in store.read_responses(tmp_path / "run")} == {
        "sums/0",
        "others/0",
    }
    (left_out,) = [note for note in notes if note.startswith("left out")]
    assert "strange.json" in left_out
    assert "results_" not in left_out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {
                "resps": [["-1.5", "False"]],
                "arguments": {"gen_args_0": {"arg_0": "Q", "arg_1": "A"}},
            },
            r"jsonl:1: the task compares the likelihoods",
        ),
        ({"resps": "x"}, r'jsonl:1: "resps" must be a list, not \'x\''),
        ({"doc": 7}, r'jsonl:1: "doc" must be an object, not 7'),
        ({"exact_match": 2}, r'jsonl:1: "exact_match" must be a score from 0 to 1, not 2'),
        ({"exact_match": float("nan")}, r'jsonl:1: "exact_match" must be a score from 0 to 1'),
        ({"target": float("inf")}, r"jsonl:1: gold: the gold is inf"),
        (
            {"arguments": {"gen_args_0": {"arg_0": "Q", "arg_1": {"max_gen_toks": 10**30}}}},
            r'jsonl:1: "token_limit" is too large, not a number of more than 19 digits',
        ),
    ],
)
def test_a_wrong_line_is_refused_with_its_place(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    path = lm_eval_files(tmp_path / "out", lm_eval_line(**changes))
    with pytest.raises(InputError, match=message):
        imported(tmp_path / "run", path)
    assert not (tmp_path / "run" / "responses.jsonl").exists()


def test_two_runs_in_one_file_are_refused_and_no_response_is_dropped(tmp_path: Path) -> None:
    other = lm_eval_line(resps=[["\\boxed{9}"]])
    path = lm_eval_files(tmp_path / "out", lm_eval_line(), other)
    with pytest.raises(InputError, match=r"jsonl:2: doc_id 0 stands at .*jsonl:1 already"):
        imported(tmp_path / "run", path)


def test_a_number_of_thousands_of_digits_is_refused_with_its_line(tmp_path: Path) -> None:
    path = lm_eval_files(tmp_path / "out", lm_eval_line())
    path.write_text(path.read_text() + '{"doc_id": ' + "7" * 5000 + "}\n")
    with pytest.raises(InputError, match=r"jsonl:2: not valid JSON: Exceeds the limit"):
        imported(tmp_path / "run", path)


def test_results_without_samples_say_which_flag_was_missing(tmp_path: Path) -> None:
    path = lm_eval_files(tmp_path / "out", lm_eval_line())
    results = next(path.parent.glob("results_*.json"))
    with pytest.raises(
        InputError, match=r"results of lm-eval without the responses: .*log_samples"
    ):
        imported(tmp_path / "run", results)


def test_samples_without_results_need_a_model(tmp_path: Path) -> None:
    path = lm_eval_files(tmp_path / "out", lm_eval_line())
    next(path.parent.glob("results_*.json")).unlink()
    with pytest.raises(InputError, match=r'"model" must be a text, .* --set model='):
        imported(tmp_path / "run", path)
    imported(tmp_path / "run", path, constants={"model": "mine"})
    assert store.read_responses(tmp_path / "run")[0].model == "mine"
