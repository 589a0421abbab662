"""The forms of a target: entries as Captum takes them, one-hot and NumPy forms, labels, callables that know the example."""

import functools
import json
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from support.subjects import linear_net, normal, smooth_net
from torch import Tensor, nn

import pullback as pb
from pullback.attribution.targets import binary, difference, log_odds, predicted, top_k

SHAPE = (1, 6)
X = normal(2, *SHAPE, seed=1)
CLASSIFIER = smooth_net(SHAPE, 3)
TOKENS = normal(2, 5, 4, seed=2)
TAGGER = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double().eval()  # (N, 5, 4) -> (N, 5, 3)
MAPPER = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.Tanh()).double().eval()  # (N, 1, 4, 5) -> (N, 3, 4, 5)
PICTURES = normal(2, 1, 4, 5, seed=3)


def gradient(model: Any, x: Tensor, target: Any, **options: Any) -> Tensor:
    return pb.attribute(model, x, target, method="gradient", **options).values


def expected(model: Any, x: Tensor, read: Any) -> Tensor:
    """∇ of read(output of example e, e), each example alone."""
    points = x.clone().requires_grad_()
    total = sum(read(model(points[e : e + 1])[0], e) for e in range(len(x)))
    return torch.autograd.grad(total, points)[0]


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


# Entries ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [(2, 1), [(2, 1), (3, 0)], np.array([[2, 1], [3, 0]]), torch.tensor([[4, 2], [0, 0]]), ((0, 1), (1, 0)), [[1, 1], [0, 1]]],
    ids=str,
)
def test_entries_of_an_output_with_more_axes(target: Any) -> None:
    entries = [target] * 2 if isinstance(target[0], int) else np.asarray(target).tolist()
    close(gradient(TAGGER, TOKENS, target), expected(TAGGER, TOKENS, lambda out, e: out[tuple(entries[e])]))


def test_entries_are_those_of_captum() -> None:
    saliency = pytest.importorskip("captum.attr").Saliency
    for model, x, target in [
        (TAGGER, TOKENS, (2, 1)),
        (TAGGER, TOKENS, [(2, 1), (3, 0)]),
        (MAPPER, PICTURES, (1, 2, 3)),
        (MAPPER, PICTURES, [(0, 0, 0), (2, 3, 4)]),
        (CLASSIFIER, X, (2,)),
        (CLASSIFIER, X, torch.tensor([1])),
        (CLASSIFIER, X, [1, 0]),
    ]:
        theirs = saliency(model).attribute(x.clone().requires_grad_(), target=target, abs=False)
        close(gradient(model, x, target), theirs)


@pytest.mark.parametrize("rows", [1, 2, 3, "auto"])
def test_entries_follow_their_example_in_any_batch_size(rows: int | str) -> None:
    entries = [(2, 1), (3, 0)]
    method = "integrated_gradients(steps=4, rule=midpoint)"
    both = pb.attribute(TAGGER, TOKENS, entries, method=method, transform="dct", batch_size=rows)
    for e, entry in enumerate(entries):
        alone = pb.attribute(TAGGER, TOKENS[e : e + 1], entry, method=method, transform="dct")
        close(both.values[e : e + 1], alone.values)


def test_a_tuple_is_an_entry_where_the_output_has_its_axes_and_classes_where_it_has_one() -> None:
    close(gradient(TAGGER, TOKENS, (1, 0)), expected(TAGGER, TOKENS, lambda out, e: out[1, 0]))
    close(gradient(CLASSIFIER, X, (1, 0)), expected(CLASSIFIER, X, lambda out, e: out[(1, 0)[e]]))


def test_trailing_axes_of_size_one_need_no_index() -> None:
    model = nn.Sequential(nn.Conv2d(1, 3, (4, 5)), nn.Tanh()).double().eval()  # a classifier of shape (N, 3, 1, 1)
    wanted = expected(model, PICTURES, lambda out, e: out[e, 0, 0])
    for target in ([0, 1], np.eye(3)[:2]):
        close(gradient(model, PICTURES, target), wanted)
    close(gradient(model, PICTURES, predicted()), gradient(model, PICTURES, model(PICTURES)[:, :, 0, 0].argmax(1)))


