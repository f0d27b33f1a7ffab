"""The panel that a front end shows while a cell works: how far it is, what runs, its log, and a button to stop it.

A kernel is busy while a cell runs. What its reader types and presses all the same reaches us on a *subshell*, a thread
that the front end asks the kernel for; JupyterLab does so, from 4.4 on. In a front end that does not there are no
buttons here, because they would do nothing, but a word about interrupting the kernel.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from html import escape
from typing import Any

import ipywidgets
from IPython.display import display

from ..building.timeline import Event
from ..config import Config
from ..drawing.recorded import recorded_run
from ..errors import MereError
from ..fetching.source import FetchEvent
from ..report import Text, size
from .buildlog import KEPT, BuildLog, against, clock, matching
from .frontend import Shown, answers, grid, interrupt_cell, printed

#: Seconds between two looks at the clock and at the logs.
_TICK = 1.0

_LOG_LINES = 12
_WIDEST = 200
_NEWEST = "what began last"
_HOW_TO_STOP = "To stop it, interrupt the kernel; what is finished is kept."


class _Panel:
    """What both panels share: a button that stops the cell, and a thread that looks at the clock."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.over = threading.Event()
        self.cancel = ipywidgets.Button(description="Cancel", tooltip="stop; what is finished is kept")
        self.cancel.on_click(self._stop)
        self.hint = ipywidgets.HTML(_HOW_TO_STOP)
        self.controls: Any = ipywidgets.VBox([self.cancel])
        self._place: Any = None
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def show(self, parts: Sequence[Any]) -> None:
        """Put the panel below the cell, and keep it up to date from now on."""
        self._offer()
        self._place = display(Shown(ipywidgets.VBox([*parts]), Text("")), display_id=True)
        self._ticker.start()

    def close(self) -> None:
        """The cell is over: the panel goes, and nothing can be pressed any more."""
        with self.lock:
            self.over.set()
        if self._ticker.is_alive():
            self._ticker.join()
        self.controls.layout.display = self.hint.layout.display = "none"
        self.draw()
        if self._place:
            # A notebook that is opened again would look for the widget in vain, and say so; and all is over then.
            self._place.update({"text/plain": ""}, raw=True)

    def draw(self) -> None:
        """Show what has changed."""
        raise NotImplementedError

    def _offer(self) -> None:
        heard = answers()
        self.controls.layout.display = "" if heard else "none"
        self.hint.layout.display = "none" if heard else ""

    def _tick(self) -> None:
        while not self.over.wait(_TICK):
            self._offer()
            self.draw()

    def _stop(self, button: Any) -> None:
        with self.lock:
            # A press that comes late must not hit the next cell.
            if not self.over.is_set():
                button.disabled, button.description = True, "Stopping …"
                interrupt_cell()


