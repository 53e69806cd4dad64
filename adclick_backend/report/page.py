"""The report as one HTML file that needs nothing beside itself."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from adclick_backend import __version__, dashboard
from adclick_backend.benchmark.overlays import overlay
from adclick_backend.dashboard.charts import Chart, draw_chart
from adclick_backend.dashboard.image_names import ImageName, Named
from adclick_backend.dashboard.words import percent
from adclick_backend.report.evaluation import CUT, Curve, Evaluation, Seen, mean_figures

TEMPLATES = Path(__file__).parent
STYLE = Path(dashboard.__file__).parent / "static" / "dashboard.css"


@dataclass(frozen=True)
class Section:
    """One product of the report: its name, a remark on its images, what was measured, and what images are called."""

    name: str
    remark: str
    evaluation: Evaluation
    named: Named = field(default=lambda sha: ImageName(f"image {sha[:12]}"))


@dataclass(frozen=True)
class Effort:
    """A version as a point of the effort curve: clicks behind its labels, and its figures on its own hold-out."""

    version: str
    clicks: int
    figures: dict[str, float]


@dataclass(frozen=True)
class Report:
    """Everything on the page.

    Attributes:
        title: what was evaluated.
        facts: name -> words, at the top.
        sections: the products.
        efforts: earlier versions and this one, by their clicks; empty where clicks are not known.
        remarks: sentences on what was left out.
    """

    title: str
    facts: dict[str, str]
    sections: Sequence[Section]
    efforts: Sequence[Effort] = ()
    remarks: Sequence[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Picture:
    """A worst case: a data URI, what was found, and which image it is."""

    uri: Markup
    caption: str
    image: ImageName


def render(report: Report) -> str:
    """The HTML text of a report."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["percent"] = percent
    overall = mean_figures(section.evaluation.figures for section in report.sections)
    return environment.get_template("report.html").render(
        report=report,
        style=Markup(STYLE.read_text("utf-8")),  # noqa: S704  (a file of this package)
        names=list(overall),
        overall=overall,
        charts=_charts,
        pictures=lambda section: [_picture(seen, section.named) for seen in section.evaluation.worst],
        effort=_effort(report.efforts),
        version=__version__,
    )


def _charts(section: Section) -> list[Chart]:
    """ROC and precision-recall curves; the area stands in the name of each curve."""
    drawn = [
        _chart(
            "Found (share of the defective) against false alarms (share of the rest)", section.evaluation.roc
        ),
        _chart("Precision against recall", section.evaluation.precision),
    ]
    return [chart for chart in drawn if chart is not None]


def _chart(title: str, curves: Sequence[Curve]) -> Chart | None:
    drawn = {f"{curve.name}, area {percent(curve.area)}": curve.points for curve in curves}
    return draw_chart(title, drawn, across="share", percent=True)


def _effort(efforts: Sequence[Effort]) -> Chart | None:
    names = list(dict.fromkeys(name for effort in efforts for name in effort.figures))
    curves = {
        name: [(float(e.clicks), e.figures[name]) for e in efforts if name in e.figures] for name in names
    }
    return draw_chart(
        "Accuracy against clicks spent", curves, across="clicks behind the labels", percent=True
    )


def _picture(seen: Seen, named: Named) -> _Picture:
    image = seen.image.load()
    truth = seen.truth if seen.truth is not None else seen.scores > math.inf
    types = ", ".join(sorted(seen.image.labels)) or "normal"
    words = f"IoU {percent(seen.overlap)}" if seen.image.labels else f"highest score {percent(seen.score)}"
    drawn = overlay(image, truth, seen.scores >= CUT, [], f"{types}: {words}")
    data = base64.b64encode(cv2.imencode(".png", drawn)[1].tobytes()).decode()
    return _Picture(
        Markup("data:image/png;base64,{}").format(data), f"{types}, {words}", named(seen.image.name)
    )
