"""Print the version of everything that the backend needs to run, one ``name==version`` a line.

What other tools brought into the same environment is left out, so two outputs differ only when what a user gets does.
"""

from __future__ import annotations

from importlib.metadata import distribution

from pip._vendor.packaging.requirements import Requirement  # the one copy that every virtual environment has


def runtime(name: str, found: dict[str, str]) -> dict[str, str]:
    """Add what the package `name` needs to ``found``, version by name, and what that needs in turn."""
    for line in distribution(name).requires or ():
        needed = Requirement(line)
        if needed.marker is None or needed.marker.evaluate({"extra": ""}):
            package = distribution(needed.name)
            if package.metadata["Name"] not in found:
                found[package.metadata["Name"]] = package.version
                runtime(needed.name, found)
    return found


if __name__ == "__main__":
    for pair in sorted(runtime("adclick-backend", {}).items()):
        print("==".join(pair))