class BuildPanel(_Panel):
    """For a run of the schedule: hand it `tell`.

    A cell whose results were all there shows no panel at all.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self._logs = config.logs
        self._expected = _expected_s(config)
        self._began = time.monotonic()
        self._running: dict[str, tuple[float, BuildLog]] = {}
        self._last: Event | None = None
        self._told = self._began
        self._bar: Any = ipywidgets.IntProgress(min=0, max=1, layout={"width": "16em"})
        self._words: Any = ipywidgets.HTML()
        self._builds: Any = ipywidgets.HTML()
        self._choice: Any = ipywidgets.Dropdown(
            options=[_NEWEST], description="Log of", layout={"width": "auto"}, style={"description_width": "initial"}
        )
        self._search: Any = ipywidgets.Text(placeholder="show only lines with …", layout={"width": "18em"})
        self._log: Any = ipywidgets.HTML(layout={"width": "auto"})
        self.controls = ipywidgets.HBox([self._choice, self._search, self.cancel])
        for control in (self._choice, self._search):
            control.observe(lambda change: self.draw(), "value")

    def tell(self, event: Event) -> None:
        """Take notice of an event of the schedule."""
        with self.lock:
            if event.kind == "started":
                # The build may have begun a moment before we were told.
                log = BuildLog(self._logs / f"{event.id.replace('/', '-')}.log", time.time() - 1)
                self._running[event.id] = time.monotonic(), log
            else:
                self._running.pop(event.id, None)
            self._last, self._told = event, time.monotonic()
        if event.kind == "started" and not self._shown:
            above = ipywidgets.HBox([self._bar, self._words])
            self.show([above, self._builds, self.controls, self.hint, self._log])
        self.draw()

    def kept(self) -> str:
        """What is left after the run was stopped."""
        done, total = (self._last.done, self._last.total) if self._last else (0, 0)
        return (
            f"{done} of {total} builds are finished, and kept; what was under way has been removed. "
            "Run the cell again to go on."
        )

    def draw(self) -> None:
        with self.lock:
            event, now = self._last, time.monotonic()
            if event is None:
                return
            self._bar.max, self._bar.value = max(1, event.total), event.done
            left = event.left_s - (now - self._told) if self._running and not self.over.is_set() else 0.0
            self._words.value = progress_words(event.done, event.total, now - self._began, left)
            if self.over.is_set():
                self._builds.value = self._log.value = ""
                return
            for _, log in self._running.values():
                log.read()
            rows = [(id, log.phase, now - since) for id, (since, log) in self._running.items()]
            self._builds.value = builds_html(rows, self._expected)
            self._offer_logs()
            chosen = self._choice.value if self._choice.value in self._running else next(reversed(self._running), "")
            if chosen:
                self._log.value = log_html(self._running[chosen][1].lines, self._search.value)

    @property
    def _shown(self) -> bool:
        return self._ticker.ident is not None

    def _offer_logs(self) -> None:
        options = (_NEWEST, *self._running)
        if self._choice.options != options:
            chosen = self._choice.value
            with self._choice.hold_sync():
                self._choice.options = options
                self._choice.value = chosen if chosen in options else _NEWEST


class FetchPanel(_Panel):
    """For a run of `fetch`: how many files are there, and how much of those on their way."""

    def __init__(self) -> None:
        super().__init__()
        self._words: Any = ipywidgets.HTML()
        self._coming: dict[str, tuple[int, int | None]] = {}
        self._done = 0
        self.controls = ipywidgets.HBox([self.cancel])
        self.show([self._words, self.controls, self.hint])

    def tell(self, event: FetchEvent) -> None:
        """Take notice of what happened to a file."""
        with self.lock:
            if event.kind == "bytes":
                self._coming[event.name] = (event.bytes, event.total)
            elif event.kind in ("cached", "done", "failed"):
                self._coming.pop(event.name, None)
                self._done += event.kind != "failed"

    def kept(self) -> str:
        """What is left after fetching was stopped."""
        return f"{self._done} files are verified, and kept. Run the cell again to go on."

    def draw(self) -> None:
        with self.lock:
            rows = [
                (escape(name), size(so_far) + (f" of {size(total)}" if total else ""))
                for name, (so_far, total) in sorted(self._coming.items())
            ]
            verified = f"<b>{self._done}</b> files verified"
            self._words.value = "" if self.over.is_set() else verified + grid(rows)


def progress_words(done: int, total: int, elapsed: float, left: float) -> str:
    """How far a run is, and how long it takes; both times in seconds."""
    words = f"<b>{done} of {total}</b> done in {clock(elapsed)}"
    return f"{words}, about {clock(left)} to come" if left >= 1 else words


def builds_html(running: Sequence[tuple[str, str, float]], expected: dict[str, float]) -> str:
    """What runs: id, phase and seconds since its start, these against what is expected where that is known."""
    rows = [(escape(id), escape(phase), against(seconds, expected.get(id))) for id, phase, seconds in running]
    return grid(rows, ("build", "phase", "time")) if rows else ""


def log_html(lines: Sequence[str], words: str) -> str:
    """The end of a log, or the last of its lines that hold these words."""
    found = matching(lines, words)
    last = "\n".join(line[:_WIDEST] for line in found[-_LOG_LINES:])
    note = f"{len(found)} of the last {min(len(lines), KEPT)} lines hold “{escape(words)}”" if words else ""
    return printed(last, _LOG_LINES) + note


def _expected_s(config: Config) -> dict[str, float]:
    """Seconds that each build took in the recorded run, by id; nothing where there is no record."""
    try:
        run = recorded_run(config)
    except MereError:
        return {}
    return {id: cost.ended - cost.started for id, cost in run.builds.items()}
