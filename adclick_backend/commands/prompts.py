"""``adclick prompts``: the phrases that describe a project's defect types."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from adclick_backend.commands.project_arguments import add_project_arguments, chosen_settings
from adclick_backend.prompts.phrases import Added, Prompts
from adclick_backend.store import Store, project_id


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions of ``adclick prompts``."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser("list", help="show the phrases; those marked - are out of use")
    add = actions.add_parser("add", help="add phrases")
    remove = actions.add_parser("remove", help="take phrases out of use")
    restore = actions.add_parser("restore", help="use phrases again")
    for action in (add, remove, restore):
        action.add_argument("phrases", nargs="+", metavar="PHRASE")
    write = actions.add_parser("write", help="let the language model of ADCLICK_LLM_URL write them")
    write.add_argument("--product", default="", help="what is inspected, such as 'metal nut'")
    load = actions.add_parser("import", help="add the lines of a text file")
    load.add_argument("file", type=Path, metavar="FILE", help="one phrase on each line; # begins a comment")
    for action in (show, add, remove, restore, write, load):
        add_project_arguments(action)
        action.add_argument(
            "--label", required=action is not show, default="", help="as the project calls it"
        )


def run(args: argparse.Namespace) -> int:
    """Run one action; returns the exit status."""
    settings, project = chosen_settings(args), project_id(args.project)
    store = Store(settings.data_dir, settings.database_url)
    try:
        prompts = Prompts(settings, store)
        if args.action == "list":
            return _show(prompts, project, [args.label] if args.label else prompts.labels(project))
        if args.action == "add":
            return _report(prompts.add(project, args.label, args.phrases), args.label)
        if args.action == "import":
            return _import(prompts, project, args.label, args.file)
        if args.action == "write":
            written = prompts.write(project, args.label, args.product)
            print(written.sentence, file=sys.stderr if written.failed else sys.stdout)
            return int(written.failed)
        return _mark(prompts, project, args)
    finally:
        store.close()


def _show(prompts: Prompts, project: str, labels: list[str]) -> int:
    if not labels:
        print(
            f"Project {project} has no label that is known here. Name one with --label, or connect the project.",
            file=sys.stderr,
        )
        return 1
    for label in labels:
        used = set(prompts.for_label(project, label))
        print(f"{label}: {len(used)} phrases in use")
        for row in prompts.listed(project, label):
            print(f"  {' ' if row.phrase in used else '-'} {row.source:8}  {row.phrase}")
    return 0


def _import(prompts: Prompts, project: str, label: str, file: Path) -> int:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        print(f"{file} cannot be read: {error.strerror}.", file=sys.stderr)
        return 1
    except UnicodeDecodeError:
        print(f"{file} is not a text file in UTF-8.", file=sys.stderr)
        return 1
    return _report(prompts.add(project, label, lines), label)


def _report(added: Added, label: str) -> int:
    print(f"{added.new} phrases added for {label}.")
    for line in added.refused:
        print(f"Not a phrase (no letters in it, or more than 18 words): {line[:80]}", file=sys.stderr)
    return 1 if added.refused else 0


def _mark(prompts: Prompts, project: str, args: argparse.Namespace) -> int:
    act = prompts.invalidate if args.action == "remove" else prompts.restore
    unknown = [phrase for phrase in args.phrases if not act(project, args.label, phrase)]
    print(f"{len(args.phrases) - len(unknown)} phrases {args.action}d for {args.label}.")
    for phrase in unknown:
        print(f"{args.label} has no phrase {phrase!r}; `adclick prompts list` shows them.", file=sys.stderr)
    return 1 if unknown else 0
