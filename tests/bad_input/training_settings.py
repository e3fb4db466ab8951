"""Settings of a training that cannot be: (what is typed, what names the mistake, what to do)."""

from __future__ import annotations

PHASE = "variant.phases.caption"
JOINT = "variant=par variant.phases.joint.losses.contrastive=0.1"
VSE = "variant=vse text_encoder.word_dim=4 text_encoder.hidden_dim=4 joint.dim=4"

CASES = [
    # numbers out of their range
    ("train seed=99999999999999999999999", "seed=99999999999999999999999", "at most 18 digits"),
    ("train epochs=0", "epochs=0 leaves 0", "Give epochs=1 or more"),
    ("train epochs=1 variant=con", "epochs=1 leaves 1 for the phases contrastive, caption", "Give epochs=2 or more"),
    ("python settings.LoaderSettings(accumulation=0)", "loader.accumulation=0", "must be at least 1"),
    ("train loader.accumulation=99", "loader.accumulation=99", "Raise loader.batch_size"),
    ("python settings.LoaderSettings(max_tokens=1)", "loader.max_tokens=1", "must be at least 2"),
    ("python settings.OptimizerSettings(lr=-1)", "optimizer.lr=-1", "must be at least 0"),
    ("python settings.OptimizerSettings(lr=float('inf'))", "optimizer.lr=inf", "must be a finite number"),
    ("train optimizer.lr=1e40", "optimizer.lr=1e+40", "must be a finite number"),
    ("train optimizer.clip_norm=0", "optimizer.clip_norm=0", "null for no clipping"),
    ("python settings.OptimizerSettings(clip_norm=-1)", "optimizer.clip_norm=-1", "must be at least 0"),
    ("python settings.OptimizerSettings(weight_decay=-1)", "optimizer.weight_decay=-1", "must be at least 0"),
    ("python settings.OptimizerSettings(weight_decay=float('inf'))", "optimizer.weight_decay=inf", "must be a finite number"),
    ("python settings.OptimizerSettings(warmup_steps=-1)", "optimizer.warmup_steps=-1", "must be at least 0"),
    ("train optimizer.factors.encoder=0", "optimizer.factors.encoder=0", "must be a number above 0"),
    ("python settings.EmbeddingSettings(dim=0)", "embedding.dim=0", "must be at least 1"),
    ("python settings.SiameseSettings(decay=1)", "siamese.decay=1", "below 1"),
    ("python settings.JointSettings(dim=0)", "joint.dim=0", "must be at least 1"),
    ("python settings.VocabularySettings(min_count=0)", "vocabulary.min_count=0", "must be at least 1"),
    ("train vocabulary.min_count=100000", "No word occurs 100000 times", "lower vocabulary.min_count"),
    ("python settings.LoggingSettings(every_steps=0)", "logging.every_steps=0", "must be at least 1"),
    ("python settings.RuntimeSettings(workers=-1)", "runtime.workers=-1", "must be at least 0"),
    ("python settings.RuntimeSettings(workers=100000)", "runtime.workers=100000", "must be at most 1024"),
    ("python settings.RuntimeSettings(threads=0)", "runtime.threads=0", "must be at least 1"),
    ("python settings.RuntimeSettings(save_every_steps=0)", "runtime.save_every_steps=0", "must be at least 1"),
    ("python settings.GenerationSettings(temperature=0)", "generation.temperature=0", "must be a number above 0"),
    # devices
    ("train runtime.device=cuda:99", "runtime.device=cuda:99", "Use runtime.device=cpu"),
    ("train runtime.device=gpu", "runtime.device=gpu is not a device", "use cpu, cuda, cuda:1 or auto"),
    ("train runtime.device=meta", "runtime.device=meta", "Use runtime.device=cpu"),
    ("train runtime.precision=fp16", "runtime.precision=fp16", "on a CPU use bf16 or fp32"),
    ("train runtime.shard=true runtime.precision=fp16", "runtime.shard=true does not go with runtime.precision=fp16", "use bf16"),
    # phases
    (f"train {PHASE}.optimizer.lr=-1", f"{PHASE}.optimizer.lr=-1", "must be at least 0"),
    (f"train {PHASE}.train.encoder=-1", f"{PHASE}.train.encoder=-1", "must be a finite number, at least 0"),
    (f"train {PHASE}.losses.caption=null", f"{PHASE}.losses.caption=null", "must be a finite number"),
    (f"train {PHASE}.views.clean=[]", f"{PHASE}.views.clean is empty", "name at least one"),
    (f"train {PHASE}.views.clean=[original,original]", f"{PHASE}.views.clean names original twice", "name each condition once"),
    (f"train {PHASE}.caption_views=[cleen]", f"{PHASE}.caption_views names cleen", "the views are clean"),
    (f"train {JOINT} loader.batch_size=1", "loader.batch_size=1", "Give 2 or more"),
    (f"train {JOINT} contrastive=infonce negatives=random_partner", "InfoNCELoss", "choose negatives=in_batch"),
    (f"train {VSE} matching.loss.margin=-1", "matching.loss.margin=-1", "above 0"),
    (f"train {VSE} validation.metric=CIDEr", "validation.metric=CIDEr", "choose auto, or rsum"),
    # validation
    ("python settings.ValidationSettings(every_epochs=0)", "validation.every_epochs=0", "must be at least 1"),
    ("python settings.ValidationSettings(limit=0)", "validation.limit=0", "must be at least 1"),
    ("python settings.ValidationSettings(num_beams=0)", "validation.num_beams=0", "must be at least 1"),
    ("python settings.ValidationSettings(patience=0)", "validation.patience=0", "must be at least 1"),
    ("train validation.metric=rsum", "validation.metric=rsum", "choose auto"),
    ("python settings.ValidationSettings(conditions=[])", "validation.conditions is empty", "name at least one"),
    ("train validation.select_on=[R0.2S1]", "validation.select_on=R0.2S1", "original, R0.1S50, or be null"),
    # conditions, all looked at before training
    ("train validation.conditions=[R0.001S1]", "'R0.001S1' would leave less than one pixel", "use a larger ratio"),
    ("train variant=aug degradation.conditions=[R0.001S1]", "'R0.001S1' would leave less than one pixel", "use a larger ratio"),
    ("train degradation.conditions=[]", "degradation.conditions is empty", "name at least one"),
    # the drawn data
    ("train dataset.num_train=0", "no pictures in the split 'train'", "the splits are val, test"),
    ("train dataset.root=data/toy", "dataset.root is 'data/toy'", "leave it null"),
    # parts
    ("train encoder.feature_dim=30", "encoder.feature_dim=30", "a multiple of 32"),
    ("train encoder.input_size=0", "encoder.input_size=0", "at least"),
    ("train decoder.hidden_dim=0", "decoder.hidden_dim=0", "at least 1"),
    ("train encoder=vit_tiny encoder.weights=null encoder.input_size=40", "encoder.input_size=40", "give 32 or 48"),
    ("train decoder=att_lstm_glove", "decoder.glove must be given", "decoder.glove=null"),
    ("train decoder=tiny_gpt2 decoder.architecture.n_head=3", "n_embd=128 is no multiple of n_head=3", "give"),
    ("train decoder=tiny_gpt2 decoder.architecture.n_head=0", "decoder.architecture.n_head=0", "a whole number from 1 to"),
    ("train decoder=tiny_gpt2 decoder.train=lora", "decoder.train=lora", "give decoder.weights"),
    ("train decoder=tiny_gpt2 loader.max_tokens=100", "loader.max_tokens=100", "lower it"),
]
