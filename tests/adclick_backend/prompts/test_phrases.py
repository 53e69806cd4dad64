"""A project's phrases: whose are used, what stays out, and the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from adclick_backend.cli import main
from adclick_backend.prompts.phrases import Prompts
from adclick_backend.settings import Settings
from adclick_backend.store import Store
from model.language.prompts import builtin_prompts
from tests.helpers.local_server import LocalServer, Reply

CONFIG = """<View><Image name="image" value="$image"/>
<BrushLabels name="brush" toName="image"><Label value="scratch"/><Label value="dent"/></BrushLabels></View>"""


class LanguageModel(LocalServer):
    """Answers with the lines in ``lines``."""

    def __init__(self) -> None:
        self.lines = "a long scratch\na fine scratch"
        super().__init__(lambda _: Reply.json({"choices": [{"message": {"content": self.lines}}]}))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.close()


@pytest.fixture
def model() -> Iterator[LanguageModel]:
    with LanguageModel() as model:
        yield model  # type: ignore[misc]


@pytest.fixture
def prompts(store: Store, model: LanguageModel) -> Prompts:
    return Prompts(Settings(llm_url=model.url), store)


def test_without_any_phrase_the_built_in_sentences_are_used(prompts: Prompts) -> None:
    assert prompts.for_label("3", "scratch") == builtin_prompts("scratch")
    assert {row.source for row in prompts.listed("3", "scratch")} == {"built-in"}


def test_a_persons_phrases_come_first(prompts: Prompts) -> None:
    assert prompts.write("3", "scratch").new == 2
    assert prompts.add("3", "scratch", ["Silver line.", "  ", "# note", "Silver line", "42"]).refused == (
        "42",
    )
    assert prompts.for_label("3", "scratch") == ["silver line", "a long scratch", "a fine scratch"]
    assert prompts.for_labels("3", ["scratch", "dent"])["dent"] == builtin_prompts("dent")


def test_what_a_person_took_out_stays_out(prompts: Prompts, model: LanguageModel) -> None:
    prompts.write("3", "scratch")
    assert prompts.invalidate("3", "scratch", "a long scratch")
    model.lines = "a long scratch\na bright scratch"
    assert prompts.write("3", "scratch").new == 1
    assert prompts.for_label("3", "scratch") == ["a bright scratch"]
    assert prompts.restore("3", "scratch", "a long scratch")
    assert set(prompts.for_label("3", "scratch")) == {"a long scratch", "a bright scratch"}
    assert not prompts.restore("3", "scratch", "never heard of")


def test_a_phrase_that_a_person_writes_again_is_theirs_and_used(prompts: Prompts) -> None:
    prompts.write("3", "scratch")
    prompts.invalidate("3", "scratch", "a long scratch")
    assert prompts.add("3", "scratch", ["a long scratch"]).new == 1
    assert prompts.for_label("3", "scratch")[0] == "a long scratch"
    assert prompts.listed("3", "scratch")[0].source == "person"


def test_built_in_sentences_can_be_taken_out(prompts: Prompts) -> None:
    sentences = builtin_prompts("dent")
    prompts.invalidate("3", "dent", sentences[0])
    assert set(prompts.for_label("3", "dent")) == set(sentences[1:])
    for sentence in sentences[1:]:
        prompts.invalidate("3", "dent", sentence)
    assert prompts.for_label("3", "dent") == ["a defect on the product"]
    prompts.restore("3", "dent", sentences[0])
    assert prompts.for_label("3", "dent") == [sentences[0]]


def test_projects_and_labels_do_not_share_phrases(prompts: Prompts) -> None:
    """Reliability row 24."""
    prompts.add("3", "scratch", ["silver line"])
    assert "silver line" not in prompts.for_label("4", "scratch") + prompts.for_label("3", "Scratch")


def test_a_language_model_that_is_away_changes_nothing(
    prompts: Prompts, model: LanguageModel, store: Store
) -> None:
    prompts.write("3", "scratch")
    model.lines = ""
    written = prompts.write("3", "scratch")
    assert written.failed and written.sentence.endswith(
        "answered without a phrase. The phrases stay as they are."
    )
    assert len(prompts.for_label("3", "scratch")) == 2
    absent = Prompts(Settings(), store).write("3", "dent")
    assert absent.failed and absent.sentence.endswith("The built-in sentences are used.")


def test_a_label_needs_a_name(prompts: Prompts) -> None:
    with pytest.raises(ValueError, match="The label is empty"):
        prompts.add("3", " ", ["a dent"])


def test_labels_are_those_of_the_project_and_those_with_phrases(prompts: Prompts, store: Store) -> None:
    store.projects.save("3", label_config=CONFIG)
    prompts.add("3", "rust", ["brown spot"])
    assert prompts.labels("3") == ["scratch", "dent", "rust"]


# --- the command line


def command(data_dir: Path, *words: str, label: str = "scratch") -> int:
    project = ["--project", "3", "--label", label, "--data-dir", str(data_dir)]
    return main(["prompts", words[0], *project, *words[1:]])


def test_phrases_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(tmp_path, "add", "Silver line", "short dash") == 0
    assert command(tmp_path, "remove", "short dash") == 0
    capsys.readouterr()
    assert command(tmp_path, "list") == 0
    out = capsys.readouterr().out
    assert "scratch: 1 phrases in use" in out
    assert "    person    silver line\n" in out and "  - person    short dash\n" in out
    assert "  - built-in  a scratch on the product\n" in out
    assert command(tmp_path, "restore", "short dash") == 0
    assert command(tmp_path, "remove", "unheard of") == 1
    assert "scratch has no phrase 'unheard of'" in capsys.readouterr().err


def test_a_text_file_is_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "phrases.txt"
    file.write_text("\ufeff# what Ada wrote\n1. Silver line\n\n- Kratzer\n***\n", encoding="utf-8")
    assert command(tmp_path, "import", str(file)) == 1
    shown = capsys.readouterr()
    assert "2 phrases added" in shown.out and "Not a phrase" in shown.err and "***" in shown.err
    file.write_bytes(b"\xff\xfe\x00")
    assert command(tmp_path, "import", str(file)) == 1
    assert command(tmp_path, "import", str(tmp_path / "gone.txt")) == 1
    err = capsys.readouterr().err
    assert "not a text file in UTF-8" in err and "gone.txt cannot be read: No such file" in err


def test_without_a_language_model_writing_says_what_to_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(tmp_path, "write") == 1
    assert "Set ADCLICK_LLM_URL" in capsys.readouterr().err


def test_a_project_without_labels_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prompts", "list", "--project", "3", "--data-dir", str(tmp_path)]) == 1
    assert "has no label" in capsys.readouterr().err
    assert main(["prompts", "list", "--project", "../x", "--data-dir", str(tmp_path)]) == 2
