"""Small files as other harnesses write them."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evalharness import store
from evalharness.importing import LABELS, import_responses

STAMP = "2026-01-02T03-04-05.000006"


def lm_eval_line(number: int = 0, **changes: Any) -> dict[str, Any]:
    """One line of samples; the response is right."""
    line: dict[str, Any] = {
        "doc_id": number,
        "doc": {"question": f"What is {number}+1?", "level": 1},
        "target": str(number + 1),
        "arguments": {
            "gen_args_0": {"arg_0": f"Q: {number}+1?", "arg_1": {"until": [], "max_gen_toks": 64}}
        },
        "resps": [[f"It is \\boxed{{{number + 1}}}."]],
        "filtered_resps": [str(number + 1)],
        "filter": "none",
        "metrics": ["exact_match"],
        "exact_match": 1.0,
    }
    return line | changes


def lm_eval_files(folder: Path, *lines: dict[str, Any], task: str = "sums") -> Path:
    """Samples and results in a folder; the path of the samples."""
    folder.mkdir(parents=True, exist_ok=True)
    results = {
        "results": {},
        "configs": {task: {"num_fewshot": 0}},
        "model_name": "maker/model",
        "lm_eval_version": "0.4.13",
    }
    (folder / f"results_{STAMP}.json").write_text(json.dumps(results))
    path = folder / f"samples_{task}_{STAMP}.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def inspect_sample(number: int = 0, **changes: Any) -> dict[str, Any]:
    """One sample of a log; the response is right."""
    sample: dict[str, Any] = {
        "id": number,
        "epoch": 1,
        "input": f"What is {number}+1?",
        "target": str(number + 1),
        "output": {
            "choices": [
                {
                    "message": {"role": "assistant", "content": f"\\boxed{{{number + 1}}}"},
                    "stop_reason": "stop",
                }
            ],
            "usage": {"output_tokens": 9},
        },
        "scores": {"match": {"value": "C"}},
        "attachments": {},
    }
    return sample | changes


HEADER = {
    "version": 2,
    "status": "success",
    "eval": {
        "task": "sums",
        "model": "openai/model",
        "model_generate_config": {"max_tokens": 64},
        "packages": {"inspect_ai": "0.3.285"},
    },
    "plan": {"config": {}},
}


def inspect_log(path: Path, *samples: dict[str, Any], header: Any = HEADER) -> Path:
    """A `.eval` of these samples."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps(header))
        for sample in samples:
            name = f"samples/{sample['id']}_epoch_{sample['epoch']}.json"
            archive.writestr(name, json.dumps(sample))
    return path


def lighteval_row(number: int = 0, **changes: Any) -> dict[str, Any]:
    """One row of details; the response is right, has 3 tokens, the end token 9 and its filling."""
    row: dict[str, Any] = {
        "doc": {
            "query": f"What is {number}+1?",
            "choices": [str(number + 1)],
            "gold_index": 0,
            "id": str(number),
            "task_name": "sums|0",
            "generation_size": 4,
        },
        "metric": {"extractive_match": 1.0},
        "model_response": {
            "input": "Q",
            "text": [f"\\boxed{{{number + 1}}}"],
            "output_tokens": [[1, 2, 3, 9, 9]],
        },
    }
    return row | changes


def lighteval_file(folder: Path, *rows: dict[str, Any]) -> Path:
    """Details where lighteval puts them."""
    path = folder / "details" / "maker" / "model" / STAMP / f"details_sums|0_{STAMP}.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def imported(folder: Path, *files: Path, **options: Any) -> tuple[str, ...]:
    """The notes of an import into `folder`."""
    defaults: dict[str, Any] = {"columns": {}, "constants": {}}
    return import_responses(list(files), folder, **(defaults | options)).notes


def labels(folder: Path) -> dict[str, str]:
    """Problem id -> the source's verdict."""
    frame = store.verdicts_frame(folder, LABELS)
    return dict(zip(frame["problem_id"], frame["status"], strict=True))


def statuses(folder: Path) -> dict[str, str]:
    """Problem id -> our verdict."""
    (name,) = [each for each in store.verdict_names(folder) if each != LABELS]
    frame = store.verdicts_frame(folder, name)
    return dict(zip(frame["problem_id"], frame["status"], strict=True))
