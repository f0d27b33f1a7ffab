"""The pictures of the book: what the recorded run cost, and how its parts hang together."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from ..recipes.plan import Plan
from ..report import size
from .figure import BLUE, GREY, RED, Figure, drawn
from .recorded import RecordedRun
from .relations import around

#: Builds shorter than this part of a run get no name in the timeline.
_NAMED = 0.035


def cost_chart(run: RecordedRun, ids: Sequence[str], what: str) -> Figure:
    """One bar a build: processor time in seconds and, on the scale at the top, in SBU; the dearest first."""
    costs = sorted((run.builds[id].cpu_s, id) for id in ids)
    names = [id.partition("/")[2] for _, id in costs]

    def draw(canvas: Any) -> None:
        axes = canvas.subplots()
        bars = axes.barh(names, [cost for cost, _ in costs], color=BLUE)
        axes.bar_label(bars, fmt=lambda value: f"{value:,.0f}", padding=3)
        axes.set_xlabel("processor time in seconds")
        axes.margins(x=0.14, y=0.01)
        units = (lambda seconds: seconds / run.unit_s, lambda units: units * run.unit_s)
        axes.secondary_xaxis("top", functions=units).set_xlabel("SBU")

    total = sum(cost for cost, _ in costs)
    text = f"{total:,.0f} seconds in all, or {total / run.unit_s:.1f} SBU; {_dearest(costs[::-1], total)}"
    return drawn(draw, height=1.1 + 0.18 * len(costs), caption=f"Processor time of {what}", text=text)


def memory_chart(run: RecordedRun, ids: Sequence[str], what: str, count: int = 15) -> Figure:
    """One bar a build: the most memory it held, for the `count` hungriest."""
    peaks = sorted((run.builds[id].peak_bytes / 2**20, id) for id in ids)[-count:]

    def draw(canvas: Any) -> None:
        axes = canvas.subplots()
        bars = axes.barh([id for _, id in peaks], [peak for peak, _ in peaks], color=BLUE)
        axes.bar_label(bars, fmt=lambda value: f"{value:,.0f}", padding=3)
        axes.set_xlabel("most memory held at once, in MiB")
        axes.margins(x=0.14, y=0.01)

    text = f"The hungriest build, {peaks[-1][1]}, holds {size(int(peaks[-1][0] * 2**20))} at most."
    return drawn(draw, height=0.7 + 0.18 * len(peaks), caption=f"Memory of {what}", text=text)


def critical_path(run: RecordedRun, plan: Plan) -> list[str]:
    """The builds each of which had to wait for the one before it, and which together took longest."""
    longest: dict[str, float] = {}
    before: dict[str, str | None] = {}
    for id in run.builds:
        needed = [name for name in plan.dependencies(id) if name in longest]
        before[id] = max(needed, key=longest.__getitem__, default=None)
        longest[id] = (
            max((longest[name] for name in needed), default=0.0) + run.builds[id].ended - run.builds[id].started
        )
    path = [max(longest, key=longest.__getitem__)]
    while earlier := before[path[-1]]:
        path.append(earlier)
    return path[::-1]


def timeline_chart(run: RecordedRun, plan: Plan) -> Figure:
    """Every build as a bar from its beginning to its end; below, reckoned, how busy the cores were."""
    path = critical_path(run, plan)
    lanes = _lanes(run)

    def draw(canvas: Any) -> None:
        above, below = canvas.subplots(2, sharex=True, height_ratios=(3, 1))
        for id, cost in run.builds.items():
            length = (cost.ended - cost.started) / 60
            bar = {"facecolor": RED if id in path else BLUE, "edgecolor": "white", "linewidth": 0.3}
            above.broken_barh([(cost.started / 60, length)], (lanes[id], 0.9), **bar)
            if length > _NAMED * run.wall_s / 60:
                middle = (cost.started + cost.ended) / 120
                name = id.partition("/")[2]
                above.text(
                    middle, lanes[id] + 0.45, name, ha="center", va="center", fontsize=7, color="white", rotation=90
                )
        above.set_yticks([])
        above.spines["left"].set_visible(False)
        below.step(*_load(run), where="post", color=GREY, linewidth=0.8)
        below.set_ylim(0, run.cores + 0.3)
        below.set_yticks(range(run.cores + 1))
        below.set_ylabel("cores busy,\nreckoned")
        below.set_xlabel("minutes")
        below.set_xlim(0, run.wall_s / 60)

    length = sum(run.builds[id].ended - run.builds[id].started for id in path)
    text = (
        f"{len(run.builds)} builds in {run.wall_s / 60:.0f} minutes on {run.cores} cores. "
        f"The critical path, in red, takes {length / 60:.0f} of them; it leads over {', '.join(_long(run, path))}. "
        f"How many cores were busy is reckoned, not measured: each build's processor time is spread evenly over its "
        f"duration, and the sum cut off at {run.cores}."
    )
    return drawn(draw, height=4.4, caption="The recorded run: who was built when", text=text)


def dependency_chart(plan: Plan, ids: Sequence[str]) -> Figure:
    """The packages in their order, each with arcs to those that it needs."""
    order = [id for id in plan.order() if id in set(ids)]
    place = {id: number for number, id in enumerate(order)}
    arcs = [(place[id], place[needed]) for id in order for needed in plan.dependencies(id) if needed in place]
    common = {needed for _, needed in arcs if sum(other == needed for _, other in arcs) > len(order) / 2}
    greedy = {one for one, _ in arcs if sum(other == one for other, _ in arcs) > len(order) / 3}
    drawn_arcs = [(one, other, BLUE) for one, other in arcs if other not in common and one not in greedy]

    def draw(canvas: Any) -> None:
        _draw_arcs(canvas, [id.partition("/")[2] for id in order], drawn_arcs, common)

    needed_most = ", ".join(order[number].partition("/")[2] for number in sorted(common))
    text = (
        f"{len(order)} packages and {len(arcs)} dependencies. "
        f"Nearly all need those in bold ({needed_most}), whose arcs are left out; "
        "so are those of what needs nearly all."
    )
    return drawn(draw, height=0.17 * len(order) + 0.2, caption="Which package needs which to be built", text=text)


def neighbour_chart(needs: Mapping[str, Sequence[str]], id: str, *, deep: bool) -> Figure:
    """What one build needs, above it, and what needs it, below.

    Parameters
    ----------
    needs : mapping of str to sequence of str
        As from `relations`: what each build needs, without what follows from that, each behind what it needs.
    id : str
        The one in the middle.
    deep : bool
        Draw what is needed by way of others, too.
    """
    above, below = around(needs, id)
    users = [other for other in needs if id in needs[other]]
    wanted = above | below if deep else {*needs[id], *users}
    rows = [other for other in needs if other == id or other in wanted]
    place = {other: number for number, other in enumerate(rows)}
    arcs = [
        (place[one], place[other], RED if id in (one, other) else BLUE)
        for one in rows
        for other in needs[one]
        if other in place and (deep or id in (one, other))
    ]

    def draw(canvas: Any) -> None:
        _draw_arcs(canvas, [other.removeprefix("packages/") for other in rows], arcs, {place[id]})

    text = f"{id} needs {_listed(len(above), needs[id])}. It is needed by {_listed(len(below), users)}."
    caption = f"What {id} needs, above it, and what needs it, below"
    return drawn(draw, height=0.17 * len(rows) + 0.2, caption=caption, text=text)


def size_chart(
    sources: Mapping[str, int], packages: Mapping[str, int], installed: Mapping[str, int], fetched: int
) -> Figure:
    """For each recipe three bars on a logarithmic scale: its sources, its packages, what these take.

    Parameters
    ----------
    sources, packages, installed : mapping of str to int
        Bytes, by the name of the recipe.
    fetched : int
        Bytes of all sources together, which are fewer where recipes share a file.
    """
    names = sorted(installed, key=lambda name: installed[name])

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


def growth_chart(chapters: Sequence[tuple[str, int, int]]) -> Figure:
    """How the system grows: for each chapter the packages and the bytes that there are at its end."""
    names = [name for name, _, _ in chapters]

    def draw(canvas: Any) -> None:
        axes = canvas.subplots()
        bars = axes.barh(names[::-1], [taken / 2**20 for _, _, taken in chapters][::-1], color=BLUE)
        axes.bar_label(bars, [f"{count} packages" for _, count, _ in chapters][::-1], padding=3)
        axes.set_xlabel("MiB installed")
        axes.margins(x=0.25)

    _, count, taken = chapters[-1]
    text = f"At the end there are {count} packages, which take {size(taken)}."
    return drawn(draw, height=0.8 + 0.28 * len(chapters), caption="How the system grows", text=text)


def container_chart(seconds: Sequence[float]) -> Figure:
    """How the times of containers, in seconds, are spread."""
    ordered = sorted(seconds)
    median = ordered[len(ordered) // 2]

    def draw(canvas: Any) -> None:
        axes = canvas.subplots()
        axes.hist([1000 * value for value in ordered], bins=30, color=BLUE)
        axes.axvline(1000 * median, color=RED, linewidth=1)
        note = f"median {1000 * median:.0f} ms"
        above = (1000 * median, 1)
        axes.annotate(note, above, xycoords=("data", "axes fraction"), ha="center", va="bottom")
        axes.set_xlabel("milliseconds from nothing to nothing")
        axes.set_ylabel("containers")

    # The picture is compared with nothing, its text is: so coarse that it is the same on any machine that is well.
    most = "a second" if median < 1 else f"{int(median) + 1} seconds"
    text = f"{len(ordered)} containers, one after another. Half of them took less than {most}."
    return drawn(draw, height=2.4, caption="Making a container and taking it down", text=text, compared=False)


def _draw_arcs(canvas: Any, names: Sequence[str], arcs: Sequence[tuple[int, int, str]], bold: Container[int]) -> None:
    """Names below each other, and beside them an arc in its colour for each pair of rows."""
    from matplotlib.patches import Arc

    axes = canvas.subplots()
    for one, other, colour in arcs:
        high = abs(one - other)
        axes.add_patch(Arc((0, (one + other) / 2), 1.2 * high**0.8, high, theta1=270, theta2=90, color=colour, lw=0.8))
    for number, name in enumerate(names):
        axes.text(-0.3, number, name, ha="right", va="center", weight="bold" if number in bold else "normal")
    axes.set_xlim(-9, 12)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_axis_off()


def _listed(count: int, direct: Sequence[str]) -> str:
    if not count:
        return "nothing"
    rest = "" if count == len(direct) else ", and what follows from that"
    return f"{count} build{'s' * (count != 1)}: {', '.join(direct)}{rest}"


def _dearest(costs: Sequence[tuple[float, str]], total: float) -> str:
    shares = [f"{id.partition('/')[2]} {cost:,.0f}" for cost, id in costs[:3] if cost > 0.05 * total]
    return f"the dearest: {', '.join(shares)}." if shares else "no build stands out."


def _long(run: RecordedRun, path: Sequence[str]) -> list[str]:
    return [id for id in path if run.builds[id].ended - run.builds[id].started > _NAMED * run.wall_s]


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
    changes: dict[float, float] = {}
    for cost in run.builds.values():
        busy = cost.cpu_s / max(cost.ended - cost.started, 0.1)
        changes[cost.started] = changes.get(cost.started, 0.0) + busy
        changes[cost.ended] = changes.get(cost.ended, 0.0) - busy
    moments, loads, now = [], [], 0.0
    for moment, change in sorted(changes.items()):
        now += change
        moments.append(moment / 60)
        loads.append(round(min(now, run.cores), 3))
    return moments, loads
