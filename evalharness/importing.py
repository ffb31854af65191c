"""Responses that were generated elsewhere become a run."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalharness.benchmarks import Benchmark, ProblemIndex, normalise_gold
from evalharness.benchmarks.files import read_rows
from evalharness.definitions import suggestion
from evalharness.errors import InputError
from evalharness.records import Problem, Response, ResponseKey, Verdict
