"""Progress while a cell works, where a front end shows it: how far it is, what runs, a log, and a button to stop it.

A kernel is busy while a cell runs. What its reader types and presses all the same reaches us on a *subshell*, a thread
that the front end asks the kernel for; JupyterLab does so, from 4.4 on. In a front end that does not there are no
buttons here, because they would do nothing, but a word about interrupting the kernel.
"""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from ...building.costs import Event, Watch
from ...building.recorded import recorded_run
from ...config import Config
from ...errors import MereError
from ...fetching.cache import FetchEvent
from ...files import last_lines
from ...frontend import front_end
from ...progress import Progress
from ...text import printable, size
from .html import Shown, grid, printed

#: Seconds between two looks at the clock and at the logs.
_TICK = 1.0

#: Lines of a log that are searched, and those that are shown, each so many characters wide at most.
KEPT, _LOG_LINES, _WIDEST = 5000, 12, 200
_NEWEST = "what began last"

#: What a build says when it comes to a new phase: makepkg, and our own `step.bash`.
_PHASES = (
    (re.compile(r"==> Starting ([\w.+-]+)\(\)"), r"\1"),
    (re.compile(r"==> (prepare|build|package)$"), r"\1"),
    (re.compile(r"==> (unpack |Extracting sources)"), "unpacking"),
    (re.compile(r"==> Retrieving sources"), "fetching"),
    (re.compile(r"==> Validating source files"), "verifying"),
    (re.compile(r"==> Tidying install"), "tidying"),
    (re.compile(r"==> Creating package"), "packing"),
)


class Stopped(KeyboardInterrupt):
    """The reader has stopped a cell: by a button, or by interrupting the kernel. A cell shows one line of it."""

    def _render_traceback_(self) -> list[str]:
        return [f"Stopped: {self}"]


@contextmanager
def stoppable() -> Iterator[None]:
    """Around a block, or a function: an interrupt of it while somebody watches is a `Stopped`."""
    try:
        yield
    except Stopped:
        raise
    except KeyboardInterrupt:
        if not front_end():
            raise
        raise Stopped("what was under way has been ended. Run the cell again to begin it anew.") from None


class Panels(Progress):
    """Panels where somebody looks, and lines elsewhere; an interrupt of a panel's block is a `Stopped`."""

    def builds(self, config: Config) -> AbstractContextManager[Watch]:
        """A panel of builds."""
        return BuildPanel(config) if front_end() else super().builds(config)

    def fetches(self) -> AbstractContextManager[Callable[[FetchEvent], None]]:
        """A panel of files."""
        return FetchPanel() if front_end() else super().fetches()


class _Panel:
    """What both panels share: a button that stops the cell, and a thread that looks at the clock."""

    #: What the cell tells of events, what is left after it was stopped, and how the panel is filled.
    tell: Callable[[Any], None]
    kept: Callable[[], str]
    _fill: Callable[[bool], None]

    def __init__(self) -> None:
        import ipywidgets

        self.lock, self.over = threading.RLock(), threading.Event()
        self.words: Any = ipywidgets.HTML()
        self.cancel = ipywidgets.Button(description="Cancel", tooltip="stop; what is finished is kept")
        self.cancel.on_click(self._stop)
        self.controls: Any = ipywidgets.HBox([self.cancel])
        self.hint = ipywidgets.HTML("To stop it, interrupt the kernel; what is finished is kept.")
        self.box: Any = ipywidgets.VBox([self.words, self.controls, self.hint])
        self.place: Any = None
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Callable[[Any], None]:
        return self.tell

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self.close()
        if kind is KeyboardInterrupt:
            raise Stopped(self.kept()) from None

    def show(self) -> None:
        """Put the panel below the cell, and keep it up to date from now on."""
        from IPython.display import display

        self.place = display(Shown(self.box), display_id=True)
        self._ticker.start()

    def close(self) -> None:
        """The cell is over: the panel goes, and nothing can be pressed any more."""
        with self.lock:
            self.over.set()
        if self._ticker.is_alive():
            self._ticker.join()
        self.draw()
        if self.place:
            # A notebook that is opened again would look for the widget in vain, and say so; and all is over then.
            self.place.update({"text/plain": ""}, raw=True)

    def draw(self) -> None:
        """Show what has changed."""
        with self.lock:
            heard, over = _answers(), self.over.is_set()
            self.controls.layout.display = "" if heard and not over else "none"
            self.hint.layout.display = "none" if heard or over else ""
            self._fill(over)

    def _tick(self) -> None:
        while not self.over.wait(_TICK):
            self.draw()

    def _stop(self, button: Any) -> None:
        with self.lock:
            # A press that comes late must not hit the next cell.
            if not self.over.is_set():
                button.disabled, button.description = True, "Stopping …"
                interrupt_cell()


