"""Keys, groups and choices that do not exist, and values of another kind: (what is typed, what names the mistake, what to do)."""

from __future__ import annotations

CASES = [
    # groups and their choices
    ("train encoder=resnt18", "encoder has no choice resnt18", "did you mean resnet18?"),
    ("train encoder=", "encoder=: encoder has no choice", "Choose one of resnet101"),
    ("train variant=paar", "no choice paar", "did you mean par?"),
    ("train experiment=nothing", "experiment=nothing", "or null for none"),
    ("train sweep=seed", "sweep has no choice seed", "did you mean seeds?"),
    ("train sweep=seeds seed=0,1 run_dir=same", "same would be the folder of 2 runs", "'run_dir=runs/try_${seed}'"),
    ("train seed=1 --jobs 2", "--jobs 2 is for several jobs", "add --multirun"),
    ("train encoder@foo=tiny", "encoder@foo=tiny", "Write encoder=<choice>"),
    ("train ~encoder", "nothing can be left out", "Give encoder another value"),
    ("evaluate run=runs/small dataset=toy", "dataset=toy: dataset is the run's own", "Leave it out"),
    ("evaluate run=runs/small encoder=tiny", "there is no key encoder", "Keys: run, runs"),
    # keys
    ("train optimizer.lerning_rate=1", "no key optimizer.lerning_rate", "did you mean optimizer.lr?"),
    ("train +foo=1", "no group or key foo", "Groups: dataset, encoder"),
    ("train optimizer={lrr:0.1}", "no key optimizer.lrr", "did you mean optimizer.lr?"),
    ("evaluate run=runs/small generation.num_beam=2", "no key generation.num_beam", "did you mean generation.num_beams?"),
    ("caption run=runs/small images=pictures conditions=[R0.5S1]", "no key conditions", "did you mean condition?"),
    ("caption run=runs/small images=pictures runtime.workers=3", "no key runtime.workers", "runtime has device, precision, threads"),
    ("export run=runs/vit to=new format=onnx", "no key format", "Keys: run, to, checkpoint, program"),
    # what is no override, or is several
    ("train seed", "seed is not an override", "seed=<seed>"),
    ("train --multrun seed=1,2", "There is no option --multrun", "--multirun seed=1,2"),
    ("train toy", "toy is a choice of dataset", "dataset=toy"),
    ("evaluate runs/small", "runs/small is not an override", "python -m soli.evaluate run=runs/small"),
    ("caption pictures/a.png", "pictures/a.png is not an override", "python -m soli.caption images=pictures/a.png run=<run>"),
    ("export runs/small", "runs/small is not an override", "python -m soli.export run=runs/small to=<to>"),
    ("evaluate run=runs/small run=runs/twin", "run=runs/small run=runs/twin: run is given 2 times", "Give it once"),
    ("train resume=runs/small resume=runs/twin", "resume is given 2 times", "Give it once"),
    ("export run=runs/vit to=a to=b", "to is given 2 times", "Give it once"),
    # values of another kind
    ("train seed=", "seed= holds an empty text", "give a whole number"),
    ("train loader.batch_size=many", "loader.batch_size=many", "must be a whole number"),
    ("train loader.flip=maybe", "loader.flip=maybe", "must be true or false"),
    ("train optimizer.lr=nan", "optimizer.lr=nan", "must be a number"),
    ("train optimizer=fast", "optimizer=fast is not a section", "optimizer.<key>=<value>"),
    ("train validation.conditions=original", "must be a list such as [a,b]", "Write validation.conditions=[original]."),
    ("train run_dir=2024", "run_dir=2024", "run_dir='2024'"),
    ("train optimizer.lr=${nothing}", "optimizer.lr", "Check what stands between ${ and }"),
    ("train variant.phases.caption.train={}", "variant.phases.caption.train={} changes nothing", "0 or null take away"),
    ("train variant.phases.caption.views.clean={original:1,R0.5S1:3}", "a mapping can take the place of a list only", "Give a list"),
    ("train variant.phases.caption.views.clean=original", "variant.phases.caption.views.clean=original", "must be a list"),
    ("evaluate runs=runs/small", "runs=runs/small", "must be a list such as [a,b], a mapping or null"),
    ("evaluate runs={a:runs/small}", "runs.a=runs/small", "must be a list such as [a,b]"),
    ("caption run=runs/small images=[5]", "images=[5]", "must be a list such as [a,b] or text"),
    ("caption run=runs/small images=null", "images=null", "must be a list such as [a,b] or text"),
    ("python soli.compose('seed=1')", "compose takes a list of overrides", "compose(['seed=1'])"),
    ("python soli.compose(['sed=1'])", "no group or key sed", "did you mean seed?"),
    ("python soli.compose([], 'trian')", "no config trian", "did you mean train?"),
    ("python soli.compose(['run=a', 'run=b'], 'evaluate')", "run is given 2 times", "Give it once"),
]
RUNS = {"twin": ("small", {})}
