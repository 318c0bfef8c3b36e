"""Write requirements.lock: what is installed here of Horner's dependencies, all extras and the build backend."""

from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOTS = ("horner[dev]", "hatchling", "editables", "packaging")
HEADER = "# The versions that everything is tested with. `make lock` writes this file.\n"


def closure(roots: tuple[str, ...]) -> dict[str, str]:
    """Return name and version of everything that the roots need here, themselves included."""
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [Requirement(root) for root in roots]
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        package = distribution(name)
        found[name] = package.version.partition("+")[0]  # 2.13.0+cpu is the same release, built for one machine
        for extra in ("", *wanted.extras):
            if (name, extra) not in seen:
                seen.add((name, extra))
                needs = [Requirement(text) for text in package.requires or []]
                waiting += [n for n in needs if n.marker is None or n.marker.evaluate({"extra": extra})]
    return found


if __name__ == "__main__":
    versions = closure(ROOTS)
    del versions["horner"]
    lines = [f"{name}=={version}\n" for name, version in sorted(versions.items())]
    Path(__file__).parent.parent.joinpath("requirements.lock").write_text(HEADER + "".join(lines))
