"""Settings from the environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mere_helpers.config import EPOCH, clean_environment, load_config
from mere_helpers.errors import MereError


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "recipes").mkdir()
    return {"MERE_CHECKOUT": str(tmp_path), "HOME": "/home/reader"}


def test_defaults(environment: dict[str, str], tmp_path: Path) -> None:
    config = load_config(environment)
    assert config.recipes == tmp_path / "recipes"
    assert config.store == Path("/home/reader/.cache/mere")
    assert config.sources == config.store / "sources"
    assert config.work == config.store / "work"
    assert config.logs == config.store / "logs"
    assert config.mirrors == ()
    assert not config.offline
    assert config.jobs == os.cpu_count()
    assert config.budget_s is None


def test_every_variable_is_read(environment: dict[str, str]) -> None:
    config = load_config(
        environment
        | {
            "MERE_STORE": "/s",
            "MERE_SOURCES": "/t",
            "MERE_MIRRORS": " /m  https://example.org/files ",
            "MERE_OFFLINE": "1",
            "MERE_JOBS": "3",
            "MERE_BUDGET": "0.5",
        }
    )
    assert (config.store, config.sources) == (Path("/s"), Path("/t"))
    assert config.mirrors == ("/m", "https://example.org/files")
    assert config.offline
    assert config.jobs == 3
    assert config.budget_s == 0.5


def test_relative_folders_are_the_same_wherever_a_kernel_runs(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment |= {"MERE_STORE": "s", "MERE_SOURCES": "t", "MERE_SUBSTITUTES": "u", "MERE_MIRRORS": "m file:///n"}
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    config = load_config(environment)
    assert (config.store, config.sources) == (tmp_path / "s", tmp_path / "t")
    assert config.substitutes == str(tmp_path / "u")
    assert config.mirrors == (str(tmp_path / "m"), "file:///n")
    environment["MERE_SUBSTITUTES"] = "https://example.org/built"
    assert load_config(environment).substitutes == "https://example.org/built"


@pytest.mark.parametrize(("cache", "store"), [("/c", "/c/mere"), ("relative", "/home/reader/.cache/mere")])
def test_cache_folder_counts_only_when_absolute(environment: dict[str, str], cache: str, store: str) -> None:
    assert load_config(environment | {"XDG_CACHE_HOME": cache}).store == Path(store)


def test_the_checkout_is_found_from_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MERE_CHECKOUT", raising=False)
    assert load_config().checkout == Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MERE_JOBS", "0"),
        ("MERE_JOBS", "1.5"),
        ("MERE_JOBS", "many"),
        ("MERE_BUDGET", "-1"),
        ("MERE_BUDGET", "nan"),
        ("MERE_BUDGET", "inf"),
        ("MERE_OFFLINE", "yes"),
    ],
)
def test_nonsense_is_refused_by_name(environment: dict[str, str], name: str, value: str) -> None:
    with pytest.raises(MereError, match=f"{name} is '{value}'"):
        load_config(environment | {name: value})


def test_a_folder_without_recipes_is_no_checkout(tmp_path: Path) -> None:
    with pytest.raises(MereError, match="no recipes in"):
        load_config({"MERE_CHECKOUT": str(tmp_path), "HOME": "/"})


def test_a_clean_environment_has_nothing_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFLAGS", "-g")
    environment = clean_environment(HOME="/build", PATH="/bin")
    assert environment == {
        "LC_ALL": "C",
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": str(EPOCH),
        "PATH": "/bin",
        "HOME": "/build",
    }
