from __future__ import annotations

from pathlib import Path

import pytest

from adclick_backend.cli import main
from adclick_backend.settings import Settings, SettingsError, get_settings


@pytest.mark.parametrize(
    ("given", "taken"), [(None, "auto"), ("float32", "float32"), (" BFloat16 ", "bfloat16")]
)
def test_the_number_format_is_a_setting(
    monkeypatch: pytest.MonkeyPatch, given: str | None, taken: str
) -> None:
    monkeypatch.delenv("ADCLICK_NUMBER_FORMAT", raising=False)
    if given is not None:
        monkeypatch.setenv("ADCLICK_NUMBER_FORMAT", given)
    settings = get_settings()
    assert settings.number_format == taken
    assert Settings.model_validate_json(settings.model_dump_json()).number_format == taken  # a job's process


def test_a_number_format_that_is_not_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ADCLICK_NUMBER_FORMAT", "int8")
    words = "ADCLICK_NUMBER_FORMAT: There is no number format 'int8'; there are: auto, float32, bfloat16."
    with pytest.raises(SettingsError) as refused:
        get_settings()
    assert str(refused.value) == words
    assert main(["serve"]) == 2
    assert capsys.readouterr().err.strip() == words


@pytest.mark.parametrize(
    "url",
    [
        "postgres://user:secret@db/adclick",
        " postgresql://user:secret@db:5432/adclick?sslmode=require ",
        "postgresql+psycopg://db/adclick",
    ],
)
def test_the_database_is_a_setting_that_is_not_shown(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("ADCLICK_DATABASE_URL", url)
    settings = get_settings()
    assert settings.database_url == url.strip()
    assert "secret" not in repr(settings)
    assert (
        Settings.model_validate_json(settings.model_dump_json()).database_url == url.strip()
    )  # a job's process


@pytest.mark.parametrize(
    "url", ["mysql://user:secret@db/adclick", "user:secret@db", "postgresql://user:secret@db"]
)
def test_another_database_is_refused_without_its_password(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("ADCLICK_DATABASE_URL", url)
    with pytest.raises(SettingsError) as refused:
        get_settings()
    assert str(refused.value).startswith(
        "ADCLICK_DATABASE_URL: must name a PostgreSQL database, as postgresql://"
    )
    assert "secret" not in str(refused.value)


def test_every_setting_that_cannot_be_is_named_with_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADCLICK_TRAIN_EVERY", "-3")
    monkeypatch.setenv("ADCLICK_MODEL_THREADS", "many")
    with pytest.raises(SettingsError) as refused:
        get_settings()
    assert "ADCLICK_TRAIN_EVERY: " in str(refused.value)
    assert "'-3'" in str(refused.value)
    assert "ADCLICK_MODEL_THREADS: " in str(refused.value)
    assert "'many'" in str(refused.value)


@pytest.mark.parametrize(
    ("backbone", "weights"),
    [
        (
            "timm:vit_small_patch14_dinov2.lvd142m",
            "backbones/timm-vit_small_patch14_dinov2.lvd142m.safetensors",
        ),
        ("eyes/own.safetensors", None),
    ],
)
def test_a_backbone_that_does_not_ship_is_looked_for_where_it_was_prepared(
    backbone: str, weights: str | None, tmp_path: Path
) -> None:
    settings = Settings(backbone=backbone, data_dir=tmp_path)
    expected = Path(backbone) if weights is None else tmp_path / weights
    assert settings.click_weights == expected
    named = backbone if weights else "timm:NAME"
    assert f"Run `adclick prepare-backbone {named} --out {expected}`" in settings.unprepared
    assert Settings(data_dir=tmp_path).unprepared == ""


def test_a_backbone_that_is_prepared_lacks_nothing(tmp_path: Path) -> None:
    settings = Settings(backbone="timm:resnet18", data_dir=tmp_path)
    settings.click_weights.parent.mkdir()
    settings.click_weights.touch()
    assert settings.unprepared == ""


@pytest.mark.parametrize("backbone", ["timm:", "timm:../resnet18", "resnet", "own.pth"])
def test_a_backbone_that_cannot_be_is_refused(backbone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADCLICK_BACKBONE", backbone)
    with pytest.raises(
        SettingsError, match=r"ADCLICK_BACKBONE: must be one of vit, lite, or timm:NAME, or the path"
    ):
        get_settings()


def test_stated_licences_know_no_other_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADCLICK_BACKBONE", "timm:resnet18")
    monkeypatch.setenv("ADCLICK_CHECKPOINT", "stated-licences")
    with pytest.raises(
        SettingsError, match=r"ADCLICK_CHECKPOINT: stated-licences has networks behind the backbones"
    ):
        get_settings()


@pytest.mark.parametrize(
    ("given", "taken"),
    [("s3://adclick", "s3://adclick"), (" s3://ad.click-2/line_3/a/ ", "s3://ad.click-2/line_3/a")],
)
def test_the_bucket_of_the_files_is_a_setting(
    given: str, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADCLICK_FILES_URL", given)
    assert get_settings().files_url == taken


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://key:secret@adclick/line", "ADCLICK_FILES_URL: carries a user name or a password: set it to"),
        ("s3:/adclick", "ADCLICK_FILES_URL: must be a bucket such as s3://adclick"),
        ("s3://adclick/../other", "ADCLICK_FILES_URL: must be a bucket such as"),
        ("https://store/adclick", "ADCLICK_FILES_URL: must be a bucket such as"),
        ("/srv/files", "ADCLICK_FILES_URL: must be a bucket such as"),
    ],
)
def test_files_that_are_no_bucket_are_refused_without_a_secret(
    url: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADCLICK_FILES_URL", url)
    with pytest.raises(SettingsError) as refused:
        get_settings()
    assert str(refused.value).startswith(said) and "secret" not in str(refused.value)
