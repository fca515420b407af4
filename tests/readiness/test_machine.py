"""Memory, folders and GPUs, each of them amiss."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.readiness.machine import Card, folder, gpu, machine
from evalkit.readiness.outcome import size

OLD, NEW = Card("old", 16_000_000_000, False), Card("new", 24_000_000_000, True)


def test_weights_that_do_not_fit_into_memory_are_a_warning() -> None:
    checks = {check.name: check for check in machine(2_300_000_000, available=1_000_000_000)}
    assert checks["memory"].status == "warning"
    assert checks["memory"].found == "1 GB are free, and the weights alone take 2.3 GB"


def test_this_machine_has_cores_and_memory_for_no_weights() -> None:
    assert [(check.name, check.status) for check in machine(0)] == [("cores", "ok"), ("memory", "ok")]


def test_a_folder_is_made_by_the_run_and_not_by_the_look(tmp_path: Path) -> None:
    check = folder("reports_dir", tmp_path / "a" / "b", 1000)
    assert check.status == "ok"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("below", ["", "x/y"])
def test_a_file_in_a_folders_place_is_a_fault(tmp_path: Path, below: str) -> None:
    file = tmp_path / "taken"
    file.touch()
    check = folder("reports_dir", file / below, 0)
    assert check.status == "fault"
    assert check.found == f"{file / below} cannot be written (Not a directory)"
    assert check.advice == "set reports_dir to another folder"


def test_a_name_that_is_longer_than_any_can_be_is_a_fault() -> None:
    path = Path("/") / ("x" * 300)
    check = folder("cache_dir", path, 0)
    assert (check.status, check.found) == ("fault", f"{path} cannot be written (File name too long)")


def test_a_full_disk_is_a_fault(tmp_path: Path) -> None:
    check = folder("cache_dir", tmp_path, 10**18)
    assert check.status == "fault"
    assert "are free, and about 1e+06 TB are needed" in check.found


def test_where_no_model_may_use_a_gpu_torch_is_not_asked() -> None:
    assert list(gpu([{"threads": None}], None)) == []


def test_a_gpu_that_is_not_there_is_a_fault() -> None:
    (check,) = gpu([{"device": ["cuda:0", "cuda:1"], "dtype": "float16"}], [NEW])
    assert check.status == "fault"
    assert check.found == "new with 24 GB; cuda:1 is asked for"


def test_torch_itself_is_asked_which_gpus_there_are() -> None:
    torch = pytest.importorskip("torch")
    (check,) = gpu([{"device": f"cuda:{torch.cuda.device_count()}", "dtype": "float32"}])
    assert check.status == "fault"


def test_bfloat16_on_a_gpu_without_it_is_a_warning() -> None:
    settings = {"device": None, "dtype": "bfloat16"}
    assert [check.status for card in (OLD, NEW) for check in gpu([settings], [card])] == ["warning", "ok"]


def test_without_a_gpu_null_means_the_cpu() -> None:
    (check,) = gpu([{"device": None, "dtype": "float32"}], [])
    assert (check.status, check.found) == ("ok", "none that torch sees")


@pytest.mark.parametrize(("n_bytes", "said"), [(2.3e9, "2.3 GB"), (68_543_000_000, "68.5 GB"), (10, "1e-05 MB")])
def test_sizes_are_said_as_people_read_them(n_bytes: float, said: str) -> None:
    assert size(n_bytes) == said
