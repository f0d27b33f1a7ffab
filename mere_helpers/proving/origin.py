"""What a package says about its own build."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..building.package_file import build_info
from ..errors import BuildError


@dataclass(frozen=True)
class Origin:
    """How a package came to be, by its own ``.BUILDINFO``.

    Attributes
    ----------
    recipe : str
        Its name, such as ``gcc``.
    recipe_sha256 : str
        Of the PKGBUILD.
    installed : tuple of str
        The packages in the container, each as NAME-VERSION-RELEASE-ARCHITECTURE.
    """

    recipe: str
    recipe_sha256: str
    installed: tuple[str, ...]


def origin(file: Path) -> Origin:
    """Read where a package comes from.

    Raises
    ------
    BuildError
        It is not a package, or it does not say.
    """
    info = build_info(file)
    try:
        return Origin(info["pkgbase"][0], info["pkgbuild_sha256sum"][0], tuple(sorted(info["installed"])))
    except KeyError as error:
        raise BuildError(f"{file.name} does not say how it was built: its .BUILDINFO has no {error}") from None