@pytest.mark.parametrize(
    "target",
    [
        np.array([2, 0]),
        np.array([2, 0], dtype=np.uint8),
        np.array([2, 0], dtype=">i8"),
        np.array([0, 2])[::-1],
        [np.int64(2), np.int64(0)],
        [torch.tensor(2), torch.tensor(0)],
        pd.Series([2, 0], index=[7, 9]),
        range(2, -1, -2),
        torch.tensor([[2], [0]]),
        nn.functional.one_hot(torch.tensor([2, 0]), 3),
        nn.functional.one_hot(torch.tensor([2, 0]), 3).bool(),
        np.eye(3)[[2, 0]],
        [[0, 0, 1], [1, 0, 0]],
    ],
    ids=lambda target: f"{type(target).__name__}",
)
def test_classes_of_examples_in_numpy_and_one_hot_forms(target: Any) -> None:
    found = pb.attribute(CLASSIFIER, X, target, method="gradient")
    close(found.values, gradient(CLASSIFIER, X, [2, 0]))
    assert found.settings["target"] == [2, 0]


def test_one_hot_tensors_of_outputs_with_more_axes() -> None:
    hot = torch.zeros(2, 5, 3)
    hot[0, 4, 1] = hot[1, 0, 2] = 1
    for form in (hot, hot.bool(), hot.long(), hot.numpy()):
        close(gradient(TAGGER, TOKENS, form), gradient(TAGGER, TOKENS, [(4, 1), (0, 2)]))


@pytest.mark.parametrize(
    ("model", "x", "target", "message"),
    [
        (TAGGER, TOKENS, 2, r"such as \(0, 0\); this one returned \(rows, 5, 3\), the target is 2\. Or pass a callable"),
        (TAGGER, TOKENS, [2, 1], "the target is 1 index per example"),
        (TAGGER, TOKENS, (2, 1, 0), r"the target is \[2, 1, 0\]"),
        (TAGGER, TOKENS, (5, 1), r"an example has shape \(5, 3\); there is no entry \(5, 1\) for example 0"),
        (TAGGER, TOKENS, [(0, 0), (0, -1)], r"no entry \(0, -1\) for example 1"),
        (TAGGER, TOKENS, [(0, 0)] * 3, "one class per example, 2, got 3"),
        (CLASSIFIER, X, [(0, 1), (1, 2)], r"such as \(0,\)"),
        (CLASSIFIER, X, np.eye(4)[:2], r"one-hot tensor has the shape of the output.*\(rows, 3\), the target \(2, 4\)"),
        (CLASSIFIER, X, [2], "one class per example, 2, got 1"),
        (CLASSIFIER, X, np.int64(3), "class in 0…2, got 3 for example 0"),
    ],
)
def test_entries_that_do_not_fit_say_what_does(model: Any, x: Tensor, target: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        gradient(model, x, target)
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize(
    "target",
    [
        *(torch.tensor([True, False]), True, torch.tensor([1.0, 0.0]), torch.full((2, 3), 0.5), np.ones((2, 3)), ["a", "b"]),
        *([[0], [1, 2]], {1}, 2**70, 1j, np.array(["a", "b"]), torch.ones(2, 3, dtype=torch.bool), []),
    ],
    ids=repr,
)
def test_numbers_that_are_no_index_are_refused(target: Any) -> None:
    with pytest.raises(TypeError, match="target: expected a class index, one per example, an entry such as") as caught:
        gradient(CLASSIFIER, X, target)
    assert len(str(caught.value)) <= 300


# Models with one output ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "last", [lambda out: out, lambda out: out[:, 0], lambda out: out.squeeze(), lambda out: out[..., None]]
)
def test_labels_of_a_binary_model_sign_its_logit(last: Any) -> None:
    net = smooth_net(SHAPE, 1)
    plain = gradient(net, X, None)
    model = lambda x: last(net(x))
    close(gradient(model, X, None), plain)
    close(gradient(model, X, 0), plain)  # class 0 is the only output, as in Captum, whatever a label 0 means
    for labels in ([1, 0], np.array([True, False]), torch.tensor([1.0, 0.0])):
        close(gradient(model, X, binary(labels)), plain * torch.tensor([1.0, -1.0])[:, None, None])
    with pytest.raises(ValueError, match=r"got 1 for example 1\. The model has one output.*targets.binary\(labels\)"):
        gradient(model, X, [0, 1])


def test_binary_labels_are_checked() -> None:
    one = smooth_net(SHAPE, 1)
    assert pb.attribute(one, X, binary([1, 0])).settings["target"] == "binary([1, 0])"
    for labels, error, message in [
        ([0, 2], ValueError, "class in 0…1, got 2 for example 1"),
        ([0, 1, 1], ValueError, "one class per example, 2, got 3"),
        ([0.5, 1.0], TypeError, "labels 0 or 1"),
        ("cat", TypeError, "a label or one label per example"),
    ]:
        with pytest.raises(error, match=message):
            gradient(one, X, binary(labels))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="binary: expected a model with one output per example, got 3"):
        gradient(CLASSIFIER, X, binary(1))
    with pytest.raises(ValueError, match="its log-odds: target=None"):
        gradient(one, X, log_odds())


