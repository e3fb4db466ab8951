"""Products with one gradient for all words, against PyTorch's own layers and its automatic gradients word by word."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import nn

from soli.decoders import AttentionLSTM
from soli.decoders.repeated_products import RepeatedLSTMCell, RepeatedProduct, repeated_linear

WORDS = tuple(f"word{index}" for index in range(20))
TOLERANCES = {torch.float64: 1e-12, torch.float32: 2e-5}  # of a gradient, relative to its largest number: sums are taken in another order


def drawn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def assert_close(found, expected, tolerance):
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours is None) == (theirs is None)
        if theirs is not None:
            assert ours.dtype == theirs.dtype
            torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance * max(1e-3, theirs.abs().max().item()))


def decoder(dtype=torch.float32, **changes):
    torch.manual_seed(0)
    sizes = {"embedding_dim": 6, "hidden_dim": 10, "attention_dim": 8, "dropout": 0.0}
    return AttentionLSTM(12, WORDS, **{**sizes, **changes}).to(dtype)


def word_by_word(model, features, tokens):
    """The logits of captions (N, C, T) by stepping, in which PyTorch's own layers have their own gradients."""
    state, logits = model.start(features), []
    repeated = tokens.shape[1]
    state = state._replace(**{name: getattr(state, name).expand(-1, repeated, -1) for name in ("hidden", "cell", "attention")})
    for position in range(tokens.shape[2]):
        step, state = model.step(tokens[:, :, position], state)
        logits.append(step)
    return torch.stack(logits, dim=2)


def gradients(model, features, logits, upstream):
    wanted = [*model.parameters(), *([features] if features.requires_grad else [])]
    return torch.autograd.grad(logits, wanted, upstream, allow_unused=True)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("encoder_trains", [False, True])
@pytest.mark.parametrize("num_captions", [1, 3])
def test_a_captioners_gradients_equal_those_of_every_word(dtype, encoder_trains, num_captions):
    model, features = decoder(dtype), drawn(4, 7, 12, dtype=dtype).requires_grad_(encoder_trains)
    tokens = torch.randint(0, 20, (4, num_captions, 5), generator=torch.Generator().manual_seed(1))
    upstream = drawn(4, num_captions, 5, 20, seed=2, dtype=dtype)
    logits, expected = model(features, tokens), word_by_word(model, features, tokens)
    assert_close([logits], [expected], TOLERANCES[dtype])
    assert_close(gradients(model, features, logits, upstream), gradients(model, features, expected, upstream), TOLERANCES[dtype])


@pytest.mark.parametrize("frozen", ["gate", "lstm", "query"])
def test_weights_that_do_not_train_get_no_gradient_and_the_others_theirs(frozen):
    model, features, tokens = decoder(torch.float64), drawn(2, 7, 12).requires_grad_(), torch.ones(2, 1, 4, dtype=torch.long)
    getattr(model, frozen).requires_grad_(False)
    found, expected = [], []
    for grads, way in ((found, model), (expected, lambda *given: word_by_word(model, *given))):
        model.zero_grad()
        features.grad = None
        way(features, tokens).square().sum().backward()
        grads += [part.grad for part in (*model.parameters(), features)]
    assert getattr(model, frozen).weight_hh.grad is None if frozen == "lstm" else getattr(model, frozen).weight.grad is None
    assert_close(found, expected, 1e-12)


@pytest.mark.parametrize("some", [(0,), (1,), (0, 2), (3,)])
def test_words_without_a_gradient_count_nothing(some):
    weight, bias, inputs = drawn(5, 3).requires_grad_(), drawn(5, seed=1).requires_grad_(), [drawn(2, 3, seed=n) for n in range(4)]
    product = repeated_linear(weight, bias, (2,), times=4)
    outputs = [product(x) for x in inputs]
    found = torch.autograd.grad(sum(outputs[n].square().sum() for n in some), (weight, bias))
    expected = torch.autograd.grad(sum(nn.functional.linear(inputs[n], weight, bias).square().sum() for n in some), (weight, bias))
    assert_close(found, expected, 1e-12)


def test_fewer_words_than_announced_and_outputs_that_no_loss_uses():
    weight, x = drawn(5, 3).requires_grad_(), drawn(2, 3, seed=1)
    product = repeated_linear(weight, None, (2,), times=9)
    used, _unused = product(x), product(2 * x)
    (found,) = torch.autograd.grad(used.sum(), weight)
    assert torch.equal(found, torch.ones(2, 5, dtype=torch.float64).t() @ x)


