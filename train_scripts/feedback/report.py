"""What a run says for itself: report.md, report.html (one file, pictures and all), and the model card."""

from __future__ import annotations

from collections.abc import Iterator

from inference.checkpoints.card_file import CARD_FILE
from inference.checkpoints.format import CheckpointError
from inference.common.file_names import ESCAPED, picture_of
from inference.common.interpreter import PYTHON
from train_scripts.feedback.finetune import as_rows
from train_scripts.feedback.judge import GUARDED, near
from train_scripts.feedback.run import CHECKPOINT, Result
from train_scripts.metrics.evaluator import TITLES
from train_scripts.metrics.tables import comparison_sheet, examples_sheet
from train_scripts.sheets import Section, SheetRow, table_section, write_page
from train_scripts.tables import Sheet

MARKDOWN, PAGE = "report.md", "report.html"
_PARENT, _CHILD = "before", "after"
_SHOWN = 60  # corrected pictures on the page


def write_report(result: Result) -> None:
    """report.md and report.html in the run's folder, README.md in its checkpoint's.

    Raises CheckpointError when a file cannot be written.
    """
    out = result.sources.out
    tables = list(_tables(result))
    markdown = f"# {_title(result)}\n\n" + "\n\n".join(
        [*_paragraphs(result), *(table.to_markdown() for table in tables)]
    )
    card = out / CHECKPOINT / CARD_FILE
    for path, text in ((out / MARKDOWN, markdown), (card, _card(result))):
        try:
            path.write_text(text.rstrip() + "\n", encoding="utf-8", errors=ESCAPED)
        except OSError as error:
            raise CheckpointError(f"{path} cannot be written ({error}): make room there.") from error
    said = [
        SheetRow(
            name,
            picture_of(result.export.folder, name),
            {
                "correction": text,
                _PARENT: result.judge.parent_feedback[name],
                _CHILD: result.outcome.verdict.feedback[name],
            },
            marks_of="correction",
        )
        for name, text in list(result.lessons.corrections.items())[:_SHOWN]
    ]
    sections = [Section(paragraphs=_paragraphs(result)), *map(table_section, tables)]
    sections += [Section("The corrected pictures", pictures=said)] if said else []
    write_page(out / PAGE, _title(result), sections)


def summary(result: Result) -> str:
    """For the terminal: what came of it and what to do next, in a few lines."""
    out = result.sources.out
    return "\n".join([*_paragraphs(result)[:2], f"Report: {out / PAGE}", _next(result)])


def _title(result: Result) -> str:
    return f"{result.sources.model}, taught by feedback"


def _next(result: Result) -> str:
    sources = result.sources
    return (
        f"Put it in the place of {sources.model}: {PYTHON} -m train_scripts promote {sources.out} "
        f"--name {sources.model} --models-dir {sources.models_dir}"
    )


def _paragraphs(result: Result) -> list[str]:
    judge, outcome, verdict = result.judge, result.outcome, result.outcome.verdict
    difference = verdict.comparison.differences[result.options.measure]
    name, show, between = difference.measure.title, difference.measure.show, difference.difference
    moved = []
    if judge.corrections:
        before = near(judge.parent_feedback, judge.corrections)
        moved.append(
            f"On {len(judge.corrections)} corrected pictures the captions' chrF against the corrections went "
            f"from {before:.3f} to {verdict.nearness:.3f} (these pictures were learnt from)."
        )
    if result.preferred is not None:
        was, now = result.preferred
        moved.append(
            f"The text that people preferred is the likelier one in {was:.0%} of the pairs before, "
            f"{now:.0%} after."
        )
    guarded = ", ".join(TITLES[key] for key in GUARDED)
    return [
        " ".join(moved) or "Only captions that people liked were learnt.",
        f"On {len(judge.val)} val pictures, never learnt from, {name} went from {show(difference.a)} to "
        f"{show(difference.b)} (difference {show(between.value, signed=True)}, 95 % interval "
        f"{show(between.low, signed=True)} … {show(between.high, signed=True)}; the floor, the lower end of "
        f"the parent's own interval, is {show(judge.floors[judge.measure])}). Guarded beside it: {guarded}. "
        "No other score fell below its floor.",
        f"Learnt: {_learnt(result)}.",
        *([f"Not learnt: {'; '.join(_not_learnt(result))}."] if _not_learnt(result) else []),
        f"The weights of epoch {outcome.epoch} were kept. The training ended {outcome.stopped}.",
    ]


def _learnt(result: Result) -> str:
    lessons = result.lessons
    liked = sum(not one.by_person for one in lessons.lessons)
    parts = [
        f"{len(lessons.lessons) - liked} corrections of {len(lessons.corrections)} pictures",
        f"{liked} captions that people liked",
        f"{len(lessons.pairs)} pairs",
        f"{result.replay} rows of {result.sources.data.name} against forgetting",
    ]
    if result.new_words:
        parts.append(f"new words: {', '.join(result.new_words)}")
    return "; ".join(parts)


def _not_learnt(result: Result) -> list[str]:
    lines = [f"{count} {reason}" for reason, count in result.left_out.items()]
    if result.lessons.without_picture:
        lines.append(
            f"{result.lessons.without_picture} of {result.lessons.rows} rows, whose pictures were not kept "
            "(the sender has not let them be)"
        )
    if result.export.erased:
        lines.append(f"{result.export.erased} rows whose author or picture was erased since the export")
    return lines


def _tables(result: Result) -> Iterator[Sheet]:
    measure = result.options.measure
    yield comparison_sheet(result.outcome.verdict.comparison, _PARENT, _CHILD)
    if result.feedback is not None:
        sheet = comparison_sheet(result.feedback, _PARENT, _CHILD)
        yield Sheet(f"The corrected pictures (learnt from): {sheet.title}", sheet.columns, sheet.rows)
        yield examples_sheet(result.feedback, "chrf", _PARENT, _CHILD, 5)
    yield examples_sheet(result.outcome.verdict.comparison, measure, _PARENT, _CHILD, 5)
    yield Sheet(
        "Epochs: loss, the deciding measure on val, chrF against the corrections, share of the pairs whose "
        "preferred text is likelier",
        ("Epoch", "Loss", f"{measure} on val", "Nearness", "Preferred"),
        tuple(as_rows(result.outcome.history, measure)),
        text_columns=0,
    )
    yield Sheet(
        "Options", ("Option", "Value"), tuple((k, str(v)) for k, v in result.options.to_dict().items())
    )
    yield Sheet(
        "Lineage",
        ("What", "Value"),
        (
            ("parent", f"{result.sources.model} {result.parent}"),
            ("checkpoint", result.checkpoint),
            ("export", result.export.digest),
            ("exported", result.export.made_at.isoformat()),
            *((f"rows about captions of {name}", str(count)) for name, count in result.others.items()),
            ("made", result.created),
        ),
    )


def _card(result: Result) -> str:
    """The model card; its first paragraph is what lists of models show."""
    tables = [comparison_sheet(result.outcome.verdict.comparison, _PARENT, _CHILD)]
    return "\n\n".join(
        [
            "---\nlanguage: ru\npipeline_tag: image-to-text\n---",
            f"# {result.sources.model}",
            f"{result.sources.model}, taught by feedback on {result.created[:10]}: "
            f"{len(result.lessons.corrections)} corrected pictures, {len(result.lessons.pairs)} preferences.",
            "## Training",
            *_paragraphs(result),
            f"Parent: `{result.parent}`. Export: `{result.export.digest}`. Everything is under `lineage` in "
            "training.json.",
            "## Scores",
            *(table.to_markdown() for table in tables),
        ]
    )
