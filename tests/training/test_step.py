"""The step: parts and processes add up to the whole, anchors do what they say, and what is frozen stays to the bit."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from soli.degradations import parse
from soli.encoders import ResNetEncoder
from soli.interfaces import SoliError
from soli.losses import ContrastiveLoss, InfoNCELoss
from soli.model import Captioner
from soli.negatives import RandomPartner
from soli.training.processes import check_shares, split, steps_of
from soli.training.settings import LoaderSettings, OptimizerSettings, Phase, RuntimeSettings
from soli.training.siamese import Anchor
from soli.training.views import randomness
from tests.keyed_pairs import pairs_of
from tests.training.small_runs import (
    PLAIN,
    VARIANTS,
    logged,
    make_model,
    make_recipe,
    numbers,
    run,
    same,
    siamese,
    toy_data,
    variant_phases,
    weights,
)


@pytest.fixture(scope="module")
def data():
    return toy_data()


def largest_difference(first, second):
    return max((first[name] - second[name]).abs().max().item() for name in first)


def smooth(model):
    """Without kinks: where a background of one colour lies at one, a rounding error changes the gradients of all its pixels."""
    for block in model.encoder.blocks:
        block[2] = torch.nn.GELU()
    return model


@pytest.mark.parametrize("anchor", ["shared", "ema"])
@pytest.mark.parametrize(
    "parts", [{}, {"negatives": RandomPartner()}, {"loss": InfoNCELoss()}], ids=["in_batch", "random_partner", "infonce"]
)
def test_a_step_in_parts_equals_the_step_at_once(data, tmp_path, anchor, parts):
    """20 photographs in steps of 7, 7 and 6: the parts differ in size, in words and in captions."""
    ends, logs = [], []
    phase = variant_phases("par")["joint"]
    phases = {"joint": replace(phase, losses={**phase.losses, "contrastive": 1.0})}
    for accumulation in (1, 3):
        folder = tmp_path / str(accumulation)
        recipe = make_recipe(phases, anchor=anchor, optimizer=PLAIN, loader=LoaderSettings(batch_size=8, accumulation=accumulation))
        ends.append(run(recipe, folder, smooth(make_model(data.tokenizer, dropout=0.0)), data, **parts))
        logs.append(logged(folder, "train"))
    assert largest_difference(*ends) < 1e-5
    for whole, in_parts in zip(*logs, strict=True):
        assert numbers(whole) == pytest.approx(numbers(in_parts), abs=1e-5, rel=1e-5)


def test_the_contrastive_term_matters_in_that_comparison(data, tmp_path):
    recipe = make_recipe("par", optimizer=PLAIN)
    phases = {"joint": replace(recipe.phases["joint"], losses={"caption": 1.0, "attention": 1.0})}
    ends = [
        run(changed, tmp_path / str(number), make_model(data.tokenizer, dropout=0.0), data)
        for number, changed in enumerate((recipe, replace(recipe, phases=phases)))
    ]
    assert largest_difference(*ends) > 1e-3


COMMAND = (  # a ViT has no kinks: near one, a rounding error, which differs between processors, changes gradients
    "dataset.num_train=22 dataset.num_val=4 dataset.num_test=4 encoder=vit_tiny encoder.weights=null encoder.input_size=32 "
    "encoder.architecture.hidden_size=32 encoder.architecture.num_hidden_layers=1 encoder.architecture.num_attention_heads=2 "
    "encoder.architecture.intermediate_size=32 encoder.architecture.patch_size=8 encoder.finetune_from=0 decoder.hidden_dim=32 "
    "decoder.attention_dim=16 decoder.embedding_dim=16 decoder.dropout=0 vocabulary.min_count=1 loader.batch_size=8 degradation=toy "
    "variant.phases.{phase}.epochs=2 logging.every_steps=1 runtime.threads=1 variant={variant} optimizer.lr=0.01 optimizer.name=sgd"
)


@pytest.mark.parametrize(
    ("variant", "phase", "others"),
    [
        ("par", "joint", ["loader.accumulation=2"]),
        ("half", "contrastive", ["siamese.anchor=ema"]),
    ],
)
def test_two_processes_equal_one(tmp_path, variant, phase, others):
    """The real command under torchrun (gloo): in-batch negatives reach across processes, whose shares of a step differ in size."""
    overrides = [*COMMAND.format(variant=variant, phase=phase).split(), *others]
    if variant == "half":
        start = [*COMMAND.format(variant="baseline", phase="caption").split(), "runtime.max_steps=1", f"run_dir={tmp_path / 'start'}"]
        answer = subprocess.run([sys.executable, "-m", "soli.train", *start], capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr
        overrides.append(f"init_from={tmp_path / 'start'}")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    for name, launcher in (("one", []), ("two", torchrun)):
        command = [sys.executable, *launcher, "-m", "soli.train", *overrides, f"run_dir={tmp_path / name}"]
        answer = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        assert answer.returncode == 0, answer.stderr[-3000:]
    one, two = (load_file(tmp_path / name / "last.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys() and largest_difference(one, two) < 1e-5
    for alone, together in zip(logged(tmp_path / "one"), logged(tmp_path / "two"), strict=True):
        assert numbers(alone) == pytest.approx(numbers(together), abs=1e-5, rel=1e-5)
    assert answer.stdout.count("Done:") == 1  # only one of the processes speaks


def test_a_frozen_anchor_stays_and_a_moving_average_follows(data):
    model = make_model(data.tokenizer, projector="linear")
    frozen, average = Anchor(model), Anchor(model)
    images = torch.rand(2, 3, 32, 32)
    before = frozen(images)
    assert torch.equal(before, model.projector(model.encoder(images)))
    start = {name: value.clone() for name, value in average.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    average.follow(model, decay=0.75)
    assert torch.equal(frozen(images), before) and not frozen(images).requires_grad
    assert all(torch.allclose(value, start[name] + 0.25, atol=1e-6) for name, value in average.state_dict().items())


@pytest.mark.parametrize("anchor", ["frozen", "ema"])
def test_an_anchor_is_the_encoder_as_the_phase_began(data, tmp_path, anchor):
    """The first loss is that of the shared encoder: all three are the same then. Later ones are not."""
    losses = {}
    for kind in ("shared", anchor):
        run(make_recipe("half", anchor=kind), tmp_path / kind, make_model(data.tokenizer), data)
        losses[kind] = [line["contrastive"] for line in logged(tmp_path / kind, "train")]
    assert losses["shared"][0] == pytest.approx(losses[anchor][0], abs=1e-6)
    assert losses["shared"][-1] != pytest.approx(losses[anchor][-1], abs=1e-6)


def test_what_a_variant_does_not_train_stays_to_the_bit(data, tmp_path):
    """Batch norm that would train: its statistics too stay where a phase does not name the encoder, and move where it does."""
    for variant, moved, kept in (("half", "encoder.", "decoder."), ("par", "", None)):
        torch.manual_seed(0)
        encoder = ResNetEncoder("resnet18", None, stages=1, finetune_from=0, batch_norm="trained", input_size=32)
        model = Captioner(encoder, make_model(data.tokenizer).decoder.__class__(64, data.tokenizer.words, 16, 32, 16), data.tokenizer)
        before = weights(model)
        after = run(make_recipe(variant, epochs=1), tmp_path / variant, model, data)
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        assert changed and all(name.startswith(moved) for name in changed)
        assert any(name.endswith("running_mean") for name in changed)
        assert kept is None or not any(name.startswith(kept) for name in changed)


def test_con_trains_the_encoder_first_and_the_decoder_on_it_frozen(data, tmp_path):
    before = weights(make_model(data.tokenizer))
    first = {"contrastive": variant_phases("con")["contrastive"]}
    half_way = run(make_recipe(first), tmp_path / "first", make_model(data.tokenizer), data)
    after = run(make_recipe("con"), tmp_path / "con", make_model(data.tokenizer), data)
    for name in before:
        if name.startswith("encoder."):
            assert torch.equal(after[name], half_way[name]) and not torch.equal(after[name], before[name])
        else:
            assert torch.equal(half_way[name], before[name]) and not torch.equal(after[name], before[name])


def test_a_phase_has_rates_and_an_optimizer_of_its_own(data, tmp_path):
    phases = variant_phases("con", epochs=1)
    changes = replace(phases["caption"].optimizer, lr=0.5, schedule="constant", warmup_steps=0, name="sgd")
    phases["caption"] = replace(phases["caption"], optimizer=changes, train={"decoder": 0.1})
    run(make_recipe(phases), tmp_path / "run", make_model(data.tokenizer), data)
    lines = logged(tmp_path / "run", "train")
    assert [line.get("lr/decoder") for line in lines[3:]] == [pytest.approx(0.05)] * 3
    assert [line.get("lr/encoder") for line in lines[:2]] == [pytest.approx(0.0025), pytest.approx(0.005)]


def test_captions_are_learnt_on_the_views_that_are_named(data, tmp_path):
    """One clean and one unusable view: what is learnt of each shows in the first loss."""
    losses = {}
    for views in (["clean"], ["degraded"], ["clean", "degraded"]):
        phase = replace(variant_phases("par", conditions="[R0.2S1]")["joint"], caption_views=views, losses={"caption": 1.0})
        run(
            make_recipe({"joint": phase}, runtime=RuntimeSettings(max_steps=1)),
            tmp_path / "+".join(views),
            make_model(data.tokenizer, 0.0),
            data,
        )
        losses["+".join(views)] = logged(tmp_path / "+".join(views), "train")[0]["caption"]
    assert losses["clean"] != pytest.approx(losses["degraded"], abs=1e-5)
    assert losses["clean+degraded"] == pytest.approx((losses["clean"] + losses["degraded"]) / 2, abs=1e-6)


def test_the_two_views_of_a_photograph_stay_together(data, tmp_path):
    """Published code sorts each branch by caption length on its own: then a photograph meets another one's copy. Here it meets itself."""
    views = {"first": ["original"], "second": ["original"]}
    phase = replace(variant_phases("par")["joint"], views=views, caption_views=None, losses={"contrastive": 1.0, "caption": 1.0})
    recipe = make_recipe({"joint": phase}, loader=LoaderSettings(batch_size=8, accumulation=2))
    run(recipe, tmp_path / "run", make_model(data.tokenizer), data, negatives=RandomPartner(same_fraction=1.0))
    lengths = [len(ids) for captions in (data.token_ids(index) for index in range(len(data))) for ids in captions]
    assert len(set(lengths)) > 3 and max(line["contrastive"] for line in logged(tmp_path / "run", "train")) < 1e-9


