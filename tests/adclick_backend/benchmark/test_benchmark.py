from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from draw_samples import draw, save_image
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr

from adclick_backend.benchmark import overlays, trials
from adclick_backend.benchmark.local_engine import LocalEngine
from adclick_backend.benchmark.mobile_sam import MobileSam
from adclick_backend.benchmark.peers import CLASSICAL
from adclick_backend.benchmark.pixels import pixel_figures
from adclick_backend.benchmark.plan import Plan
from adclick_backend.benchmark.protocol import Answer, click_through
from adclick_backend.benchmark.regret import regret
from adclick_backend.benchmark.reliability import calibrate, reliability_table
from adclick_backend.benchmark.report import Line, as_json, tables
from adclick_backend.benchmark.rows import Results, Row, Setting
from adclick_backend.benchmark.variants import ADCLICK, CHANGES
from adclick_backend.cli import main
from adclick_backend.engine.bank import ImageKey
from adclick_backend.engine.prepared_images import PreparedImages
from adclick_backend.engine.windows import Windows
from model.clicks import Click
from model.datasets.mvtec import find_categories
from model.features.number_format import number_format
from model.interactive.config import ClickConfig
from model.metrics.ranking import pixel_average_precision
from tests.helpers.deep import write_deep

pytestmark = pytest.mark.usefixtures("without_transformer")

Mask = NDArray[np.bool_]


def square(x: int = 20, side: int = 20) -> Mask:
    mask = np.zeros((64, 64), bool)
    mask[20 : 20 + side, x : x + side] = True
    return mask


def a_row(ious: Sequence[float], category: str = "s/a", image: str = "i", **more: Any) -> Row:
    fields = {"setting": Setting("ADClick", 3, 0.0), "version": "v 1", "limit": 20, **more}
    return Row(category, image, ious=list(ious), **fields)


def a_line(category: str, rows: Sequence[Row], planned: int = 0) -> Line:
    pixels = {"AP": {3: 80.0}, "PRO": {3: 70.0}, "AUROC": {3: 90.0}}
    return Line("ADClick", "all", 0.0, category, rows, planned or len(rows), pixels)


# --- the protocol


def test_a_perfect_segmenter_needs_one_click() -> None:
    row = a_row(click_through(lambda clicks: Answer(square()), square()).ious)
    assert row.ious == [1.0] * 10
    assert [row.clicks_to(t) for t in (0.8, 0.9)] == [1, 1]


def test_a_blind_segmenter_never_gets_there() -> None:
    row = a_row(click_through(lambda clicks: Answer(np.zeros((64, 64), bool)), square()).ious)
    assert len(row.ious) == 20
    assert row.figures() == [0, 0, 0, 0, 0, 20, 20, 20]


def test_every_click_is_aimed_at_the_mask_before() -> None:
    seen: list[list[Click]] = []

    def segment(clicks: Sequence[Click]) -> Answer:
        seen.append(list(clicks))
        return Answer(
            square(x=20 + 6 * max(0, 3 - len(clicks))), np.full((4, 4), len(clicks) / 10, np.float32), 0.5
        )

    trial = click_through(segment, square())
    assert [len(clicks) for clicks in seen[:3]] == [1, 2, 3]
    assert seen[0][0].positive
    assert not square(x=20)[int(seen[1][1].y), int(seen[1][1].x)] or seen[1][1].positive
    assert {n: float(m[0, 0]) for n, m in trial.maps.items()} == pytest.approx({2: 0.2, 3: 0.3, 5: 0.3})
    assert len(trial.scores) == len(trial.ious)
    assert trial.drawn is not None
    assert trial.drawn.sum() == 400


def test_fewer_clicks_than_a_figure_needs_leave_it_open() -> None:
    row = a_row(click_through(lambda clicks: Answer(square(x=22)), square(), clicks=3).ious, limit=3)
    assert len(row.ious) == 3
    assert [math.isnan(f) for f in row.figures()] == [False, False, False, True, True, False, True, True]


def test_clicks_of_different_images_are_jittered_differently() -> None:
    blind = Answer(np.zeros((64, 64), bool))
    given = [
        click_through(lambda clicks: blind, square(), 2, np.random.default_rng([0, seed]), 4.0).clicks
        for seed in (1, 2, 1)
    ]
    assert given[0] == given[2] != given[1]


