"""The benchmarks' arithmetic; no measured figure decides a test."""

import json
import os
import time
from pathlib import Path

import pytest

from benchmarks.bench import combined
from benchmarks.cpu import Meter, memory_mib, peak_mib
from benchmarks.figures import Run, per_operation_us, percentile, ratio_of
from benchmarks.layers import LAYERS, layer_of, read_profile
from benchmarks.people import form_fills, person

ROOT = Path(__file__).parents[2]


def run(count: int, app_us: float = 100.0, p50_ms: float = 1.0) -> Run:
    return Run(count, 2.0, p50_ms, 9.0, app_us, 50.0, 80.0)


@pytest.mark.parametrize(("share", "value"), [(0.5, 2.0), (0.99, 4.0), (0.25, 1.0), (0.0, 1.0), (1.0, 4.0)])
def test_a_percentile_is_the_smallest_value_that_enough_do_not_exceed(share: float, value: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], share) == value


def test_without_operations_there_is_no_percentile_and_no_cost() -> None:
    assert percentile([], 0.5) is None
    assert per_operation_us(1.0, 0) == 0
    assert ratio_of(1.0, 0.0) == float("inf")


def test_rates_and_costs_are_those_of_the_counted_operations() -> None:
    assert run(10).rate == 5
    assert run(10).cpu_us == 150
    assert per_operation_us(0.5, 1000) == 500


def test_combined_runs_are_weighted_by_their_operations() -> None:
    both = combined([run(100, 100.0, 1.0), run(300, 200.0, 3.0), run(0, 900.0, 2.0)])
    assert (both.count, both.seconds, both.app_us, both.p50_ms) == (400, 6.0, 175.0, 2.0)


def test_the_meter_measures_cpu_and_memory_of_a_process() -> None:
    meter = Meter(os.getpid(), os.getpid())
    ends = time.process_time() + 0.1
    while time.process_time() < ends:
        pass
    assert meter.run(1).app_us >= 50_000
    assert 0 < memory_mib(os.getpid()) <= peak_mib(os.getpid()) + 64


def test_a_stack_belongs_to_the_layer_of_the_innermost_known_frame(tmp_path: Path) -> None:
    hashing = ["/usr/lib/python3.11/hmac.py:digest", "/x/app/sources/verify.py:_is_signed", "/x/fastapi/routing.py:app"]
    assert layer_of(hashing) == "signature"
    assert layer_of(["/usr/lib/python3.11/selectors.py:select"]) == "interpreter"
    (tmp_path / "samples").write_text(json.dumps([[hashing, 3], [["/x/sqlalchemy/engine/base.py:execute"], 1]]))
    assert read_profile(tmp_path / "samples", "x", run(10)).layers == [("signature", 75.0), ("SQLAlchemy", 25.0)]


@pytest.mark.parametrize("part", [part for part, _ in LAYERS if part.startswith(("/app/", "/benchmarks/"))])
def test_every_layer_of_our_own_code_is_a_file_or_folder_of_the_tree(part: str) -> None:
    assert any(part in path.as_posix() for path in [*ROOT.glob("app/**/*.py"), *ROOT.glob("benchmarks/**/*.py")])


def test_form_fills_have_sixteen_fields_and_are_all_different() -> None:
    assert len(person(7, "abcdef")) == 16
    assert len(set(form_fills("/v1/ingest/x", 20))) == 20
