import importlib.util
import json
import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import evalharness
from evalharness import Policy, check, check_frame, group_answers, make_reward, reward
from evalharness.checking.shared import shared_pool
from evalharness.errors import InputError

ROOT = str(Path(evalharness.__file__).parents[1])
pytestmark = pytest.mark.skipif(os.name != "posix", reason="workers are killed by signals")


def run_python(*arguments: str, code: str | None = None) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        input=code,
        env={**os.environ, "PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_gold_or_several_are_accepted() -> None:
    assert check("25", "\\boxed{5^2}").status == "correct"
    found = check(("1.6", "1.4"), "\\boxed{\\frac{7}{5}}")
    assert (found.status, found.gold) == ("correct", "1.4")
    assert check((), "\\boxed{1}").status == "error"


def test_the_verdict_says_under_which_policy() -> None:
    assert check("25", "\\boxed{25}").policy == ""
    policy = Policy(units="compare", absolute_tolerance=0.1)
    assert check("25", "\\boxed{25}", policy=policy).policy == (
        "units=compare, absolute_tolerance=0.1"
    )


def test_the_checker_is_imported_when_it_is_asked_for() -> None:
    code = (
        "import sys, evalharness\n"
        "before = 'evalharness.checking' in sys.modules\n"
        "from evalharness import check\n"
        "print(before, check.__module__, 'sympy' in sys.modules)\n"
    )
    assert run_python("-c", code) == "False evalharness.checking.shared False\n"
    with pytest.raises(AttributeError, match="no attribute 'chek'"):
        evalharness.chek  # noqa: B018 - reading it is the test


def test_it_works_in_a_program_without_a_file_as_in_a_notebook() -> None:
    code = (
        "from evalharness import check\n"
        "print(check('25', r'\\boxed{5^2}').status, check('25', r'\\boxed{6^2}').status)\n"
    )
    assert run_python("-", code=code) == "correct incorrect\n"


def test_eight_threads_share_one_pool() -> None:
    statuses: list[list[str]] = []

    def work() -> None:
        statuses.append([check("16", f"\\boxed{{{n}^2}}").status for n in (3, 4)])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [["incorrect", "correct"]] * 8


def _check_in_child(queue: Any) -> None:
    queue.put((check("16", "\\boxed{2^4}").status, os.getpid()))


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_process_has_workers_of_its_own(method: str) -> None:
    # The parent's pool has live threads and workers: a forked child must not wait for them.
    assert check("16", "\\boxed{4^2}").status == "correct"
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=_check_in_child, args=(queue,))
    child.start()
    status, pid = queue.get(timeout=120)
    child.join(timeout=120)
    assert (status, child.exitcode) == ("correct", 0)
    assert pid != os.getpid()
    assert check("16", "\\boxed{8+8}").status == "correct"


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray isn't installed")
def test_it_works_in_ray_tasks() -> None:
    code = (
        "import ray\n"
        "from evalharness import check\n"
        "ray.init(address='local', num_cpus=1, include_dashboard=False, log_to_driver=False)\n"
        "judge = ray.remote(lambda n: check('16', r'\\boxed{\\sqrt{%d}}' % n).status)\n"
        "print(ray.get([judge.remote(n) for n in (255, 256)]))\n"
    )
    assert run_python("-c", code).splitlines()[-1] == "['incorrect', 'correct']"


def test_a_frame_gets_one_verdict_a_row_under_its_own_index() -> None:
    frame = pd.DataFrame(
        {
            "text": ["\\boxed{2}", "no idea", "\\boxed{0.5}", "\\boxed{3}"],
            "answer": [2, "7", ["1", "\\frac{1}{2}"], 4.0],
        },
        index=[10, 20, 30, 40],
    )
    found = check_frame(frame, "text", "answer")
    assert list(found.index) == [10, 20, 30, 40]
    assert list(found["status"]) == ["correct", "no_answer", "correct", "incorrect"]
    assert list(found["gold"]) == ["2", "7", "\\frac{1}{2}", "4.0"]
    assert found.loc[30, "extracted"] == "0.5"


