"""A comparison that could not be made is told from one that found a difference, and takes nothing back; all real."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mere_helpers.cli import OUT_OF_TIME, UNTRIED
from mere_helpers.fetching.cache import source_path
from mere_helpers.verify.digests import Digests, recorded_digests, update
from mere_helpers.verify.records import record_proof, recorded_proofs

from .small_rounds import SmallRounds, file_of

pytest_plugins = ("tests.rooms", "tests.small_rounds")
pytestmark = pytest.mark.containers

#: A file system without room for what is built elsewhere. It is there for the command alone.
_SMALL_DISK = 'mkdir -p "$MERE_STORE/work/elsewhere"; mount -t tmpfs -o size=32m none "$MERE_STORE/work/elsewhere"'

#: The same store on a disk that is full to the last block.
_FULL_DISK = """\
mount -t tmpfs -o size=96m,mode=755 none /mnt
cp -a "$MERE_STORE/." /mnt
! head -c 200m /dev/zero 2> /dev/null > /mnt/zero
mount --bind /mnt "$MERE_STORE"
"""

_needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a file system")


@pytest.fixture
def record(rounds: SmallRounds) -> Iterator[Path]:
    """Everything is proved about all packages, in a form of which the commands would not leave a byte by themselves."""
    packages = recorded_digests(rounds.config).packages
    for proof in ("elsewhere", "round 3"):
        record_proof(rounds.config, proof, packages)
    rounds.record.write_text(f"# Written by hand.\n{rounds.record.read_text()}")
    rounds.forget("confirm")
    yield rounds.record
    rounds.switch(on=False)


def _lost(rounds: SmallRounds, proof: str) -> set[str]:
    """The packages of which a proof says nothing any more."""
    return recorded_digests(rounds.config).packages.keys() - recorded_proofs(rounds.config)[proof].keys()


def test_a_difference_elsewhere_is_shown_and_refutes_nothing_but_itself(rounds: SmallRounds, record: Path) -> None:
    done = rounds.command("vary")
    assert done.returncode == 1, done.stderr
    assert _lost(rounds, "elsewhere") == {file_of("differs")} and _lost(rounds, "round 3") == set()
    assert f"{file_of('differs')}: share/differs differs" in done.stderr
    assert "rebuild/breaks could not be tried: it could not be built elsewhere: rebuild/breaks failed" in done.stderr
    assert "1 of 5 recipes are not equal elsewhere" in done.stderr and "1 of 5 could not be tried" in done.stderr
    assert "equal  rebuild/same\n" in done.stderr


def test_what_is_equal_elsewhere_is_recorded_with_status_0(rounds: SmallRounds, record: Path) -> None:
    record.unlink()
    assert rounds.command("vary", "same").returncode == 0
    assert recorded_proofs(rounds.config) == {
        "elsewhere": {file_of("same"): recorded_digests(rounds.config).packages[file_of("same")]}
    }


def test_a_build_that_fails_elsewhere_is_no_difference(rounds: SmallRounds, record: Path) -> None:
    before = record.read_bytes()
    done = rounds.command("vary", "breaks", "same")
    assert done.returncode == UNTRIED and record.read_bytes() == before
    assert "rebuild/breaks could not be tried: it could not be built elsewhere" in done.stderr
    assert "out of luck" in done.stderr and "equal  rebuild/same\n" in done.stderr


@_needs_root
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        # Whoever comes first: our own look at the disk, or the disk.
        ("floods", r"the disk is nearly full|No space left on device"),
        ("differs", "the packages differ, but the disk is full"),
    ],
)
def test_neither_a_failure_nor_a_difference_on_a_full_disk_refutes(
    rounds: SmallRounds, record: Path, name: str, reason: str
) -> None:
    before = record.read_bytes()
    done = rounds.command("vary", name, before=_SMALL_DISK)
    assert done.returncode == UNTRIED and record.read_bytes() == before
    assert f"rebuild/{name} could not be tried: " in done.stderr and re.search(reason, done.stderr)
    assert "hint: the disk is full" in done.stderr


@_needs_root
@pytest.mark.parametrize("words", [("vary", "same"), ("confirm",)])
def test_a_full_store_refutes_nothing(rounds: SmallRounds, record: Path, words: tuple[str, ...]) -> None:
    before = record.read_bytes()
    done = rounds.command(*words, before=_FULL_DISK)
    assert done.returncode == UNTRIED and record.read_bytes() == before
    assert "could not be tried" in done.stderr and "the disk is full" in done.stderr


@_needs_root
def test_a_full_checkout_keeps_the_record_it_has(rounds: SmallRounds, record: Path) -> None:
    record.write_text(record.read_text().replace(file_of("same"), file_of("older")))
    before = record.read_bytes()
    full = """\
        mount -t tmpfs -o size=16m,mode=755 none /mnt
        cp -a "$MERE_CHECKOUT/recipes/." /mnt
        ! head -c 32m /dev/zero 2> /dev/null > /mnt/zero
        mount --bind /mnt "$MERE_CHECKOUT/recipes"
    """
    # Nobody else sees that file system, so the command line ends with a look at it.
    look = '"$@" || status=$?; cd "$MERE_CHECKOUT/recipes"; ls; cat proofs.toml; exit ${status-0}'
    done = rounds.command("vary", "same", before=full + look)
    assert done.returncode == UNTRIED and "cannot write recipes/proofs.toml: No space left" in done.stderr
    assert done.stdout.endswith(before.decode()) and "proofs.new" not in done.stdout


@pytest.mark.parametrize("words", [("vary",), ("confirm",)])
def test_a_deadline_that_has_passed_refutes_nothing(rounds: SmallRounds, record: Path, words: tuple[str, ...]) -> None:
    before = record.read_bytes()
    done = rounds.command(*words, MERE_DEADLINE="1")
    assert done.returncode == OUT_OF_TIME and record.read_bytes() == before
    assert "same could not be tried: the time is up" in done.stderr and "5 of 5 could not be tried" in done.stderr


def test_a_missing_source_refutes_nothing(rounds: SmallRounds, record: Path) -> None:
    before = record.read_bytes()
    (source,) = {source_path(rounds.config, s) for s in rounds.plan.recipes["rebuild/same"].sources}
    source.unlink()
    vary = rounds.command("vary", "same", MERE_OFFLINE="1")
    confirm = rounds.command("confirm")
    assert vary.returncode == confirm.returncode == UNTRIED and record.read_bytes() == before
    assert "the build elsewhere could not be tried: " in vary.stderr and "switch" in vary.stderr
    assert "confirm/same could not be tried: " in confirm.stderr


def test_a_third_round_refutes_what_differs_and_tries_everything_else(rounds: SmallRounds, record: Path) -> None:
    rounds.switch(on=True)
    done = rounds.command("confirm")
    assert done.returncode == 1, done.stderr
    assert _lost(rounds, "round 3") == {file_of("differs")} and _lost(rounds, "elsewhere") == set()
    assert "confirm/differs failed: it is not what rebuild/differs is" in done.stderr
    assert f"{file_of('differs')}: share/differs differs" in done.stderr
    assert "confirm/breaks could not be tried: it could not be built in a third round" in done.stderr
    for name in ("base-layout", "floods", "same"):
        assert f"equal  confirm/{name}\n" in done.stderr
    rounds.switch(on=False)
    again = rounds.command("confirm")
    assert again.returncode == 0 and _lost(rounds, "round 3") == set()


def test_sums_that_differ_are_told_from_sums_that_could_not_be_had(rounds: SmallRounds, record: Path) -> None:
    before = record.read_bytes()
    recorded = recorded_digests(rounds.config)
    assert rounds.command("digests").returncode == 0
    file = rounds.entries("rebuild")["same"].tree / file_of("same")
    whole = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(bytes(len(whole)))
    # With its mode as it was: what the disk has changed, no look at the file shows.
    file.chmod(0o444)
    try:
        done = rounds.command("digests")
    finally:
        file.chmod(0o644)
        file.write_bytes(whole)
        file.chmod(0o444)
    assert done.returncode == UNTRIED and "could not be tried: the stored outputs of rebuild/same" in done.stderr
    update(rounds.config, Digests(recorded.sources, {**recorded.packages, file_of("same"): "0" * 64}))
    try:
        done = rounds.command("digests")
    finally:
        update(rounds.config, recorded)
    assert done.returncode == 1 and "DifferenceError: not as in recipes/digests.toml:" in done.stderr
    rounds.forget("rebuild")
    try:
        done = rounds.command("digests", MERE_DEADLINE="1")
    finally:
        rounds.build()
    assert done.returncode == OUT_OF_TIME and "could not be tried: the time is up" in done.stderr
    assert record.read_bytes() == before


def test_a_package_file_that_is_not_there_is_no_difference(rounds: SmallRounds, tmp_path: Path) -> None:
    done = rounds.command("rebuild", str(tmp_path / file_of("same")))
    assert done.returncode == UNTRIED and f"{file_of('same')} could not be tried: " in done.stderr


@pytest.mark.parametrize("word", ["digests", "rebuild", "vary", "confirm", "chain"])
def test_the_statuses_are_explained(rounds: SmallRounds, word: str) -> None:
    assert "1 a comparison has ended with a difference; 2" in " ".join(rounds.command(word, "--help").stdout.split())
