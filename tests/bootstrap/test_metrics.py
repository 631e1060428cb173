"""The metrics of several workers, read from the files that they share."""

from pathlib import Path

import pytest
from prometheus_client import REGISTRY, generate_latest

from app import metrics


def test_the_guide_of_operations_names_each_metric() -> None:
    guide = Path(__file__).parents[2].joinpath("docs/operations.md").read_text("utf-8")
    names = {family.name for family in REGISTRY.collect() if family.name.startswith("baton_")}
    assert "baton_gathered_requests" in names
    assert [name for name in names if f"`{name}" not in guide] == []


def test_a_file_that_a_worker_is_just_creating_does_not_disturb_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(metrics.FOLDER, str(tmp_path))
    for name in ("counter_1.db", "histogram_1.db", "gauge_livemostrecent_1.db"):
        (tmp_path / name).touch()
    shown = generate_latest(metrics.registry()).decode()
    assert "baton_" not in shown
    assert 'process_resident_memory_bytes{pid="1"}' in shown


def test_a_file_that_was_removed_since_it_was_listed_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "counter_1.db").symlink_to(tmp_path / "removed")
    assert list(metrics.Values(tmp_path).collect()) == []


def test_the_folder_is_named_in_the_environment_while_it_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(metrics.FOLDER, raising=False)
    with metrics.shared_folder() as folder:
        assert metrics.registry() is not REGISTRY
        assert folder.is_dir()
    assert metrics.registry() is REGISTRY
    assert not folder.exists()
