"""Progress while a cell works: a panel in a front end, lines when nobody looks, never a part of the output."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from ..building.timeline import Event, Watch, print_watch
from ..config import Config
from ..fetching.source import FetchEvent, print_progress
from ..report import size

#: Seconds between two looks at the clock and at the logs.
_TICK = 1.0

_LOG_LINES = 4


def front_end() -> bool:
    """Whether somebody sees widgets: in Jupyter or an editor, but not under papermill, nbval or a shell."""
    seen = any(os.environ.get(name) for name in ("JPY_SESSION_NAME", "VSCODE_PID"))
    return seen and _in_kernel() and not os.environ.get("MERE_HEADLESS")


@contextmanager
def watching(config: Config) -> Iterator[Watch]:
    """What to hand to the schedule as its `watch`, for the time of the block."""
    if front_end():
        panel = _Panel(config)
        try:
            yield panel.tell
        finally:
            panel.close()
    else:
        with _lines() as file:
            yield lambda event: _line(event, file)


@contextmanager
def fetching() -> Iterator[Callable[[FetchEvent], None]]:
    """What to hand to `fetch` as its `progress`, for the time of the block."""
    if front_end():
        bar = _FetchBar()
        try:
            yield bar.tell
        finally:
            bar.close()
    elif _in_kernel():
        with _lines() as file:
            yield lambda event: _fetch_line(event, file)
    else:
        yield print_progress


def panel_html(done: int, total: int, running: list[tuple[str, float]], elapsed: float, left: float) -> str:
    """The words of the panel: how far, how long, what runs; all times in seconds."""
    words = f"<b>{done} of {total}</b> done in {_clock(elapsed)}"
    if running and left >= 1:
        words += f", about {_clock(left)} to come"
    lines = [f"{escape(id)} <span style='opacity:.6'>{_clock(seconds)}</span>" for id, seconds in running]
    return "<br>".join([words, *lines])


class _Panel:
    """A progress bar, what runs and since when, and the end of the newest log."""

    def __init__(self, config: Config) -> None:
        import ipywidgets
        from IPython.display import display

        self._config = config
        self._began = time.monotonic()
        self._running: dict[str, float] = {}
        self._last: Event | None = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._bar: Any = ipywidgets.IntProgress(min=0, max=1)
        self._words: Any = ipywidgets.HTML()
        self._log: Any = ipywidgets.HTML()
        self._shown = False
        self._display = lambda: display(ipywidgets.VBox([self._bar, self._words, self._log]))
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def tell(self, event: Event) -> None:
        with self._lock:
            if event.kind == "started":
                self._running[event.id] = time.monotonic()
            else:
                self._running.pop(event.id, None)
            self._last = event
        # A cell whose results were all there already shows no panel at all.
        if event.kind == "started" and not self._shown:
            self._shown = True
            self._display()
            self._ticker.start()
        self._draw()

    def close(self) -> None:
        self._over.set()
        if self._shown:
            self._ticker.join()
            self._log.value = ""
            self._draw()

    def _tick(self) -> None:
        while not self._over.wait(_TICK):
            self._draw()

    def _draw(self) -> None:
        with self._lock:
            event, now = self._last, time.monotonic()
            running = [(id, now - since) for id, since in self._running.items()]
        if event is None or not self._shown:
            return
        self._bar.max, self._bar.value = max(1, event.total), event.done
        self._words.value = panel_html(event.done, event.total, running, now - self._began, event.left_s)
        if not self._over.is_set():
            self._log.value = f"<pre style='opacity:.6'>{escape(self._tail(running))}</pre>"

    def _tail(self, running: list[tuple[str, float]]) -> str:
        """The last lines of the log of what was started last."""
        if not running:
            return ""
        path = self._config.logs / f"{running[-1][0].replace('/', '-')}.log"
        try:
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - 4096))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(line[:120] for line in deque(lines, _LOG_LINES))


class _FetchBar:
    """One bar for all files; the files that are on their way, below."""

    def __init__(self) -> None:
        import ipywidgets
        from IPython.display import display

        self._words: Any = ipywidgets.HTML()
        self._coming: dict[str, tuple[int, int | None]] = {}
        self._done = 0
        display(self._words)

    def tell(self, event: FetchEvent) -> None:
        if event.kind == "bytes":
            self._coming[event.name] = (event.bytes, event.total)
        elif event.kind in ("cached", "done", "failed"):
            self._coming.pop(event.name, None)
            self._done += 1
        lines = [
            f"{escape(name)} {size(so_far)}{f' of {size(total)}' if total else ''}"
            for name, (so_far, total) in sorted(self._coming.items())
        ]
        self._words.value = "<br>".join([f"<b>{self._done}</b> files verified", *lines])

    def close(self) -> None:
        self._words.value = ""


@contextmanager
def _lines() -> Iterator[Any]:
    """Where lines go: to whoever runs the book, by a pipe; to standard error of a shell; nowhere in a kernel."""
    channel = os.environ.get("MERE_PROGRESS")
    if channel:
        with open(channel, "w", buffering=1, encoding="utf-8") as file:
            yield file
    else:
        yield None if _in_kernel() else sys.stderr


def _line(event: Event, file: Any) -> None:
    # What was found needs no line: a second run of the book would print nothing else.
    if file is not None and event.kind != "found":
        print_watch(event, file=file)


def _fetch_line(event: FetchEvent, file: Any) -> None:
    if file is not None and event.kind in ("done", "failed"):
        verb = "fetched" if event.kind == "done" else "FAILED "
        print(f"{verb} {event.name} {size(event.bytes)}", file=file, flush=True)


def _in_kernel() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return hasattr(shell, "kernel")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