# --- what is measured


def a_product(root: Path, good: int = 3, defects: int = 1, size: int = 192) -> None:
    for seed in range(good):
        save_image(root / f"train/good/{seed}.png", draw("flange", seed=seed, size=size).image)
    for number in range(defects):
        sample = draw("flange", "stain", seed=8 + number, size=size)
        save_image(root / f"test/stain/{number}.png", sample.image)
        save_image(root / f"ground_truth/stain/{number}_mask.png", sample.mask.astype(np.uint8) * 255)


def a_plan(folder: Path, references: Sequence[str] = ("0", "10", "all"), **more: Any) -> Plan:
    fields = {
        "methods": ["ADClick", "GrabCut"],
        "jitters": [0.0, 1.0],
        "limit": None,
        "seed": 0,
        "number_format": "",
        **more,
    }
    return Plan(find_categories([folder]), references=references, **fields)


def test_a_product_with_fewer_references_is_measured_once_with_those_it_has(tmp_path: Path) -> None:
    a_product(tmp_path / "set/flange")
    plan, results = a_plan(tmp_path), Results(tmp_path)
    (work,) = plan.missing(results, "v 1", 20)
    assert work.settings == (
        *(Setting("ADClick", n, j) for n in (0, 3) for j in (0.0, 1.0)),
        *(Setting("GrabCut", None, j) for j in (0.0, 1.0)),
    )
    results.add(Row(work.category, work.name, s, "v 1", 20, [0.5] * 10) for s in work.settings[:4])
    reported = [(asked, setting.references) for asked, setting, _, _ in plan.lines(results, "v 1")]
    assert list(plan.lines(results, "v 2")) == []
    assert reported == [(asked, n) for asked, n in (("0", 0), ("10", 3), ("all", 3)) for _ in range(2)]


def test_products_take_turns(tmp_path: Path) -> None:
    a_product(tmp_path / "set/bolt", defects=1)
    a_product(tmp_path / "set/flange", defects=2)
    work = a_plan(tmp_path).missing(Results(tmp_path), "v 1", 20)
    assert [(w.number, w.image.name) for w in work] == [(1, "0.png"), (2, "0.png"), (2, "1.png")]


def test_what_was_measured_with_other_weights_or_fewer_clicks_is_measured_again(tmp_path: Path) -> None:
    a_product(tmp_path / "set/flange", good=0)
    plan = a_plan(tmp_path, ["0"], methods=["ADClick"], jitters=[0.0])
    results = Results(tmp_path)
    (work,) = plan.missing(results, "v 1", 5)
    results.add([Row(work.category, work.name, work.settings[0], "v 1", 5, [0.5] * 5)])
    with (tmp_path / "images.jsonl").open("a") as file:
        file.write('{"category": "killed wh')
    again = Results(tmp_path)
    assert plan.missing(again, "v 1", 5) == []
    assert plan.missing(again, "v 1", 20) == plan.missing(again, "v 2", 5) == [work]


