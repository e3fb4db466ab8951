"""Both losses against loops written out by hand, and against closed forms."""

import math

import torch

from soli.losses import AttentionLoss, CaptionLoss


def test_the_caption_loss_is_the_mean_over_real_words_only():
    logits, targets = torch.randn(3, 2, 5, 7), torch.randint(1, 7, (3, 2, 5))
    targets[0, 1, 2:] = 0
    targets[2] = 0
    total, count = 0.0, 0
    for image in range(3):
        for caption in range(2):
            for position in range(5):
                target = int(targets[image, caption, position])
                if target != 0:
                    total -= float(logits[image, caption, position].log_softmax(0)[target])
                    count += 1
    assert math.isclose(CaptionLoss()(logits, targets).item(), total / count, rel_tol=1e-5)


def test_a_uniform_guess_scores_log_k():
    assert math.isclose(CaptionLoss()(torch.zeros(2, 4, 50), torch.ones(2, 4, dtype=torch.long)).item(), math.log(50), rel_tol=1e-6)


def test_what_stands_in_the_padding_changes_nothing():
    logits, targets = torch.randn(2, 6, 9), torch.tensor([[3, 4, 2, 0, 0, 0], [5, 2, 0, 0, 0, 0]])
    changed = logits.clone()
    changed[targets == 0] = 100 * torch.randn(int((targets == 0).sum()), 9)
    assert torch.equal(CaptionLoss()(logits, targets), CaptionLoss()(changed, targets))


def test_the_attention_loss_equals_its_loop():
    attention, is_word = torch.rand(2, 3, 5, 4).softmax(-1), torch.rand(2, 3, 5) > 0.3
    is_word[1, 2] = False  # a row of padding: no caption at all
    per_caption = []
    for image in range(2):
        for caption in range(3):
            if is_word[image, caption].any():
                sums = [
                    sum(float(attention[image, caption, t, place]) for t in range(5) if is_word[image, caption, t]) for place in range(4)
                ]
                per_caption.append(sum((1 - value) ** 2 for value in sums) / 4)
    assert math.isclose(AttentionLoss()(attention, is_word).item(), sum(per_caption) / len(per_caption), rel_tol=1e-5)


def test_attention_that_covers_every_place_once_costs_nothing():
    attention = torch.eye(6).expand(2, 6, 6)
    assert AttentionLoss()(attention, torch.ones(2, 6, dtype=torch.bool)).item() == 0


def test_gradients_of_both_agree_with_differences():
    logits = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([[1, 2, 0], [4, 0, 0]])
    attention = torch.rand(2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda values: CaptionLoss()(values, targets), logits)
    assert torch.autograd.gradcheck(lambda values: AttentionLoss()(values, targets != 0), attention)
