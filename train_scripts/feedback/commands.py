"""`python -m train_scripts finetune` and `promote`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inference.commands.common import DEFAULTS, ModelsDir
from inference.common.errors import UserError
from train_scripts.terminal import one_sentence


def finetune_command(
    *,
    feedback: Annotated[Path, typer.Option(help="What 'python -m bot export' wrote, in any format.")],
    model: Annotated[str, typer.Option(help="The model to teach, by its name in --models-dir.")],
    data: Annotated[Path, typer.Option(help="Its own data: images/, train.jsonl and val.jsonl.")],
    out: Annotated[Path, typer.Option(help="A new folder for the checkpoint and the report.")],
    models_dir: ModelsDir = DEFAULTS.models_dir,
    erased: Annotated[
        Path | None, typer.Option(help="erased.jsonl of a newer export, for an export of before today.")
    ] = None,
    readings: Annotated[
        Path | None,
        typer.Option(help="What 'read' wrote of --data: spares reading those pictures again.", exists=True),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="At most; it ends early when nothing is gained.")] = 24,
    rate: Annotated[float, typer.Option(min=0, help="Learning rate.")] = 1e-3,
    batch: Annotated[int, typer.Option(min=1, help="Lessons a step.")] = 4,
    replay: Annotated[
        float, typer.Option(min=0, help="Rows of the original data for every lesson, against forgetting.")
    ] = 4.0,
    preference: Annotated[float, typer.Option(min=0, help="Weight of the preference pairs (DPO).")] = 0.2,
    beta: Annotated[float, typer.Option(min=0, help="Of DPO: larger stays nearer to the parent.")] = 0.1,
    patience: Annotated[int, typer.Option(min=1, help="Epochs without coming nearer.")] = 5,
    measure: Annotated[str, typer.Option(help="The score that must not fall on val.")] = "meteor",
    val_pictures: Annotated[int, typer.Option(min=0, help="Of val, for every epoch; 0: all.")] = 200,
    seed: Annotated[int, typer.Option(help="Of everything drawn.")] = 7,
    threads: Annotated[int | None, typer.Option(min=1, help="Processor threads of torch.")] = None,
) -> None:
    """Teach a model what people corrected and preferred, and compare it with what it was."""
    import torch  # noqa: PLC0415 - slow to import

    from train_scripts.feedback.finetune import Options  # noqa: PLC0415
    from train_scripts.feedback.report import summary, write_report  # noqa: PLC0415
    from train_scripts.feedback.run import Sources, run  # noqa: PLC0415
    from train_scripts.metrics.command_line import known_measure  # noqa: PLC0415
    from train_scripts.process import set_up_process  # noqa: PLC0415

    set_up_process()
    if threads is not None:
        torch.set_num_threads(threads)
    with one_sentence():
        options = Options(
            epochs=epochs,
            rate=rate,
            batch=batch,
            replay=replay,
            preference=preference,
            beta=beta,
            patience=patience,
            measure=known_measure(measure),
            val_pictures=val_pictures,
            seed=seed,
        )
        sources = Sources(feedback, model, data, out, models_dir, erased, readings)
        result = run(sources, options, say=typer.echo)
        write_report(result)
        typer.echo(summary(result))


def promote_command(
    run: Annotated[Path | None, typer.Argument(help="What 'finetune' wrote, or a checkpoint.")] = None,
    *,
    name: Annotated[str, typer.Option(help="The model in whose place it goes.")],
    models_dir: ModelsDir = DEFAULTS.models_dir,
    force: Annotated[bool, typer.Option("--force", help="Also when it was found worse.")] = False,
    back: Annotated[bool, typer.Option("--rollback", help="Back to the one before.")] = False,
) -> None:
    """Put a checkpoint in the place of a model; a running bot picks it up."""
    from train_scripts.feedback.promote import promote, rollback  # noqa: PLC0415 - torch

    with one_sentence():
        if (run is None) != back:
            raise UserError("Give either the folder of a run to promote, or --rollback.")
        done = promote(run, name, models_dir, force=force) if run else rollback(name, models_dir)
        typer.echo(str(done))
