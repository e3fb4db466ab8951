"""What soli.train does: a captioner is trained into a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig

from soli.configuration import build
from soli.configuration.jobs import job_number, job_overrides
from soli.datasets import CaptionedImages, data_fingerprint, find_leaks
from soli.feature_cache import make_folder
from soli.interfaces import CaptionDataset
from soli.jobs.announcing import announce, announce_steps, summary
from soli.jobs.next_steps import say_after_dry_run, say_after_training
from soli.jobs.recipe import check_decoder_learns, check_recipe, make_matching, make_recipe, seen_conditions
from soli.jobs.resuming import begun_settings, has_ended, is_begun, plain_settings, resumed_settings
from soli.jobs.run_folder import check_run_dir, run_folder, take_over
from soli.jobs.same_data import say_of_data
from soli.jobs.sizes import check_splits
from soli.jobs.starting import check_replaced, completed, load_start, start_tokenizer, starts_trained
from soli.jobs.validating import validation
from soli.model import Captioner
from soli.runs import build_captioner, build_dataset, build_tokenizer, load_tokenizer, pick_device, write_run
from soli.training.checkpoint import LAST, read_progress
from soli.training.endings import interruptible
from soli.training.leftovers import check_last
from soli.training.lock import RunLock
from soli.training.loop import Validate, train
from soli.training.matching import Matching
from soli.training.preparing import check_steps, prepare_negatives
from soli.training.processes import as_one, is_first_process, local_device, start
from soli.training.schedule import phase_settings, trained_parts
from soli.training.settings import Recipe
from soli.training.siamese import Siamese

GENTLE_RATE, USUAL_RATE = 3e-4, 5e-5  # of a pretrained encoder: the highest that is said nothing of, and one that suits most


class _Work(NamedTuple):
    """What a training works with."""

    dataset: CaptionDataset
    data: CaptionedImages
    model: Captioner
    siamese: Siamese
    matching: Matching
    validate: Validate

    @classmethod
    def of(cls, settings: Any, recipe: Recipe, resumed: Path | None, saved: bool, num_processes: int) -> _Work:
        """Raises SoliError for what cannot be trained."""
        dataset = build_dataset(settings)
        check_splits(dataset, seen_conditions(settings, recipe, dataset.reference_side))
        model = _captioner(settings, dataset, resumed, saved)
        siamese, matching = Siamese(build(settings["contrastive"]), build(settings["negatives"])), make_matching(settings, recipe)
        data = CaptionedImages(dataset, "train", model.tokenizer, recipe.loader.max_tokens)
        check_recipe(settings, recipe, model)
        check_steps(recipe, len(data), siamese, num_processes, matching)
        prepare_negatives(recipe, data, siamese, matching)
        return cls(dataset, data, model, siamese, matching, validation(model, dataset, settings, recipe))

    @property
    def terms(self) -> dict[str, Any]:
        """The terms on embeddings by their losses."""
        return {"contrastive": self.siamese, "matching": self.matching}


def main(config: DictConfig) -> None:
    """Trains alone in the run folder: the first process of the training holds its lock until the end.

    With dry_run it ends before the first step, and has written nothing.
    """
    with RunLock() as lock:
        _main(config, lock)


def _main(config: DictConfig, lock: RunLock) -> None:
    folder, is_alone, is_dry = run_folder(config), job_number() is None, config.dry_run
    goes_on = not is_alone and is_begun(folder, config)
    resume = goes_on or config.resume is not None
    if goes_on:
        settings = begun_settings(folder, config)
    else:
        settings = resumed_settings(folder, config) if resume else _new_settings(config)
    if resume and has_ended(folder, settings, goes_on):
        if is_alone and is_first_process():
            say_after_training(folder, settings)
        return
    recipe = make_recipe(settings)
    check_decoder_learns(settings, recipe.phases)
    device = local_device(pick_device(recipe.runtime.device))
    accelerator = start(device, recipe.runtime.precision)
    accelerator.wait_for_everyone()  # all have seen whether there is a run, before the first process makes one
    is_main = accelerator.is_main_process
    with as_one(accelerator):
        if is_main:
            if not resume:
                check_run_dir(folder, recipe.features.cache)
            elif is_dry:
                check_last(folder)
            else:
                take_over(folder, lock)
    saved = resume and (folder / LAST).exists()

    work = _Work.of(settings, recipe, folder if resume else None, saved, accelerator.num_processes)
    if recipe.features.cache is not None and not is_dry:
        make_folder(Path(recipe.features.cache))

    with as_one(accelerator):  # all that can be refused has been looked at: a folder that is begun is a run
        if is_main:
            described = data_fingerprint(work.dataset)
            if resume or settings["init_from"] is not None:
                say_of_data(folder if resume else settings["init_from"], described)
            if not resume:
                leaks = find_leaks(work.dataset)
                if not is_dry:
                    lock.take(folder)
                    found = {**summary(work.dataset), "leaks": leaks, "fingerprint": described}
                    write_run(folder, settings, work.model.tokenizer, found, device)
                announce(work.dataset, leaks, work.model, recipe, work.terms, _hints(settings, recipe))
            done = read_progress(folder / LAST).step if saved else 0
            announce_steps(recipe, len(work.data), folder, device, accelerator.num_processes, done)
    if is_dry:
        if is_main and is_alone:
            say_after_dry_run(job_overrides())
        return
    with interruptible(folder):
        work.model.to(device).to(memory_format=torch.channels_last)
        progress = train(work.model, work.data, recipe, folder, work.validate, resume, work.siamese, work.matching)
    if is_main:
        best = f", best validation {recipe.validation.metric} {progress.best_score:.3f}" if progress.best_score is not None else ""
        print(f"Done: {progress.step} steps{best}. The run is in {folder}")
        if is_alone:
            say_after_training(folder, settings)


def _new_settings(config: DictConfig) -> dict[str, Any]:
    """The whole config of a new run."""
    settings = plain_settings(config)
    check_replaced(settings)
    return completed(settings)


def _captioner(settings: Any, dataset: CaptionDataset, resumed: Path | None, saved: bool) -> Captioner:
    """The captioner with its first weights, if none were `saved`; with the words of the run that is resumed, or started from, if one is."""
    kept = load_tokenizer(resumed) if resumed is not None else start_tokenizer(settings)
    captions = (caption for example in dataset.examples("train") for caption in example.captions)
    tokenizer = kept if kept is not None else build_tokenizer(settings, captions)
    torch.manual_seed(settings["seed"])
    model = build_captioner(settings, tokenizer, new=not saved and settings["init_from"] is None)
    if not saved:
        load_start(model, settings)
    return model


def _hints(settings: Any, recipe: Recipe) -> list[str]:
    """Sentences where the training does not suit the weights that the encoder starts from."""
    encoder, is_trained = settings["encoder"], "encoder" in trained_parts(recipe.phases)
    if not (starts_trained(settings) or encoder.get("weights")):
        advice = "give encoder.weights, or start with init_from=<run>."
        return [] if is_trained else [f"The encoder's weights are random, and no phase trains it: {advice}"]
    factor = recipe.optimizer.factor("encoder")
    rate = max(phase.train.get("encoder", 0) * factor * phase_settings(recipe.optimizer, phase).lr for phase in recipe.phases.values())
    if "weights" not in encoder or rate <= GENTLE_RATE:
        return []
    lower = f"optimizer.factors.encoder={factor * USUAL_RATE / rate:.1g}"
    return [f"The encoder is pretrained, and learns at a rate of {rate:g}: above {GENTLE_RATE:g} most forget what they know. Try {lower}."]