def test_probabilities_exist_for_classes_only() -> None:
    """A binary model's only output has no softmax, and an entry of a sequence has none either."""
    paths = [
        pb.attribution.mask_path(model, X, target, alphas=[0.0], steps=2).probability
        for model, target in [(CLASSIFIER, 1), (smooth_net(SHAPE, 1), 0), (smooth_net(SHAPE, 1), binary([1, 0]))]
    ]
    assert [bool(path.isnan().any()) for path in paths] == [False, True, True]


# Callables -------------------------------------------------------------------------------------------------------------

MASK = (normal(2, 3, 4, 5, seed=7) > 0).double()


def masked(out: Tensor, example: Tensor) -> Tensor:
    return (out * MASK[example]).flatten(1).sum(1)


class Masked:
    def __call__(self, out: Tensor, example: Tensor) -> Tensor:
        return masked(out, example)


class MaskedModule(nn.Module):
    def forward(self, out: Tensor, *, example: Tensor) -> Tensor:
        return masked(out, example)


def with_mask(mask: Tensor, out: Tensor, example: Tensor | None = None) -> Tensor:
    return (out * mask[example]).flatten(1).sum(1)


@pytest.mark.parametrize(
    "target",
    [masked, Masked(), MaskedModule(), functools.partial(with_mask, MASK), lambda o, example: masked(o, example)],
    ids=["function", "object", "module", "partial", "lambda"],
)
@pytest.mark.parametrize("rows", [1, 3, "auto"])
def test_a_callable_may_take_the_example_of_each_row(target: Any, rows: int | str) -> None:
    wanted = expected(MAPPER, PICTURES, lambda out, e: (out * MASK[e]).sum())
    close(gradient(MAPPER, PICTURES, target, batch_size=rows), wanted)
    method = "integrated_gradients(steps=3, rule=midpoint)"
    paths = pb.attribute(MAPPER, PICTURES, target, method=method, batch_size=rows)
    as_argument = lambda x, mask: (MAPPER(x) * mask).flatten(1).sum(1)
    close(paths.values, pb.attribute(as_argument, PICTURES, method=method, model_args=(MASK,)).values)


@pytest.mark.parametrize(
    "target",
    [
        lambda out, c=1: out[:, c],
        functools.partial(lambda out, c: out[:, c], c=1),
        lambda example: example[:, 1],  # the first parameter is the output, whatever its name
        functools.partial(lambda out, example: out[:, example], example=1),
        lambda *parts: parts[0][:, 1],
    ],
    ids=["default", "partial", "name of the output", "bound example", "any number"],
)
def test_other_parameters_are_not_taken_for_the_example(target: Any) -> None:
    close(gradient(CLASSIFIER, X, target), gradient(CLASSIFIER, X, 1))


@pytest.mark.parametrize(
    "loss",
    [nn.functional.cross_entropy, nn.CrossEntropyLoss(), lambda: 0, predicted],
    ids=["function", "module", "takes nothing", "predicted"],
)
def test_a_loss_is_not_given_the_example_as_its_label(loss: Any) -> None:
    with pytest.raises(TypeError, match=r"takes \(output\), or \(output, example\).*lambda out, example: loss") as caught:
        gradient(CLASSIFIER, X, loss)
    assert len(str(caught.value)) <= 300


LABELS = torch.tensor([1, 0])


@pytest.mark.parametrize(
    ("target", "known"),
    [
        (lambda out: (out * MASK).flatten(1).sum(1), MAPPER),
        (lambda out: nn.functional.cross_entropy(out, LABELS, reduction="none"), CLASSIFIER),
        (lambda out: out[torch.arange(2), LABELS], CLASSIFIER),
        (lambda out: out[:, 0] * torch.tensor([1.0, -1.0]), CLASSIFIER),
        (lambda out: out.gather(1, LABELS[:, None])[:, 0], CLASSIFIER),
    ],
    ids=["mask", "loss", "index", "weights", "gather"],
)
@pytest.mark.parametrize("method", ["gradient", "integrated_gradients"])
def test_a_callable_that_takes_the_whole_batch_for_granted_is_told_the_way(target: Any, known: Any, method: str) -> None:
    with pytest.raises(
        ValueError, match=r"of 2 examples.*lambda out, example: \(out \* mask\[example\]\).*model_args"
    ) as caught:
        pb.attribute(known, PICTURES if known is MAPPER else X, target, method=method)
    assert len(str(caught.value)) <= 300


