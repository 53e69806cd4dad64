from __future__ import annotations

from collections.abc import Iterator

import pytest

from adclick_backend.cli import main
from adclick_backend.settings import Settings, SettingsError, get_settings


@pytest.fixture(autouse=True)
def fresh_settings() -> Iterator[None]:
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


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


def test_a_backbone_that_is_not_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADCLICK_BACKBONE", "resnet")
    get_settings.cache_clear()
    with pytest.raises(SettingsError, match="ADCLICK_BACKBONE: must be one of vit, lite, and not 'resnet'"):
        get_settings()


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


def test_every_setting_that_cannot_be_is_named_with_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADCLICK_TRAIN_EVERY", "-3")
    monkeypatch.setenv("ADCLICK_MODEL_THREADS", "many")
    with pytest.raises(SettingsError) as refused:
        get_settings()
    assert "ADCLICK_TRAIN_EVERY: " in str(refused.value)
    assert "'-3'" in str(refused.value)
    assert "ADCLICK_MODEL_THREADS: " in str(refused.value)
    assert "'many'" in str(refused.value)