def test_an_image_is_never_among_its_own_references(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if the same file lies among the defect-free ones."""
    a_product(tmp_path / "p", good=2)
    image = tmp_path / "p/test/stain/0.png"
    (tmp_path / "p/train/good/copy.png").write_bytes(image.read_bytes())
    local = LocalEngine(tmp_path / "data")
    monkeypatch.setattr(local.engine, "encode_reference", lambda *_: None)
    monkeypatch.setattr(local.engine, "leave_one_out", lambda *_: {})
    compared: list[tuple[str, ...]] = []

    def open_image(key: Any, bank: Any, *_: Any) -> Any:
        compared.append(bank.references)
        raise RuntimeError

    monkeypatch.setattr(PreparedImages, "open", lambda self, *args: open_image(*args))
    bank = local.bank("1", sorted((tmp_path / "p/train/good").iterdir()))
    with pytest.raises(RuntimeError):
        local.open(bank, image)([Click(9, 9, True)])
    assert len(bank.references) == 3
    assert set(compared[0]) < set(bank.references)
    assert len(compared[0]) == 2


def test_16_bit_images_are_measured_as_light_as_the_references(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, grey in enumerate((3000, 9000, 2000)):
        write_deep(tmp_path / f"{number}.png", np.full((8, 8), grey, np.uint16))
    local = LocalEngine(tmp_path / "data")
    seen: list[tuple[ImageKey, int]] = []
    monkeypatch.setattr(
        local.engine, "encode_reference", lambda key, pixels: seen.append((key, int(pixels[0, 0, 0])))
    )
    monkeypatch.setattr(local.engine, "leave_one_out", lambda *_: {})

    def click(key: ImageKey, bank: Any, load: Any, clicks: Any) -> Any:
        seen.append((key, int(load()[0, 0, 0])))
        raise RuntimeError

    monkeypatch.setattr(local.engine, "click", click)
    bank = local.bank("1", [tmp_path / "0.png", tmp_path / "1.png"])
    with pytest.raises(RuntimeError):
        local.open(bank, tmp_path / "2.png")([Click(4, 4, True)])
    assert {key.white for key, _ in seen} == {16383}
    assert sorted(grey for _, grey in seen) == [round(grey * 255 / 16383) for grey in (2000, 3000, 9000)]


def test_the_benchmark_measures_reports_and_can_be_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a_product(tmp_path / "data/set/flange", good=2)
    out = tmp_path / "out"
    command = ["benchmark", str(tmp_path / "data"), "--out", str(out), "--clicks", "3", "--jobs", "1"]
    command += ["--references", "0", "all"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "| ADClick | 0 | 0 % | **mean** | 1 |" in printed
    assert printed.strip() == (out / "table.md").read_text().strip()
    lines = (out / "images.jsonl").read_text().splitlines()
    rows = Results(out).rows()
    assert [row.setting.references for row in rows] == [0, 2]
    assert all(len(row.ious) == len(row.scores) == 3 and max(row.ious) > 0.3 for row in rows)
    (found,) = [
        m for m in json.loads((out / "results.json").read_text())["means"] if m["references"] == "all"
    ]
    assert found["AP@3"] > 50
    assert found["AP@5"] is None
    assert found["scores"]["count"] == 3
    assert cv2.imread(str(out / "pictures/ADClick-all-0/worst-1.png")) is not None
    assert main(command) == 0
    assert (out / "images.jsonl").read_text().splitlines() == lines


def test_variants_look_otherwise_and_leave_nothing_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an image with more pixels than the network sees, a window is opened by all but the one without zoom."""
    a_product(tmp_path / "data/set/flange", good=1, size=1400)
    opened: dict[str, int] = {}
    look = Windows.look
    weights: set[float] = set()

    def counted(self: Windows, key: ImageKey, *rest: Any) -> Any:
        opened[key.project] = opened.get(key.project, 0) + 1
        weights.add(self._model().config.matching.position_weight)
        return look(self, key, *rest)

    monkeypatch.setattr(Windows, "look", counted)
    command = ["benchmark", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--clicks", "2"]
    assert main([*command, "--jobs", "1", "--variants"]) == 0
    usual = ClickConfig()
    assert usual.zoom.worthwhile < 2
    assert (usual.matching.position_weight, usual.threshold.missed, len(usual.threshold.levels)) == (
        1.5,
        0.2,
        5,
    )
    assert len(opened) == len(CHANGES)  # all but the one without zoom, and ADClick itself
    assert weights == {0.0, 1.5, 150.0}
    printed = capsys.readouterr().out
    for name in (ADCLICK, *CHANGES):
        assert f"| {name} | all | 0 % | **mean** | 1 |" in printed


def test_processes_share_the_work_and_say_what_they_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a_product(tmp_path / "set/flange", good=0, defects=3, size=64)
    save_image(tmp_path / "set/flange/ground_truth/stain/1_mask.png", np.zeros((64, 64), np.uint8))
    command = ["benchmark", str(tmp_path), "--out", str(tmp_path / "out"), "--clicks", "1", "--jobs", "2"]
    assert main([*command, "--peers", "--only-peers"]) == 1
    said = capsys.readouterr()
    assert "| GrabCut | - | 0 % | set/flange | 2 of 3 |" in said.out
    assert "| GrabCut | - | 0 % | **mean** | 2 of 3 |" in said.out
    assert "stain/1.png was left out: its mask is empty." in said.err


def test_two_runs_are_equal_to_the_digit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two processes share references and what is measured of them, in whatever order."""
    a_product(tmp_path / "data/set/bolt", good=2, defects=2)
    a_product(tmp_path / "data/set/flange", good=4, defects=2, size=150)
    command = ["benchmark", str(tmp_path / "data"), "--clicks", "2", "--jobs", "2", "--jitter", "1"]
    rows, kept, tables_ = [], [], []
    for out in (tmp_path / "a", tmp_path / "b"):
        assert main([*command, "--peers", "--out", str(out)]) == 0
        printed = capsys.readouterr().out
        found = Results(out).rows()
        rows.append(sorted(found, key=lambda row: row.key[1:] + row.key[:1]))
        files = sorted((out / "trials").iterdir())
        kept.append([(f.name, {k: v.tobytes() for k, v in np.load(f).items()}) for f in files])
        tables_.append((printed, (out / "results.json").read_text()))
    assert rows[0] == rows[1]
    assert kept[0] == kept[1]
    assert tables_[0] == tables_[1]
    asked = {row.number_format for row in rows[0] if row.setting.method == "ADClick"}
    assert asked == {number_format().name}
    assert {row.number_format for row in rows[0] if row.setting.method != "ADClick"} == {""}
    assert f"computed in {number_format().name}." in printed.splitlines()[0]


def test_what_was_measured_in_another_number_format_is_measured_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a_product(tmp_path / "data/set/flange", good=0)
    out = tmp_path / "out"
    command = ["benchmark", str(tmp_path / "data"), "--out", str(out), "--clicks", "1", "--jobs", "1"]
    for asked in ("float32", "bfloat16", "float32"):
        assert main([*command, "--number-format", asked]) == 0
        assert f"computed in {asked}." in capsys.readouterr().out
        assert json.loads((out / "results.json").read_text())["number_format"] == asked
    lines = (out / "images.jsonl").read_text().splitlines()
    assert [json.loads(line)["number_format"] for line in lines] == ["float32", "bfloat16", "float32"]


def test_engines_that_link_the_same_references_at_once_all_find_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_product(tmp_path / "set/flange", good=12, defects=0, size=32)
    good = sorted((tmp_path / "set/flange/train/good").iterdir())
    start, failed, symlink_to = threading.Barrier(6), [], Path.symlink_to

    def at_once(link: Path, target: Path) -> None:
        start.wait(20)
        symlink_to(link, target)

    def open_bank() -> None:
        local = LocalEngine(tmp_path / "data")
        monkeypatch.setattr(local.engine, "encode_reference", lambda *_: None)
        monkeypatch.setattr(local.engine, "leave_one_out", lambda *_: {})
        try:
            assert len(local.bank("1", good).references) == 12
        except Exception as error:
            failed.append(error)

    monkeypatch.setattr(Path, "symlink_to", at_once)
    threads = [threading.Thread(target=open_bank) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_many_images_of_a_linked_product_are_all_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Several processes begin with the same product at the same time."""
    a_product(tmp_path / "disk/flange", good=3, defects=6, size=64)
    (tmp_path / "disk/flange/train/good").rename(tmp_path / "disk/good")
    (tmp_path / "disk/flange/train/good").symlink_to(tmp_path / "disk/good")
    (tmp_path / "data/set").mkdir(parents=True)
    (tmp_path / "data/set/flange").symlink_to(tmp_path / "disk/flange")
    command = ["benchmark", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--clicks", "1"]
    assert main([*command, "--jobs", "3"]) == 0
    said = capsys.readouterr()
    assert "| ADClick | all | 0 % | set/flange | 6 |" in said.out
    assert "left out" not in said.err


def test_a_result_says_how_many_images_it_lacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One behind a broken link, all of a product whose masks are of another size, and references that are gone."""
    a_product(tmp_path / "set/bolt", good=0, defects=2, size=64)
    a_product(tmp_path / "set/flange", good=2, defects=2, size=64)
    for number in range(2):
        save_image(
            tmp_path / f"set/bolt/ground_truth/stain/{number}_mask.png", np.full((8, 8), 255, np.uint8)
        )
    for name in ("test/stain/1.png", "train/good/0.png"):
        path = tmp_path / "set/flange" / name
        path.unlink()
        path.symlink_to("/nowhere.png")
    command = ["benchmark", str(tmp_path), "--out", str(tmp_path / "out"), "--clicks", "1", "--jobs", "2"]
    assert main([*command, "--peers", "--only-peers"]) == 1
    said = capsys.readouterr()
    assert "| GrabCut | - | 0 % | set/bolt | 0 of 2 | – |" in said.out
    assert "| GrabCut | - | 0 % | set/flange | 1 of 2 |" in said.out
    assert "| GrabCut | - | 0 % | **mean** | 1 of 4 |" in said.out
    assert "1.png is a link to /nowhere.png, which is not there." in said.err
    assert "train/good/0.png is a link to /nowhere.png, which is not there." in said.err
    products = json.loads((tmp_path / "out/results.json").read_text())["products"]
    counted = {p["category"]: (p["images"], p["planned"]) for p in products if p["method"] == "GrabCut"}
    assert counted == {"set/bolt": (0, 2), "set/flange": (1, 2)}


def test_no_process_outlives_a_killed_benchmark(tmp_path: Path) -> None:
    program = (
        "import multiprocessing, os, time\n"
        "from adclick_backend.benchmark import worker\n"
        "def child():\n"
        "    import threading\n"
        "    threading.Thread(target=worker._end_with_parent, daemon=True).start()\n"
        "    time.sleep(60)\n"
        "process = multiprocessing.get_context('fork').Process(target=child)\n"
        "process.start()\n"
        "print(process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, timeout=60)
    child = int(done.stdout)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{child}/cmdline").exists() and Path(f"/proc/{child}/cmdline").read_bytes():
        assert time.monotonic() < deadline, "the worker goes on without its benchmark"
        time.sleep(0.05)


def test_a_folder_without_products_is_said_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["benchmark", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "No product in MVTec layout" in capsys.readouterr().out


# --- peers


@pytest.mark.parametrize("name", list(CLASSICAL))
def test_peers_find_a_plain_square(name: str) -> None:
    rng = np.random.default_rng(0)
    image = np.clip(rng.normal(80, 4, (256, 256, 3)), 0, 255).astype(np.uint8)
    target = np.zeros((256, 256), bool)
    target[100:150, 110:160] = True
    image[target] = (200, 60, 60)
    clicks = [Click(135, 125, True), Click(30, 30, False), Click(220, 200, False)]
    found = CLASSICAL[name](image)(clicks).mask
    assert (found & target).sum() / (found | target).sum() > 0.8


def test_mobile_sam_gets_points_in_its_own_frame_and_its_earlier_mask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files themselves are not here; their inputs and outputs are."""
    seen: list[dict[str, Any]] = []

    def run(path: Path, inputs: dict[str, Any]) -> list[Any]:
        if path.name == "encoder.onnx":
            assert inputs["input"].shape == (1, 3, 1024, 1024)
            return [np.zeros((1, 256, 64, 64), np.float32)]
        seen.append(inputs)
        h, w = (int(v) for v in inputs["orig_im_size"])
        logits = np.full((1, 1, h, w), -2.0, np.float32)
        logits[..., :10, :20] = 2.0
        return [logits, np.array([[0.7]], np.float32), np.full((1, 1, 256, 256), len(seen), np.float32)]

    fake: Any = ModuleType("onnxruntime")
    fake.SessionOptions = SimpleNamespace
    fake.InferenceSession = lambda path, options: SimpleNamespace(run=lambda _, inputs: run(path, inputs))
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    with pytest.raises(FileNotFoundError, match=r"needs encoder\.onnx"):
        MobileSam(tmp_path)
    for name in ("encoder.onnx", "sam.onnx"):
        (tmp_path / name).touch()
    segment = MobileSam(tmp_path)(np.zeros((64, 128, 3), np.uint8))
    answers = [segment([Click(16, 8, True)]), segment([Click(16, 8, True), Click(100, 60, False)])]
    assert answers[1].mask.sum() == 200
    assert answers[1].score == pytest.approx(0.7)
    assert seen[1]["point_coords"].tolist() == [[[128, 64], [800, 480], [0, 0]]]
    assert seen[1]["point_labels"].tolist() == [[1, 0, -1]]
    assert [float(s["has_mask_input"][0]) for s in seen] == [0, 1]
    assert seen[1]["mask_input"][0, 0, 0, 0] == 1


# --- figures, tables, pictures


def test_a_kept_trial_is_read_as_it_was_and_measured_exactly(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    target = square()
    probability = np.clip(rng.normal(0.3 + 0.4 * target, 0.2), 0.001, 0.999).astype(np.float32)
    answers = iter([Answer(square(x=24 - i), probability, 0.5) for i in range(20)])
    trial = click_through(lambda clicks: next(answers), target, clicks=3)
    trials.store(tmp_path / "a.npz", trial, target.shape)
    stored = trials.load(tmp_path / "a.npz")
    assert stored.clicks == trial.clicks
    assert (stored.drawn == square(x=22)).all()
    cv2.imwrite(str(tmp_path / "mask.png"), target.astype(np.uint8) * 255)
    figures = pixel_figures([(tmp_path / "a.npz", tmp_path / "mask.png")])
    assert set(figures["AP"]) == {2, 3}
    assert figures["AP"][3] == pytest.approx(100 * pixel_average_precision([probability], [target]), abs=0.05)


def test_the_table_has_the_mean_over_products_not_over_images() -> None:
    first = a_line("s/a", [a_row([1.0] * 10, image=str(i)) for i in range(3)])
    text = tables([first, a_line("s/b", [a_row([0.5] * 20)])])
    assert (
        "| ADClick | all | 0 % | **mean** | 4 | 75.0 | 75.0 | 75.0 | 75.0 | 75.0 | 10.5 | 10.5 | 10.5 |"
        in text
    )
    assert "| ADClick | all | 0 % | **mean** | 4 | – | – | – | 80.0 | 70.0 | 90.0 | – | – | – |" in text
    assert json.loads(as_json([first], {}))["products"][0]["AP@2"] is None


def test_regret_counts_the_clicks_that_made_a_mask_worse_and_says_by_how_much() -> None:
    rows = [
        a_row([0.5, 0.45, 0.7, 0.5, 0.51]),  # 5 points are not more than 5; then 20
        a_row([0.9, 0.83, 1.0, 1.0, 1.0]),  # 7; a mask that is right was not clicked again
        a_row([0.8]),
    ]
    found = regret(rows)
    assert found.clicks == 4 + 2
    assert found.figures == pytest.approx([100 * 2 / 6, 100 * 1 / 6, 13.5])
    nothing = regret([a_row([0.5, 0.6])])
    assert nothing[:3] == (1, 0.0, 0.0)
    assert math.isnan(nothing.fall)
    assert all(map(math.isnan, regret([a_row([0.5])]).figures))


def test_the_report_has_the_regret_of_every_method_and_product() -> None:
    lines = [a_line("s/a", [a_row([0.9, 0.7, 0.9])]), a_line("s/b", [a_row([0.5, 0.6, 0.7, 0.8, 0.9])])]
    text = tables(lines)
    assert "| clicks | fell by over 5 | fell by over 15 | fall |" in text
    assert "| ADClick | all | 0 % | **all** | 2 | 6 | 16.7 | 16.7 | 20.0 |" in text
    document = json.loads(as_json(lines, {}))
    assert document["means"][0]["fell by over 5"] == 16.67
    assert [p["fell by over 15"] for p in document["products"]] == [50.0, 0.0]
    assert document["products"][1]["fall"] is None


def test_correlations_are_those_of_scipy_and_bins_add_up() -> None:
    rng = np.random.default_rng(2)
    scores = np.round(rng.random(200), 2)
    ious = np.clip(scores + rng.normal(0, 0.2, 200), 0, 1)
    found = calibrate(scores.tolist(), ious.tolist())
    assert found.pearson == pytest.approx(pearsonr(scores, ious)[0])
    assert found.spearman == pytest.approx(spearmanr(scores, ious)[0])
    assert sum(b.count for b in found.bins) == 200
    assert "| 0.9 to 1.0 |" in reliability_table(found)
    assert calibrate([0.25] * 4, [0.5] * 4).error == pytest.approx(0.25)


def test_an_overlay_shows_the_true_border_and_the_clicks() -> None:
    image = np.full((64, 64, 3), 128, np.uint8)
    picture = overlays.overlay(image, square(), square(x=30), [Click(5.5, 5.5, False)], "title")
    right = picture[26:, overlays.WIDTH :]
    assert (right == overlays.TRUE).all(axis=-1).any()
    assert (right[41, 41] == overlays.NEGATIVE).all()
    assert (picture[26:, : overlays.WIDTH] == 128).all()
