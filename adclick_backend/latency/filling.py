"""Filling a bank with many references in seconds, to measure how the search for the nearest ones grows."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np

from adclick_backend.store import Store


def fill_bank(folder: Path, project: str, count: int) -> None:
    """Make ``count`` references out of the one that a project has, as variations of its features.

    Each variation gets a descriptor of its own (the original's, a little noise added) and shares the features and the
    kept copy of the original: what grows is what is searched, as in a real bank, without encoding thousands of images.

    Args:
        folder: data folder of the backend.
        project: project id; it has one reference, which is ready.
        count: references afterwards.
    """
    store = Store(folder)
    try:
        (original,) = store.references.of_project(project)
        features = next(folder.glob(f"projects/{project}/cache/*/{original.sha}.features.safetensors"))
        kept = folder / "projects" / project / "references" / original.file
        with closing(sqlite3.connect(features.parent / "descriptors.sqlite")) as database, database:
            (blob,) = database.execute(
                "SELECT descriptor FROM descriptors WHERE sha = ?", (original.sha,)
            ).fetchone()
            descriptor = np.frombuffer(blob, np.float16)
            rng = np.random.default_rng(0)
            for i in range(1, count):
                sha = hashlib.sha256(f"{project}-{i}".encode()).hexdigest()
                noisy = descriptor + rng.normal(0, 0.05, descriptor.shape)
                database.execute(
                    "INSERT INTO descriptors VALUES (?, ?)", (sha, noisy.astype(np.float16).tobytes())
                )
                features.with_name(f"{sha}.features.safetensors").hardlink_to(features)
                copy = kept.with_name(f"{sha}{kept.suffix}")
                copy.hardlink_to(kept)
                reference = store.references.add(
                    project, product="", sha=sha, source="folder", name=copy.name, file=copy.name
                )
                store.references.settle(reference, "ready", model_version=original.model_version)
    finally:
        store.close()