def test_a_second_walk_through_the_same_graph_gives_the_same_gradient():
    model, features = decoder(torch.float64), drawn(2, 7, 12).requires_grad_()
    logits = model(features, torch.ones(2, 2, 4, dtype=torch.long))
    tensors = [*model.parameters(), features]
    torch.autograd.grad(logits[:, :, :2].sum(), features, retain_graph=True)  # a walk to one end only, from some of the words
    loss = logits.square().sum()
    once = torch.autograd.grad(loss, tensors, retain_graph=True)
    for part, gradient in zip(tensors, torch.autograd.grad(loss, tensors, retain_graph=True), strict=True):
        assert torch.equal(gradient, once[[part is other for other in tensors].index(True)])
    loss.backward(retain_graph=True)
    loss.backward()
    assert all(torch.equal(part.grad, 2 * gradient) for part, gradient in zip(tensors, once, strict=True))


def test_each_weight_is_given_its_gradient_once():
    """So that what waits for a gradient, as the reducer of several processes does, waits for all words."""
    model, given = decoder(), []
    for name, part in model.named_parameters():
        part.register_post_accumulate_grad_hook(lambda _, name=name: given.append(name))
    model(drawn(2, 7, 12, dtype=torch.float32), torch.ones(2, 1, 4, dtype=torch.long)).square().sum().backward()
    assert sorted(given) == sorted(name for name, _ in model.named_parameters())


def test_gradients_equal_finite_differences():
    x, weight, bias = (part.requires_grad_() for part in (drawn(3, 2, 4), drawn(5, 4, seed=1), drawn(5, seed=2)))
    features = drawn(3, 4, 2, seed=3).requires_grad_()

    def outputs(x, weight, bias, features):
        linear, product = repeated_linear(weight, bias, (3, 2), times=2), RepeatedProduct(features, (3, 2), times=2)
        return linear(x), product(x.sin()), linear(x.cos()), product(x)

    assert torch.autograd.gradcheck(outputs, (x, weight, bias, features))


def test_the_lstm_cell_is_pytorchs():
    torch.manual_seed(0)
    cell = nn.LSTMCell(3, 4).double()
    ours, theirs = RepeatedLSTMCell(cell, rows=2, times=6), []
    for way in (ours, cell):
        state = drawn(2, 4), drawn(2, 4, seed=1)
        for word in range(6):
            state = way(drawn(2, 3, seed=word), state)
        theirs.append([*state, *torch.autograd.grad(state[0].sum() + state[1].square().sum(), cell.parameters())])
    assert_close(theirs[0], theirs[1], 1e-12)


def test_nothing_is_kept_after_the_backward_pass_or_without_one():
    weight = torch.ones(5, 3, requires_grad=True)

    def run():
        array = drawn(2, 3, dtype=torch.float32).numpy()
        product = repeated_linear(weight, None, (2,), times=3)
        return product(torch.from_numpy(array)), weakref.ref(array), product

    gc.disable()  # what frees it is not the collector of cycles
    try:
        output, inputs, product = run()
        assert inputs() is not None  # the backward pass wants it
        output.sum().backward()
        assert inputs() is None  # though the graph and the product are still there
        output, inputs, product = run()
        del output
        assert inputs() is None and product is not None
    finally:
        gc.enable()


def test_under_autocast_types_are_those_of_pytorchs_layers_and_gradients_near_those_of_single_precision():
    model, features = decoder(), drawn(4, 7, 12, dtype=torch.float32).requires_grad_()
    tokens = torch.randint(0, 20, (4, 2, 5), generator=torch.Generator().manual_seed(1))
    upstream = drawn(4, 2, 5, 20, seed=2, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        logits, attention = model(features, tokens, return_attention=True)
        plain = word_by_word(model, features, tokens)
    assert logits.dtype == plain.dtype == torch.bfloat16 and attention.dtype == torch.float32
    found = gradients(model, features, logits, upstream.to(logits.dtype))
    exact = gradients(model, features, model(features, tokens), upstream)
    total = torch.stack([gradient.norm() for gradient in exact]).norm()
    for ours, theirs in zip(found, exact, strict=True):
        assert ours.dtype == torch.float32
        assert (ours - theirs).norm() < 0.03 * theirs.norm().clamp(min=1e-2 * total)  # bfloat16 has eight bits


def test_a_second_derivative_is_refused():
    weight = torch.ones(5, 3, requires_grad=True)
    output = repeated_linear(weight, None, (2,), times=1)(torch.ones(2, 3)).square().sum()
    (first,) = torch.autograd.grad(output, weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_more_inputs_than_announced_are_a_mistake_of_ours():
    """Not a StopIteration, which would end the generator that calls it as if all were done."""
    product = RepeatedProduct(torch.ones(3, 2), (1,), 1)
    product(torch.ones(1, 3))
    with pytest.raises(AssertionError, match="more inputs than announced"):
        product(torch.ones(1, 3))
