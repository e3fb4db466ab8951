"""stop-gap"""
import contextlib, io
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from soli.tokenization import tokenize


class CaptionScorer:
    def __init__(self, references, metrics=("BLEU", "METEOR", "ROUGE-L", "CIDEr")):
        self.gts = {k: [" ".join(tokenize(c)) for c in r] for k, r in enumerate(references)}
        self.metrics, self.unavailable = metrics, {}

    def score(self, hypotheses):
        res = {k: [" ".join(tokenize(h))] for k, h in enumerate(hypotheses)}
        out = {}
        with contextlib.redirect_stdout(io.StringIO()):
            if "BLEU" in self.metrics:
                out |= {f"BLEU-{i + 1}": float(v) for i, v in enumerate(Bleu(4).compute_score(self.gts, res)[0])}
            if "ROUGE-L" in self.metrics:
                out["ROUGE-L"] = float(Rouge().compute_score(self.gts, res)[0])
            if "CIDEr" in self.metrics:
                out["CIDEr"] = float(Cider().compute_score(self.gts, res)[0])
        return out

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def signature(**facts):
    return "|".join(f"{k}:{v}" for k, v in facts.items())