def test_a_frame_that_cannot_be_checked_says_where() -> None:
    frame = pd.DataFrame({"response": ["\\boxed{2}", None], "gold": [float("nan"), "2"]})
    with pytest.raises(InputError, match=r'no column "golds"; did you mean "gold"\? It has'):
        check_frame(frame, gold_column="golds")
    with pytest.raises(InputError, match="row 0: a gold must be a text"):
        check_frame(frame)
    with pytest.raises(InputError, match="row 1: the response must be a text, not"):
        check_frame(frame[1:])


def test_an_empty_frame_has_no_verdicts() -> None:
    found = check_frame(pd.DataFrame({"response": [], "gold": []}))
    assert len(found) == 0
    assert "status" in found.columns


def test_the_reward_takes_what_a_trl_trainer_passes() -> None:
    told: dict[str, Any] = {
        "prompts": ["a", "b"],
        "trainer_state": None,
        "completion_ids": [[1], [2]],
    }
    assert reward(completions=["\\boxed{2}", "\\boxed{3}"], answer=["2", "2"], **told) == [1.0, 0.0]
    chat = [
        [{"role": "assistant", "content": "\\boxed{2}"}],
        [{"role": "assistant", "content": ""}],
    ]
    assert reward(completions=chat, solution=["2", "2"], **told) == [1.0, 0.0]
    assert make_reward("mine")(completions=["\\boxed{2}"], mine=[["1", 2]]) == [1.0]


def test_a_row_without_a_gold_gets_the_none_that_trl_leaves_out() -> None:
    assert reward(completions=["\\boxed{2}", "\\boxed{2}"], gold=[None, "2"]) == [None, 1.0]


def test_the_reward_asks_for_the_place_that_the_template_names() -> None:
    boxed = make_reward(answer_format=("box",))
    assert boxed(completions=["The answer is 2."], gold=["2"]) == [0.0]
    lenient = make_reward(answer_format=("box",), is_lenient=True)
    assert lenient(completions=["The answer is 2."], gold=["2"]) == [1.0]
    assert boxed.__name__ == "evalharness_reward"


def test_a_reward_without_golds_is_refused() -> None:
    with pytest.raises(InputError, match=r"no column gold or answer .* it gives prompts"):
        reward(completions=["\\boxed{2}"], prompts=["a"])
    with pytest.raises(InputError, match="completion 0: a gold must be"):
        reward(completions=["\\boxed{2}"], gold=[float("nan")])
    with pytest.raises(InputError, match='unknown place "bx"'):
        make_reward(answer_format=("bx",))


def test_equal_answers_vote_together() -> None:
    answers = ["\\frac{1}{2}", "0.5", None, "2", "0.50", "\\frac12", "2", "x"]
    assert group_answers(answers) == [0, 0, -1, 1, 0, 0, 1, 2]
    assert group_answers([]) == []
    assert group_answers([None]) == [-1]


def test_the_same_question_is_answered_from_memory() -> None:
    pool = shared_pool()
    first = pool.compare(("25",), "4^2+9", Policy())
    assert pool.compare(("25",), "4^2+9", Policy()) is first
    assert pool.compare(("25",), "4^2+9", Policy(units="compare")) is not first
    assert first.result().status == "correct"


def test_check_explains_one_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    from evalharness.cli import main

    assert main(["check", "2", "The answer is 2.", "--template", "no"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "no_answer: no \\boxed{} in the response"
    assert "  elsewhere  2, by sentence: correct" in lines
    assert "  right is   the same answer, 2, as \\boxed{}" in lines
    assert main(["check", "2", "\\boxed{3}", "--benchmark", "olympiadbench/316", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["status"], found["extracted"]) == ("incorrect", "3")
    assert found["policy"]["absolute_tolerance"] == 0.1
    assert found["would_be_correct"].startswith("an answer equal to 2")
    assert main(["check", "2", "\\boxed{2}", "--benchmark", "olimpiadbench"]) == 2
    assert 'did you mean "olympiadbench"?' in capsys.readouterr().err
    assert main(["check", "2", "\\boxed{2}", "--checker", "math-verfy"]) == 2
    assert 'did you mean "math-verify"?' in capsys.readouterr().err