def test_one_encoder_pass_gives_the_loss_of_four(data, tmp_path):
    """Published code encodes two branches for the contrastive term and again for the captions; here both together, once."""
    calls = []
    model = make_model(data.tokenizer, dropout=0.0)
    model.encoder.register_forward_hook(lambda *_: calls.append(1))
    run(make_recipe("par", runtime=RuntimeSettings(max_steps=1), loader=LoaderSettings(batch_size=20)), tmp_path / "run", model, data)
    assert len(calls) - 1 == 1  # besides the one that measures the distances


@pytest.mark.parametrize("variant", VARIANTS)
def test_bf16_trains_every_variant(data, tmp_path, variant):
    model = make_model(data.tokenizer)
    before = weights(model)
    after = run(make_recipe(variant, runtime=RuntimeSettings(precision="bf16")), tmp_path / "run", model, data)
    losses = [line["loss"] for line in logged(tmp_path / "run", "train")]
    assert not same(before, after) and all(value.dtype == before[name].dtype for name, value in after.items())
    full = tmp_path / "full"
    run(make_recipe(variant), full, make_model(data.tokenizer), data)
    assert losses == pytest.approx([line["loss"] for line in logged(full, "train")], rel=0.05, abs=0.01)


def test_fp16_on_a_cpu_is_refused(data, tmp_path):
    with pytest.raises(SoliError, match=r"fp16 needs a CUDA device.*bf16"):
        run(make_recipe(runtime=RuntimeSettings(precision="fp16")), tmp_path / "run", make_model(data.tokenizer), data)