class BuildPanel(_Panel):
    """For a run of the schedule; one whose results were all there shows no panel at all."""

    def __init__(self, config: Config) -> None:
        import ipywidgets

        super().__init__()
        self._logs = config.logs
        self._expected: dict[str, float] = {}
        with suppress(MereError):
            costs = recorded_run(config).builds
            self._expected = {id: cost.ended - cost.started for id, cost in costs.items()}
        self._began = self._told = time.time()
        self._running: dict[str, BuildLog] = {}
        self._last = Event("queued", "", 0.0, 0, 0, 0.0)
        self._bar: Any = ipywidgets.IntProgress(min=0, max=1, layout={"width": "16em"})
        self._builds: Any = ipywidgets.HTML()
        snug = {"layout": {"width": "auto"}, "style": {"description_width": "initial"}}
        self._choice: Any = ipywidgets.Dropdown(options=[_NEWEST], description="Log of", **snug)
        self._search: Any = ipywidgets.Text(placeholder="show only lines with …", layout={"width": "18em"})
        self._log: Any = ipywidgets.HTML(layout={"width": "auto"})
        self.controls.children = (self._choice, self._search, self.cancel)
        for control in (self._choice, self._search):
            control.observe(lambda change: self.draw(), "value")
        above = ipywidgets.HBox([self._bar, self.words])
        self.box.children = (above, self._builds, self.controls, self.hint, self._log)

    def tell(self, event: Event) -> None:
        """Take notice of an event of the schedule."""
        with self.lock:
            if event.kind == "started":
                self._running[event.id] = BuildLog(self._logs / f"{event.id.replace('/', '-')}.log")
            else:
                self._running.pop(event.id, None)
            self._last, self._told = event, time.time()
        if event.kind == "started" and self._ticker.ident is None:
            self.show()
        self.draw()

    def kept(self) -> str:
        """What is left after the run was stopped."""
        finished = f"{self._last.done} of {self._last.total} builds are finished, and kept"
        return f"{finished}; what was under way has been removed. Run the cell again to go on."

    def _fill(self, over: bool) -> None:
        event, now = self._last, time.time()
        self._bar.max, self._bar.value = max(1, event.total), event.done
        self.words.value = f"<b>{event.done} of {event.total}</b> done in {clock(now - self._began)}"
        left = event.left_s - (now - self._told)
        if self._running and left >= 1 and not over:
            self.words.value += f", about {clock(left)} to come"
        if over or not self._running:
            self._builds.value = self._log.value = ""
            return
        rows = []
        for id, log in self._running.items():
            log.read()
            about = f" of about {clock(self._expected[id])}" if id in self._expected else ""
            rows.append((id, log.phase, clock(now - log.began) + about))
        self._builds.value = grid(rows, ("build", "phase", "time"))
        options = (_NEWEST, *self._running)
        if self._choice.options != options:
            chosen = self._choice.value
            with self._choice.hold_sync():
                self._choice.options = options
                self._choice.value = chosen if chosen in options else _NEWEST
        id = self._choice.value if self._choice.value in self._running else next(reversed(self._running))
        self._log.value = _log_html(self._running[id].lines, self._search.value)


class FetchPanel(_Panel):
    """For a run of `fetch`: how many files are there, and how much of those on their way."""

    def __init__(self) -> None:
        super().__init__()
        self._coming: dict[str, str] = {}
        self._done = 0
        self.draw()
        self.show()

    def tell(self, event: FetchEvent) -> None:
        """Take notice of what happened to a file."""
        with self.lock:
            if event.kind == "bytes":
                total = f" of {size(event.total)}" if event.total else ""
                self._coming[event.name] = size(event.bytes) + total
            elif event.kind != "miss":
                self._coming.pop(event.name, None)
                self._done += event.kind != "failed"

    def kept(self) -> str:
        """What is left after fetching was stopped."""
        return f"{self._done} files are verified, and kept. Run the cell again to go on."

    def _fill(self, over: bool) -> None:
        self.words.value = "" if over else f"<b>{self._done}</b> files verified" + grid(sorted(self._coming.items()))


@dataclass
class BuildLog:
    """The log of a build that has begun, in seconds since 1970; what was last written before is another build's."""

    path: Path
    began: float = field(default_factory=time.time)
    phase: str = "setting up"
    lines: Sequence[str] = ()

    def read(self) -> None:
        """Look at the log's end; one that is not there, or not any more, changes nothing."""
        with suppress(OSError):
            # The build may have begun a moment before we were told.
            if self.path.stat().st_mtime >= self.began - 1:
                self.lines = last_lines(self.path, KEPT)
                self.phase = _phase_of(self.lines) or self.phase


def _phase_of(lines: Sequence[str]) -> str | None:
    """The phase that the last of these lines tells of which tells of any."""
    for line in reversed(lines):
        if line.startswith("==> "):
            for pattern, phase in _PHASES:
                if match := pattern.match(line):
                    return match.expand(phase)
    return None


def _log_html(lines: Sequence[str], words: str) -> str:
    """The end of a log, or the last of its lines that hold these words, in capitals or not."""
    found = [line for line in lines if words.lower() in line.lower()]
    note = f"{len(found)} of the last {len(lines)} lines hold “{escape(words)}”" if words else ""
    return printed("\n".join(printable(line[:_WIDEST]) for line in found[-_LOG_LINES:]), _LOG_LINES) + note


def clock(seconds: float) -> str:
    """A duration for people.

    >>> clock(130)
    '2 min 10 s'
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def interrupt_cell() -> None:
    """Do to the cell that runs what interrupting the kernel does to it."""
    # Sent to this very thread, so that it wakes from whatever it waits for.
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def _answers() -> bool:
    """Whether the front end can tell us something while a cell runs: it has opened a subshell of the kernel for it."""
    from IPython import get_ipython

    shell_channel = getattr(getattr(get_ipython(), "kernel", None), "shell_channel_thread", None)
    return shell_channel is not None and bool(shell_channel.manager.list_subshell())
