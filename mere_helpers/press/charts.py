"""The pictures of the book: what the recorded run cost, and how its parts hang together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Mapping, Sequence
from typing import Any

from ..building.recorded import RecordedRun
from ..planning.plan import Plan, reachable
from ..text import size
from .drawing import BLUE, GREY, RED, Figure, drawn

#: Builds shorter than this part of a run get no name in the timeline.
_NAMED = 0.035


def cost_chart(run: RecordedRun, ids: Sequence[str], what: str) -> Figure:
    """One bar a build: processor time in seconds and, on the scale at the top, in SBU; the dearest first."""
    costs = sorted((run.builds[id].cpu_s, id) for id in ids)

    def draw(canvas: Any) -> None:
        axes = _bars(canvas, [(_name(id), cost) for cost, id in costs], "processor time in seconds")
        units = (lambda seconds: seconds / run.unit_s, lambda units: units * run.unit_s)
        axes.secondary_xaxis("top", functions=units).set_xlabel("SBU")

    total = sum(cost for cost, _ in costs)
    shares = [f"{_name(id)} {cost:,.0f}" for cost, id in costs[:-4:-1] if cost > 0.05 * total]
    dearest = f"the dearest: {', '.join(shares)}." if shares else "no build stands out."
    text = f"{total:,.0f} seconds in all, or {total / run.unit_s:.1f} SBU; {dearest}"
    return drawn(draw, height=1.1 + 0.18 * len(costs), caption=f"Processor time of {what}", text=text)


def memory_chart(run: RecordedRun, ids: Sequence[str], what: str, count: int = 15) -> Figure:
    """One bar a build: the most memory it held, for the `count` hungriest."""
    peaks = sorted((run.builds[id].peak_bytes, id) for id in ids)[-count:]
    rows = [(id, peak / 2**20) for peak, id in peaks]
    text = f"The hungriest build, {peaks[-1][1]}, holds {size(peaks[-1][0])} at most."
    return drawn(
        lambda canvas: _bars(canvas, rows, "most memory held at once, in MiB"),
        height=0.7 + 0.18 * len(peaks),
        caption=f"Memory of {what}",
        text=text,
    )


def growth_chart(chapters: Sequence[tuple[str, int, int]]) -> Figure:
    """How the system grows: for each chapter the packages and the bytes that there are at its end."""
    rows = [(name, taken / 2**20) for name, _, taken in chapters[::-1]]
    said = [f"{count} packages" for _, count, _ in chapters[::-1]]
    _, count, taken = chapters[-1]
    return drawn(
        lambda canvas: _bars(canvas, rows, "MiB installed", said, margins=(0.25, 0.05)),
        height=0.8 + 0.28 * len(chapters),
        caption="How the system grows",
        text=f"At the end there are {count} packages, which take {size(taken)}.",
    )


def critical_path(run: RecordedRun, plan: Plan) -> list[str]:
    """The builds each of which had to wait for the one before it, and which together took longest."""
    longest: dict[str, float] = {}
    before: dict[str, str] = {}
    for id, took in _durations(run).items():
        needed = [name for name in plan.dependencies(id) if name in longest]
        before[id] = max(needed, key=longest.__getitem__, default="")
        longest[id] = longest.get(before[id], 0.0) + took
    path = [max(longest, key=longest.__getitem__)]
    while earlier := before[path[-1]]:
        path.append(earlier)
    return path[::-1]


def timeline_chart(run: RecordedRun, plan: Plan) -> Figure:
    """Every build as a bar from its beginning to its end; below, reckoned, how busy the cores were."""
    path = critical_path(run, plan)
    lanes, took = _lanes(run), _durations(run)
    named = {id for id, seconds in took.items() if seconds > _NAMED * run.wall_s}

    def draw(canvas: Any) -> None:
        above, below = canvas.subplots(2, sharex=True, height_ratios=(3, 1))
        for id, cost in run.builds.items():
            bar = {"facecolor": RED if id in path else BLUE, "edgecolor": "white", "linewidth": 0.3}
            above.broken_barh([(cost.started / 60, took[id] / 60)], (lanes[id], 0.9), **bar)
            if id in named:
                style = {"ha": "center", "va": "center", "fontsize": 7, "color": "white", "rotation": 90}
                above.text((cost.started + cost.ended) / 120, lanes[id] + 0.45, _name(id), **style)
        above.set_yticks([])
        above.spines["left"].set_visible(False)
        below.step(*_load(run), where="post", color=GREY, linewidth=0.8)
        below.set(xlabel="minutes", ylabel="cores busy,\nreckoned", yticks=range(run.cores + 1))
        below.set(xlim=(0, run.wall_s / 60), ylim=(0, run.cores + 0.3))

    text = (
        f"{len(run.builds)} builds in {run.wall_s / 60:.0f} minutes on {run.cores} cores. The critical path, in red, "
        f"takes {sum(took[id] for id in path) / 60:.0f} of them; "
        f"it leads over {', '.join(id for id in path if id in named)}. "
        "How many cores were busy is reckoned, not measured: each build's processor time is spread evenly over its "
        f"duration, and the sum cut off at {run.cores}."
    )
    return drawn(draw, height=4.4, caption="The recorded run: who was built when", text=text)


def dependency_chart(plan: Plan, ids: Sequence[str]) -> Figure:
    """The packages in their order, each with arcs to those that it needs."""
    order = [id for id in plan.order() if id in ids]
    place = {id: number for number, id in enumerate(order)}
    arcs = [(place[id], place[needed]) for id in order for needed in plan.dependencies(id) if needed in place]
    common = {needed for needed, count in Counter(needed for _, needed in arcs).items() if count > len(order) / 2}
    greedy = {one for one, count in Counter(one for one, _ in arcs).items() if count > len(order) / 3}
    rare = [(one, needed, BLUE) for one, needed in arcs if needed not in common and one not in greedy]
    names = [_name(id) for id in order]
    text = (
        f"{len(order)} packages and {len(arcs)} dependencies. "
        f"Nearly all need those in bold ({', '.join(names[number] for number in sorted(common))}), "
        "whose arcs are left out; so are those of what needs nearly all."
    )
    return _arcs(names, rare, common, "Which package needs which to be built", text)


def neighbour_chart(needs: Mapping[str, Sequence[str]], id: str, *, deep: bool) -> Figure:
    """What one build needs, above it, and what needs it, below; with `deep` what is needed by way of others, too.

    `needs` has what each build needs, without what follows from that; each comes behind what it needs.
    """
    users = {other: [one for one in needs if other in needs[one]] for other in needs}
    above, below = reachable(needs[id], needs.__getitem__), reachable(users[id], users.__getitem__)
    chosen = {id, *above, *below} if deep else {id, *needs[id], *users[id]}
    rows = [other for other in needs if other in chosen]
    place = {other: number for number, other in enumerate(rows)}
    arcs = [
        (place[one], place[other], RED if id in (one, other) else BLUE)
        for one in rows
        for other in needs[one]
        if other in place and (deep or id in (one, other))
    ]
    text = f"{id} needs {_listed(len(above), needs[id])}. It is needed by {_listed(len(below), users[id])}."
    caption = f"What {id} needs, above it, and what needs it, below"
    return _arcs([other.removeprefix("packages/") for other in rows], arcs, {place[id]}, caption, text)


def size_chart(
    sources: Mapping[str, int], packages: Mapping[str, int], installed: Mapping[str, int], fetched: int
) -> Figure:
    """Three bars a recipe: bytes of its sources, its packages, and what these take; `fetched` is of all sources."""
    names = sorted(installed, key=installed.__getitem__)

    def draw(canvas: Any) -> None:
        axes = canvas.subplots()
        kinds = (("source", sources, GREY), ("package", packages, RED), ("installed", installed, BLUE))
        for number, (label, sizes, colour) in enumerate(kinds):
            places = [row + 0.28 * (1 - number) for row in range(len(names))]
            axes.barh(places, [max(sizes.get(name, 0), 1) / 2**10 for name in names], 0.27, color=colour, label=label)
        axes.set_yticks(range(len(names)), names)
        axes.set_xscale("log")
        axes.set_xlim(left=1)
        axes.set_xlabel("KiB, logarithmic")
        axes.margins(y=0.01)
        axes.legend(loc="lower right", frameon=False)

    text = (
        f"{size(fetched)} of sources become {size(sum(packages.values()))} of packages, which take "
        f"{size(sum(installed.values()))} when they are installed. "
        f"The largest is {names[-1]}, {size(installed[names[-1]])}."
    )
    return drawn(draw, height=0.8 + 0.26 * len(names), caption="Source, package, installed", text=text)


def container_chart(seconds: Sequence[float]) -> Figure:
    """How the times of containers, in seconds, are spread."""
    median = sorted(seconds)[len(seconds) // 2]

    def draw(canvas: Any) -> None:
        axes = canvas.subplots()
        axes.hist([1000 * value for value in sorted(seconds)], bins=30, color=BLUE)
        axes.axvline(1000 * median, color=RED, linewidth=1)
        place = {"xy": (1000 * median, 1), "xycoords": ("data", "axes fraction"), "ha": "center", "va": "bottom"}
        axes.annotate(f"median {1000 * median:.0f} ms", **place)
        axes.set(xlabel="milliseconds from nothing to nothing", ylabel="containers")

    # The picture is compared with nothing, its text is: so coarse that it is the same on any machine that is well.
    most = "a second" if median < 1 else f"{int(median) + 1} seconds"
    text = f"{len(seconds)} containers, one after another. Half of them took less than {most}."
    return drawn(draw, height=2.4, caption="Making a container and taking it down", text=text, compared=False)


def _bars(
    canvas: Any,
    rows: Sequence[tuple[str, float]],
    label: str,
    said: Sequence[str] = (),
    margins: tuple[float, float] = (0.14, 0.01),
) -> Any:
    """A bar for each name and value, from below; behind it what is said of it, or its value."""
    axes = canvas.subplots()
    bars = axes.barh([name for name, _ in rows], [value for _, value in rows], color=BLUE)
    axes.bar_label(bars, said or [f"{value:,.0f}" for _, value in rows], padding=3)
    axes.set_xlabel(label)
    axes.margins(*margins)
    return axes


def _arcs(
    names: Sequence[str], arcs: Sequence[tuple[int, int, str]], bold: Container[int], caption: str, text: str
) -> Figure:
    """Names below each other, and beside them an arc in its colour for each pair of rows."""

    def draw(canvas: Any) -> None:
        from matplotlib.patches import Arc

        axes = canvas.subplots()
        for one, other, colour in arcs:
            high = abs(one - other)
            sides = {"theta1": 270.0, "theta2": 90.0}
            axes.add_patch(Arc((0, (one + other) / 2), 1.2 * high**0.8, high, **sides, color=colour, lw=0.8))
        for number, name in enumerate(names):
            axes.text(-0.3, number, name, ha="right", va="center", weight="bold" if number in bold else "normal")
        axes.set_xlim(-9, 12)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_axis_off()

    return drawn(draw, height=0.17 * len(names) + 0.2, caption=caption, text=text)


def _name(id: str) -> str:
    return id.partition("/")[2]


def _listed(count: int, direct: Sequence[str]) -> str:
    if not count:
        return "nothing"
    rest = "" if count == len(direct) else ", and what follows from that"
    return f"{count} build{'s' * (count != 1)}: {', '.join(direct)}{rest}"


def _durations(run: RecordedRun) -> dict[str, float]:
    return {id: cost.ended - cost.started for id, cost in run.builds.items()}


def _lanes(run: RecordedRun) -> dict[str, int]:
    """A row for each build, so that no two overlap."""
    free: list[float] = []
    lanes = {}
    for id, cost in sorted(run.builds.items(), key=lambda item: item[1].started):
        lane = next((number for number, until in enumerate(free) if until <= cost.started), len(free))
        free[lane:] = [cost.ended, *free[lane + 1 :]]
        lanes[id] = lane
    return lanes


def _load(run: RecordedRun) -> tuple[list[float], list[float]]:
    """Minutes, and from each on how many cores were busy.

    It is reckoned, not measured: a build's time is spread evenly over its duration. Where that makes more than there
    are cores, because a build was slower while others ran beside it, all of them were busy.
    """
    changes: dict[float, float] = defaultdict(float)
    for cost in run.builds.values():
        busy = cost.cpu_s / max(cost.ended - cost.started, 0.1)
        changes[cost.started] += busy
        changes[cost.ended] -= busy
    moments, loads, now = [], [], 0.0
    for moment, change in sorted(changes.items()):
        now += change
        moments.append(moment / 60)
        loads.append(round(min(now, run.cores), 3))
    return moments, loads