def test_a_compiled_encoder_gives_the_same_losses(data, tmp_path):
    ends = []
    for compiled in (False, True):
        folder = tmp_path / str(compiled)
        recipe = make_recipe(
            "par", optimizer=PLAIN, runtime=RuntimeSettings(compile=compiled, max_steps=1), loader=LoaderSettings(batch_size=10)
        )
        ends.append(run(recipe, folder, make_model(data.tokenizer, dropout=0.0), data))
    assert ends[0].keys() == ends[1].keys() and largest_difference(*ends) < 1e-5


def test_a_step_with_too_few_photographs_is_refused(data, tmp_path):
    with pytest.raises(SoliError, match=r"loader\.batch_size=1 .*negatives .* Give 2 or more"):
        run(make_recipe("par", loader=LoaderSettings(batch_size=1)), tmp_path / "run", make_model(data.tokenizer), data)
    run(make_recipe("baseline", epochs=1, loader=LoaderSettings(batch_size=1)), tmp_path / "run", make_model(data.tokenizer), data)
    with pytest.raises(SoliError, match=r"steps of 6 .* too few for 4 processes with loader\.accumulation=2"):
        check_shares(20, LoaderSettings(batch_size=8, accumulation=2), num_processes=4)


def test_steps_and_shares_cover_everything_and_differ_by_one_at_most():
    for number in range(1, 40):
        for size in range(1, 12):
            steps = steps_of(list(range(number)), size)
            assert [index for step in steps for index in step] == list(range(number))
            lengths = {len(step) for step in steps}
            assert max(lengths) <= size and max(lengths) - min(lengths) <= 1
            assert [index for part in split(steps[0], 3) for index in part] == steps[0]