def test_other_errors_of_a_callable_reach_the_caller_as_they_are() -> None:
    with pytest.raises(IndexError, match="index 7 is out of bounds for dimension 1"):
        gradient(CLASSIFIER, X, lambda out: out[:, 7])
    with pytest.raises(AttributeError):
        gradient(CLASSIFIER, X, lambda out: out.logits)


def test_losses_by_example_explain_the_loss() -> None:
    loss = functools.partial(nn.functional.cross_entropy, reduction="none")
    found = gradient(CLASSIFIER, X, lambda out, example: loss(out, LABELS[example]))
    close(found, expected(CLASSIFIER, X, lambda out, e: -out.log_softmax(0)[LABELS[e]]))


# What is recorded ------------------------------------------------------------------------------------------------------


def test_the_settings_hold_the_target_readably() -> None:
    def recorded(model: Any, x: Tensor, target: Any) -> Any:
        settings = pb.attribute(model, x, target, method="gradient").settings
        assert len(json.dumps(settings["target"])) <= 120
        return settings["target"]

    assert recorded(smooth_net(SHAPE, 1), X, None) is None
    assert recorded(CLASSIFIER, X, np.int64(2)) == 2
    assert recorded(TAGGER, TOKENS, (np.int64(2), 1)) == [2, 1]
    assert recorded(TAGGER, TOKENS, [(2, 1), (3, 0)]) == [[2, 1], [3, 0]]
    assert recorded(CLASSIFIER, X, difference(np.array([1, 2]), np.int64(0))) == "difference([1, 2], 0)"
    assert recorded(CLASSIFIER, X, top_k(np.int64(2))) == "top_k(2)"
    many = nn.Sequential(nn.Flatten(), nn.Linear(1, 2)).double().eval()
    assert recorded(many, normal(5000, 1, 1), [0] * 5000) == "entries of 5000 examples"
    line = masked.__code__.co_firstlineno
    assert recorded(MAPPER, PICTURES, masked) == f"callable masked at test_target_forms.py:{line}"
    assert recorded(MAPPER, PICTURES, functools.partial(with_mask, MASK)).startswith("callable with_mask at test_target_forms")
    assert recorded(MAPPER, PICTURES, MaskedModule()) == "callable MaskedModule"


def test_a_function_that_moved_in_its_file_can_be_resumed() -> None:
    method, code = "integrated_gradients(tol=0.3, keep=True)", "target = lambda out: out[:, 1]"
    lines: list[Any] = []
    for text in (
        code,
        "\n\n" + code,
        code.replace("target = lambda out: ", "def other(out): return ").replace("target", "other"),
    ):
        names: dict[str, Any] = {}
        exec(compile(text, "study.py", "exec"), names)
        lines.append(names.get("target", names.get("other")))
    first = pb.attribute(CLASSIFIER, X, lines[0], method=method)
    assert len(first.resume(CLASSIFIER, X, lines[1], method=method)) == 2
    with pytest.raises(ValueError, match="another target"):
        first.resume(CLASSIFIER, X, lines[2], method=method)


# Outputs ---------------------------------------------------------------------------------------------------------------


