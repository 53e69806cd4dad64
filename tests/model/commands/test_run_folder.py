from __future__ import annotations

from pathlib import Path

from model.commands.run_folder import taken


def test_a_folder_goes_on_with_the_backbone_that_it_was_begun_with(tmp_path: Path) -> None:
    run = tmp_path / "runs/click"
    assert taken(run, "vit") == ""
    assert taken(run, "vit") == ""
    assert taken(run, "lite") == (
        f"{run} holds what the backbone 'vit' saw: take another folder with --run, or --behind vit."
    )
    assert taken(run, "vit") == ""
    assert taken(tmp_path / "other", "timm-pyramid:resnet34@4-8-16") == ""
    said = "holds what the backbone 'timm-pyramid:resnet34@4-8-16' saw: take another folder with --run."
    assert taken(tmp_path / "other", "vit").endswith(said)


def test_samples_from_before_there_was_a_choice_are_of_the_convolutions(tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    assert "'lite' saw" in taken(tmp_path, "vit")
    assert taken(tmp_path, "lite") == ""
