"""`python -m train_scripts prepare SOURCE … --out DIR`: data of many sources in one format."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields, replace
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from inference.checkpoints.names import HubModel
from inference.common.errors import UserError
from train_scripts.data.dataset import SPLITS
from train_scripts.data.duplicates import THRESHOLD
from train_scripts.data.prepare import WORK, Plan, Report, prepare
from train_scripts.data.records import Item
from train_scripts.data.sources.coco import read_coco
from train_scripts.data.sources.feedback import read_feedback
from train_scripts.data.sources.flickr import read_flickr8k, read_flickr30k
from train_scripts.data.sources.table import Columns, read_table
from train_scripts.data.sources.vk import API, Vk, group_name, read_vk
from train_scripts.data.translate import Translates
from train_scripts.terminal import TrainCommand, one_sentence

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Read a source into one format: OUT/images and OUT/metadata.jsonl, with a report in OUT/prepare. "
    "An interrupted command goes on where it stopped when it is given again.",
)

_SENTENCES = 10  # shown of those that were left out


@contextmanager
def one_sentence_errors() -> Iterator[None]:
    """See :func:`train_scripts.terminal.one_sentence`; an interrupted command says how it goes on."""
    try:
        with one_sentence():
            yield
    except KeyboardInterrupt:
        typer.echo("Stopped. The same command goes on from here.", err=True)
        raise typer.Exit(130) from None


@dataclass(frozen=True, slots=True)
class Common:
    """The options that all sources share; those from `model` on are for English captions."""

    out: Annotated[Path, typer.Option(help="Folder of the data set: new, or begun by the same command.")]
    val: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of the pictures without a split that becomes val.")
    ] = 0.0
    test: Annotated[float, typer.Option(min=0, max=0.9, help="Share that becomes test.")] = 0.0
    seed: Annotated[int, typer.Option(min=0, help="Which pictures these are.")] = 0
    bits: Annotated[
        int,
        typer.Option(
            "--duplicate-bits",
            min=0,
            max=64,
            help="Pictures whose perceptual hashes differ in at most so many of 256 bits are the same.",
        ),
    ] = THRESHOLD
    against: Annotated[
        list[Path] | None,
        typer.Option(help="A data set whose val and test pictures must not be trained on here (repeatable)."),
    ] = None
    link: Annotated[bool, typer.Option("--link", help="Hard links instead of copies, if possible.")] = False
    model: Annotated[
        str | None,
        typer.Option("--translate", help="Translate with this model, as Helsinki-NLP/opus-mt-en-ru."),
    ] = None
    translations: Annotated[
        Path | None, typer.Option(help="File of translations to keep, shared by data sets.")
    ] = None
    models_dir: Annotated[
        Path, typer.Option(envvar="MODELS_DIR", help="Where that model is looked for first.")
    ] = Path("checkpoints")
    keep_english: Annotated[
        bool, typer.Option("--keep-english", help="Keep English captions as they are.")
    ] = False

    def run(self, items: Callable[[Path], Iterable[Item]], source: str, **given: object) -> None:
        """Prepares what `items` reads, which gets the work folder, and says what came of it.

        `given`: what the command was told to read; another command may not go on in this folder.
        """
        if self.val + self.test > 0.9:
            raise UserError("--val and --test leave less than a tenth for training: give less to them.")
        plan = Plan(
            self.out,
            {"source": source} | {key: str(value) for key, value in given.items() if value is not None},
            {"val": self.val, "test": self.test},
            self.seed,
            self.bits,
            tuple(self.against or ()),
            self.link,
            self.keep_english,
            None if self.model is None else (self.model, self._load),
            self.translations,
        )
        report = prepare(items, plan)
        _say(report, self.out)

    def _load(self) -> Translates:
        from inference.captioners.hub.translation import Translator  # noqa: PLC0415 - torch

        assert self.model is not None  # noqa: S101
        return Translator(HubModel.parse(self.model), self.models_dir)


def _say(report: Report, out: Path) -> None:
    from train_scripts.terminal import console  # noqa: PLC0415

    for one in report.refused[:_SENTENCES]:
        typer.echo(one.sentence, err=True)
    if len(report.refused) > _SENTENCES:
        typer.echo(
            f"… and {len(report.refused) - _SENTENCES} more rows left out: see {out / WORK / 'report.json'}.",
            err=True,
        )
    console().print(report.counts().to_rich())


def _source(name: str, *, english: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Registers a command; its last parameter, `common`, becomes the shared options."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        own = [
            p for p in inspect.signature(function, eval_str=True).parameters.values() if p.name != "common"
        ]
        hints = inspect.get_annotations(Common, eval_str=True)
        names = [f.name for f in fields(Common)]
        shared = names if english else names[: names.index("model")]
        defaults = {f.name: f.default for f in fields(Common) if f.default is not MISSING}

        @functools.wraps(function)
        def command(**values: Any) -> None:
            common = Common(**{key: values.pop(key) for key in shared})
            with one_sentence_errors():
                function(**values, common=common)

        kind = inspect.Parameter.KEYWORD_ONLY
        parameters = [p.replace(kind=kind) for p in own] + [
            inspect.Parameter(
                key, kind, default=defaults.get(key, inspect.Parameter.empty), annotation=hints[key]
            )
            for key in shared
        ]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return app.command(name, cls=TrainCommand)(command)

    return register


Pictures = Annotated[Path, typer.Argument(metavar="PICTURES", help="Folder of the pictures.")]
Annotations = Annotated[list[Path], typer.Argument(help="Caption files (JSON), one or several.")]
PartOf = Annotated[
    str | None, typer.Option(help="Split of files whose name does not tell it: train, val or test.")
]


@_source("flickr30k", english=True)
def flickr30k_command(
    pictures: Pictures,
    captions: Annotated[
        Path | None, typer.Option(help="results.csv, a token file, or dataset_flickr30k.json.")
    ] = None,
    russian: Annotated[
        Path | None, typer.Option(help="Translated captions: JSON lines or a CSV (image_name, text).")
    ] = None,
    *,
    common: Common,
) -> None:
    """Flickr30k, with its English captions, their Russian translation, or both."""
    common.run(
        lambda _: read_flickr30k(pictures, captions, russian),
        "flickr30k",
        pictures=pictures,
        captions=captions,
        russian=russian,
    )


@_source("flickr8k", english=True)
def flickr8k_command(
    pictures: Pictures,
    texts: Annotated[Path, typer.Argument(help="Folder with Flickr8k.token.txt and the split lists.")],
    *,
    common: Common,
) -> None:
    """Flickr8k with its own split."""
    common.run(lambda _: read_flickr8k(texts, pictures), "flickr8k", pictures=pictures, texts=texts)


@_source("coco", english=True)
def coco_command(pictures: Pictures, files: Annotations, split: PartOf = None, *, common: Common) -> None:
    """COCO captions, 2014, 2017, or Karpathy's split file (dataset_coco.json)."""
    _coco_like("coco", pictures, files, split, common)