class Squeezed(nn.Module):
    """A model whose output of one row has no axis of rows."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x).squeeze()


@pytest.mark.parametrize("examples", [1, 2])
@pytest.mark.parametrize("rows", [1, 2, "auto"])
@pytest.mark.parametrize(
    ("classes", "target"),
    [(1, None), (1, 0), (1, lambda out: out * 2), (3, 2), (3, predicted()), (3, lambda out: out[:, 1]), (3, difference(0, 2))],
    ids=["none", "class 0", "callable", "class", "predicted", "callable of classes", "difference"],
)
def test_models_that_end_in_squeeze(classes: int, target: Any, rows: Any, examples: int) -> None:
    plain, x = smooth_net(SHAPE, classes), X[:examples]
    whole = (lambda out: target(out)[:, 0]) if classes == 1 and callable(target) else target
    for method in ("integrated_gradients(steps=3, rule=midpoint)", "occlusion(by=coefficient)"):
        found = pb.attribute(Squeezed(plain), x, target, method=method, batch_size=rows)
        close(found.values, pb.attribute(plain, x, whole, method=method).values)


@pytest.mark.parametrize("examples", [1, 2])
@pytest.mark.parametrize(
    "form", [lambda out: out.squeeze(), lambda out: out, lambda out: out[:, 0], lambda out: out[..., None]]
)
def test_callables_may_return_one_number_per_row_in_any_shape(form: Any, examples: int) -> None:
    model = smooth_net(SHAPE, 1)
    close(gradient(model, X[:examples], form), gradient(model, X[:examples], None))


def test_a_time_axis_before_the_rows_is_left_alone() -> None:
    layer = nn.RNN(4, 3).double().eval()
    model = lambda x: layer(x.transpose(0, 1))[0]  # (time, rows, 3)
    found = gradient(model, TOKENS, lambda out: out[-1, :, 0])
    close(found, expected(lambda x: layer(x.transpose(0, 1))[0][-1], TOKENS, lambda out, e: out[0]))


@pytest.mark.parametrize(
    ("model", "target", "message"),
    [
        (lambda x: x.flatten(1).sum(0), 0, r"one output for each row, \(4, …\); this one returned a tensor of shape \(6,\)"),
        (lambda x: x.sum(), None, r"this one returned a tensor of shape \(\) for 4 rows"),
        (lambda x: x.flatten(1).sum(1)[None], None, r"shape \(1, 4\) for 4 rows"),
        (lambda x: {"loss": None, "logits": x.flatten(1)}, 1, r"returned a dict. Pass a callable.* out\['logits'\]\[:, 0\]"),
        (lambda x: OrderedDict(h=x), None, r"returned a OrderedDict. Pass a callable.* out\['h'\]\[:, 0, 0\]"),
        (lambda x: (x.sum(), x.flatten(1)), 1, r"returned a tuple. Pass a callable.* out\[1\]\[:, 0\]"),
        (lambda x: SimpleNamespace(logits=x.flatten(1)), predicted(), r"SimpleNamespace. Pass a callable.* out.logits\[:, 0\]"),
        (lambda x: x.detach().numpy(), None, "returned a ndarray. A model must return a tensor"),
        (lambda x: torch.complex(x, x).flatten(1), 1, r"complex; explain a real number of it, .*out.abs\(\)"),
        (lambda x: torch.complex(x, x).flatten(1).sum(1), None, "complex; explain a real number"),
        (lambda x: torch.complex(x, x), lambda out: out[:, 0, 0], r"returned a complex tensor; .*\.abs\(\) or \.real"),
        (lambda x: x.flatten(1).to_sparse(), 1, "torch.sparse_coo; pass a callable that returns a dense one"),
    ],
)
def test_outputs_that_hold_no_number_per_row_say_what_to_do(model: Any, target: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        pb.attribute(model, X, target, method="gradient")
    assert len(str(caught.value)) <= 300


def test_real_numbers_of_a_complex_output_are_explained() -> None:
    spectrum = lambda x: torch.fft.rfft(x.flatten(1))
    close(gradient(spectrum, X, lambda out: out.real[:, 0]), torch.ones_like(X))


# The laws --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target", [(2, 1), [(2, 1), (3, 0)], np.array([[2, 1], [3, 0]]), lambda out, example: out[:, 0, 1] * (example + 1)]
)
def test_the_axioms_take_the_same_forms(target: Any) -> None:
    report = pb.axioms.check(TAGGER, TOKENS, target, method="gradient", axioms=["batch_independence", "linearity"])
    assert report.holds("batch_independence")
    assert report.holds("linearity")


def test_a_foreign_method_gets_entries_or_a_callable_of_the_output() -> None:
    seen: list[Any] = []

    def method(f: nn.Module, z: Tensor, target: Any, z0: Tensor) -> Tensor:
        seen.append(target)
        z = z.requires_grad_()
        out = f(z)
        score = target(out) if callable(target) else out[(torch.arange(len(out)), *target.unbind(1))]
        return torch.autograd.grad(score.sum(), z)[0]

    for target in ([(2, 1), (3, 0)], lambda out, example: out[:, 0, 1] * (example + 1)):
        assert pb.axioms.check(TAGGER, TOKENS, target, method=method, axioms="batch_independence").holds("batch_independence")
    assert [target.tolist() for target in seen if isinstance(target, Tensor)][:2] == [[[2, 1]], [[3, 0]]]


def test_laws_of_a_model_that_ends_in_squeeze() -> None:
    report = pb.axioms.check(Squeezed(linear_net(SHAPE)), X, method="gradient", axioms=["batch_independence", "linearity"])
    assert report.holds("batch_independence")
    assert report.holds("linearity")


def test_a_class_of_python_is_no_target():
    for target in (int, Tensor, pb.attribution.targets.Choice):
        with pytest.raises(TypeError, match=r"target: expected a class index.*got <class"):
            pb.attribute(nn.Linear(3, 4).eval(), torch.ones(2, 3), target)
