"""Write what the image's Python part consists of, as CycloneDX JSON: the locked packages and the packaged weights.

The lock gives versions and hashes. Licences are those of the same versions in this environment; a package that is
installed here in another version is listed without.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).parents[1]
OWN_LICENCE = [{"license": {"id": "Apache-2.0"}}]


def cyclonedx(*arguments: str) -> dict[str, Any]:
    """What the tool makes of a lock or of an environment."""
    command = [sys.executable, "-m", "cyclonedx_py", *arguments, "--output-reproducible", "--no-validate"]
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - the command is ours
    if done.returncode:
        raise SystemExit(done.stderr.decode())
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def weights(folder: Path) -> list[dict[str, Any]]:
    """The packaged networks; each manifest names its version."""
    return [
        {
            "type": "machine-learning-model",
            "bom-ref": file.name,
            "name": file.stem,
            "version": json.loads(file.with_suffix(".json").read_text("utf-8"))["version"],
            "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(file.read_bytes()).hexdigest()}],
            "licenses": OWN_LICENCE,
        }
        for file in sorted(folder.glob("*.safetensors"))
    ]


def bill(lock: Path) -> dict[str, Any]:
    """The bill of materials of the lock and the weights."""
    made = cyclonedx("requirements", str(lock))
    installed = {
        (part["name"].lower().replace("_", "-"), part["version"]): part.get("licenses")
        for part in cyclonedx("environment", sys.executable)["components"]
    }
    for part in made["components"]:
        del part["description"]  # the lines of the lock once more
        if "+cpu" in part["version"]:
            part["externalReferences"][0]["url"] = "https://download.pytorch.org/whl/cpu/torch/"
        if licences := installed.get((part["name"], part["version"])):
            part["licenses"] = licences
    made["components"] += weights(ROOT / "model" / "weights")
    made["metadata"]["component"] = {
        "type": "application",
        "bom-ref": "adclick-backend",
        "name": "adclick-backend",
        "version": version("adclick-backend"),
        "licenses": OWN_LICENCE,
    }
    parts = [part["bom-ref"] for part in made["components"]]
    made["dependencies"] = [{"ref": "adclick-backend", "dependsOn": parts}, *({"ref": ref} for ref in parts)]
    return made


def main(arguments: Sequence[str]) -> int:
    """Write it into the file that is named; a bill that breaks the standard is not written."""
    (target,) = arguments
    text = json.dumps(bill(ROOT / "locks" / "cpu.txt"), indent=2) + "\n"
    if wrong := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise SystemExit(f"The bill of materials is not valid CycloneDX: {wrong}")
    Path(target).write_text(text, "utf-8")
    print(f"{target} lists {len(json.loads(text)['components'])} components.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