@_source("vizwiz", english=True)
def vizwiz_command(pictures: Pictures, files: Annotations, split: PartOf = None, *, common: Common) -> None:
    """VizWiz-Captions; rows that only say that the picture is too bad are left out."""
    _coco_like("vizwiz", pictures, files, split, common)


def _coco_like(source: str, pictures: Path, files: list[Path], split: str | None, common: Common) -> None:
    if split is not None and split not in SPLITS:
        raise UserError(f"There is no split {split}: choose one of {', '.join(SPLITS)}.")
    common.run(
        lambda _: chain.from_iterable(
            read_coco(file, pictures, source=source, split=split) for file in files
        ),
        source,
        pictures=pictures,
        files=list(map(str, files)),
        split=split,
    )


@_source("table", english=True)
def table_command(
    files: Annotated[list[Path], typer.Argument(help="CSV, TSV or JSON lines; train, val or test by name.")],
    *,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder that the names start from. Not given: the one of the file.")
    ] = None,
    picture: Annotated[str, typer.Option(help="Column of the picture's name.")] = "file_name",
    text: Annotated[str, typer.Option(help="Column of the caption.")] = "text",
    split: Annotated[str, typer.Option(help="Column of the split; need not be there.")] = "split",
    separator: Annotated[
        str | None, typer.Option(help="Between cells. Not given: told by the first line.")
    ] = None,
    english: Annotated[bool, typer.Option("--english", help="The captions are in English.")] = False,
    common: Common,
) -> None:
    """Any table of pictures and captions; also prepared data sets, several into one."""
    if separator is not None and len(separator) != 1:
        raise UserError("The separator must be one character, for example --separator ';'.")
    columns = Columns(picture=picture, text=text, split=split)
    common.run(
        lambda _: chain.from_iterable(
            read_table(file, pictures, columns=columns, english=english, separator=separator)
            for file in files
        ),
        "table",
        files=list(map(str, files)),
        pictures=pictures,
        columns=[picture, text, split],
        english=english,
    )


@_source("vk")
def vk_command(
    groups: Annotated[list[str], typer.Argument(help="Groups: addresses, names, or club123.")],
    limit: Annotated[int | None, typer.Option(min=1, help="Only the newest posts of each group.")] = None,
    api_url: Annotated[str, typer.Option(envvar="VK_API_URL", help="Where VK's API is.")] = API,
    *,
    common: Common,
) -> None:
    """VK groups. The token of VK's API is taken from the environment, as VK_TOKEN.

    A later run of the same command adds what is new. Pictures of posts without text go to undescribed.jsonl.
    """
    token = os.environ.get("VK_TOKEN", "").strip()
    if not token:
        raise UserError(
            "VK wants a token: get one at https://dev.vk.com and put it into the environment as VK_TOKEN."
        )
    vk = Vk(token, api_url)
    # What was fetched lies in the folder already: a link costs nothing.
    replace(common, link=True).run(
        lambda work: read_vk(groups, vk, work, limit=limit), "vk", groups=sorted(map(group_name, groups))
    )


@_source("export")
def export_command(
    folder: Annotated[Path, typer.Argument(help="What `python -m bot export` wrote.")],
    erased: Annotated[Path | None, typer.Option(help="erased.jsonl of a newer export.")] = None,
    min_rating: Annotated[
        int, typer.Option(min=1, max=5, help="Captions without a correction need at least this mark.")
    ] = 4,
    *,
    common: Common,
) -> None:
    """The bot's export: corrections, and captions with good marks."""
    common.run(
        lambda _: read_feedback(folder, erased=erased, min_rating=min_rating),
        "export",
        folder=folder,
        min_rating=min_rating,
    )