@pytest.mark.parametrize("pooling", ["mean", "none"])
def test_a_margin_that_is_measured_is_the_mean_distance_of_different_photographs(data, tmp_path, capsys, pooling):
    """The distance of the loss: place by place it is another one than that of averaged embeddings."""
    loss, model = ContrastiveLoss("auto"), make_model(data.tokenizer, pooling=pooling)
    with torch.no_grad():
        images = [torch.from_numpy(data.dataset.read_image(example)).permute(2, 0, 1) for example in data.examples]
        features = model.encoder(model.render(images, [parse("original")] * len(images)))
    embeddings = features.mean(1) if pooling == "mean" else features
    expected = sum((a - b).norm(dim=-1).mean() for i, a in enumerate(embeddings) for b in embeddings[:i]) / (20 * 19 / 2)
    run(make_recipe("half", epochs=1), tmp_path / "run", model, data, loss=loss)
    assert loss.unit == pytest.approx(expected.item(), rel=1e-4)
    assert f"{expected:.4g} apart" in capsys.readouterr().out


def test_pairs_do_not_depend_on_the_number_of_processes_or_parts():
    """They come from generators of (seed, photograph, epoch)."""
    keys, names = list(range(8)), [f"image{number}" for number in range(8)]
    pairs = [pairs_of(RandomPartner(), keys, [randomness(0, "pair", name, 3) for name in names]) for _ in range(2)]
    assert torch.equal(pairs[0].different, pairs[1].different)


def test_a_contrastive_phase_without_a_contrastive_term_is_named(data, tmp_path):
    from soli.training.loop import train
    from tests.training.small_runs import constant_validation

    with pytest.raises(SoliError, match=r"phases\.joint has a contrastive loss"):
        train(make_model(data.tokenizer), data, make_recipe("par"), tmp_path, constant_validation)


def test_an_anchor_of_auto_is_for_the_command(data, tmp_path):
    with pytest.raises(SoliError, match="choose shared, frozen or ema"):
        run(make_recipe("par", anchor="auto"), tmp_path / "run", make_model(data.tokenizer), data)


def test_factors_of_unknown_modules_are_named(data, tmp_path):
    settings = OptimizerSettings(factors={"encodr": 0.1})
    with pytest.raises(SoliError, match=r"optimizer\.factors\.encodr is no module.*encoder"):
        run(make_recipe("par", optimizer=settings), tmp_path / "run", make_model(data.tokenizer), data)


def test_factors_multiply_those_of_a_phase_for_all_that_a_module_holds():
    settings = OptimizerSettings(factors={"encoder": 0.5, "encoder.stages": 0.1, "dec": 7.0})
    assert (
        settings.factor("encoder") == 0.5 and settings.factor("encoder.stages.1") == pytest.approx(0.05) and settings.factor("decoder") == 1
    )


def test_an_unused_projector_is_named(data, tmp_path):
    phase = Phase(epochs=1, train={"encoder": 1.0, "projector": 1.0, "decoder": 1.0}, losses={"caption": 1.0})
    with pytest.raises(SoliError, match=r"no loss reaches .*projector"):
        run(make_recipe({"joint": phase}), tmp_path / "run", make_model(data.tokenizer, projector="mlp"), data, **{})
    assert siamese().negatives.least == 2
