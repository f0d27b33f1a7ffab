"""The bootstrap edges: what stands in during round 1 for what the system will have later."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..config import Config
from ..errors import PlanError
from .recipe import Recipe

#: Their one place.
FILE = "recipes/bootstrap.toml"


@dataclass(frozen=True)
class Bootstrap:
    """The content of ``recipes/bootstrap.toml``.

    Attributes
    ----------
    tools : sequence of str
        The steps whose trees lie below the packages in each root of round 1, topmost layer first, by id.
    installer : str
        The step whose pacman runs on the host, by id; empty if there is none.
    stand_ins : mapping of str to mapping
        For each make-dependency that round 1 cannot have yet, what stands in: ``default``, or by the recipe's name.
    """

    tools: Sequence[str] = ()
    installer: str = ""
    stand_ins: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)

    def stands_in(self, package: str, recipe: str) -> Sequence[str] | None:
        """What stands in for a package while a recipe, known by its name, is built; None if nothing has to."""
        table = self.stand_ins.get(package)
        return None if table is None else table.get(recipe, table.get("default", ()))

    def check(self, recipes: Mapping[str, Recipe]) -> None:
        """See that all that is named has a recipe.

        Raises
        ------
        PlanError
            Something has none.
        """
        for tool in filter(None, (*self.tools, self.installer)):
            if tool not in recipes:
                raise PlanError(f"the bootstrap's tools need {tool}, which has no recipe", hint=f"correct {FILE}")
        for name, table in self.stand_ins.items():
            for recipe in table:
                if recipe != "default" and f"packages/{recipe}" not in recipes:
                    raise PlanError(f"[{name}] speaks of {recipe}, which has no recipe", hint=f"correct {FILE}")


def load_bootstrap(config: Config) -> Bootstrap:
    """Read ``recipes/bootstrap.toml``.

    Raises
    ------
    PlanError
        It cannot be read.
    """
    path = config.checkout / FILE
    try:
        content = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise PlanError(f"cannot read {FILE}: {error}", hint=f"correct {path}") from None
    tools, installer = content.pop("tools", ()), content.pop("installer", "")
    return Bootstrap(tuple(tools), installer, content)
