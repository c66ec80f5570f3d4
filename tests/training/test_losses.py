import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning import miners, reducers
from torch.nn import functional as F

from hatcnn.attributes import BINARY, LOWER_COLOURS, UNKNOWN, UPPER_COLOURS
from hatcnn.training.losses import attribute_loss, batch_hard_triplet, positive_shares


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_triplets_are_pytorch_metric_learnings(scale):
    torch.manual_seed(0)
    features = torch.randn(24, 7, requires_grad=True)
    classes = torch.arange(6).repeat_interleave(4)
    ours = batch_hard_triplet(features, classes, scale)
    ours_gradient = torch.autograd.grad(ours, features)[0]

    unit = F.normalize(features)
    anchors, positives, negatives = miners.BatchHardMiner()(unit, classes)
    # Their soft margin: log(1 + exp(d_positive - d_negative)), with distances times the scale.
    theirs = pml_losses.TripletMarginLoss(
        margin=0, smooth_loss=True, reducer=reducers.MeanReducer()
    )(unit * scale, classes, (anchors, positives, negatives))
    expected = F.softplus(
        scale * ((unit[anchors] - unit[positives]).norm(dim=1))
        - scale * ((unit[anchors] - unit[negatives]).norm(dim=1))
    ).mean()
    torch.testing.assert_close(ours, expected)
    if scale == 1.0:
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(ours_gradient, torch.autograd.grad(expected, features)[0])


@given(st.lists(st.integers(0, 3), min_size=2, max_size=10), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_triplets_are_the_hardest_one_by_one(classes, seed):
    features = torch.randn(len(classes), 3, generator=torch.manual_seed(seed))
    unit = F.normalize(features)
    terms = []
    for i, mine in enumerate(classes):
        positives = [
            (unit[i] - unit[j]).norm() for j, c in enumerate(classes) if c == mine and j != i
        ]
        negatives = [(unit[i] - unit[j]).norm() for j, c in enumerate(classes) if c != mine]
        if positives and negatives:
            terms.append(F.softplus(10 * (max(positives) - min(negatives))))
    expected = torch.stack(terms).mean() if terms else torch.tensor(0.0)
    ours = batch_hard_triplet(features, torch.tensor(classes), 10.0)
    torch.testing.assert_close(ours, expected, atol=2e-3, rtol=1e-3)


def test_equal_pictures_have_a_finite_gradient():
    features = torch.ones(4, 3, requires_grad=True)
    batch_hard_triplet(features, torch.tensor([0, 0, 1, 1]), 10.0).backward()
    assert torch.isfinite(features.grad).all()


def labels_of(count):
    generator = torch.manual_seed(1)
    labels = torch.randint(0, 2, (count, 26), generator=generator, dtype=torch.int8)
    for group in (UPPER_COLOURS, LOWER_COLOURS):
        labels[:, group] = 0
        for row in range(0, count, 2):
            labels[row, group[row % len(group)]] = 1
    return labels


def test_independent_attributes_are_the_published_mean():
    logits, labels = torch.randn(6, 26), labels_of(6)
    expected = F.binary_cross_entropy_with_logits(logits, labels.float())
    torch.testing.assert_close(attribute_loss(logits, labels, "independent"), expected)


@pytest.mark.parametrize("colours", ["independent", "exclusive"])
def test_unlabelled_pictures_take_no_part(colours):
    logits, labels = torch.randn(6, 26, requires_grad=True), labels_of(6)
    labels[4:] = UNKNOWN
    loss = attribute_loss(logits, labels, colours)
    torch.testing.assert_close(loss, attribute_loss(logits[:4], labels[:4], colours))
    loss.backward()
    assert (logits.grad[4:] == 0).all()
    nothing = attribute_loss(logits, torch.full_like(labels, UNKNOWN), colours)
    assert nothing == 0


def test_exclusive_colours_are_a_softmax_with_other():
    logits, labels = torch.randn(4, 26), labels_of(4)
    terms = [
        F.binary_cross_entropy_with_logits(logits[:, [i]], labels[:, [i]].float(), reduction="none")
        for i in BINARY
    ]
    for group in (UPPER_COLOURS, LOWER_COLOURS):
        for row in range(4):
            odds = [1.0] + [float(logits[row, c].exp()) for c in group]
            here = [i for i, c in enumerate(group, start=1) if labels[row, c] == 1]
            probability = torch.tensor(odds[here[0] if here else 0] / sum(odds))
            terms.append(-probability.log().reshape(1, 1))
    expected = torch.cat([t.flatten() for t in terms]).mean()
    torch.testing.assert_close(attribute_loss(logits, labels, "exclusive"), expected)


def test_a_colour_that_is_there_settles_the_others():
    logits, labels = torch.randn(2, 26), torch.zeros(2, 26, dtype=torch.int8)
    labels[:, UPPER_COLOURS[2]] = torch.tensor([1, 0], dtype=torch.int8)
    partly = labels.clone()
    partly[0, list(UPPER_COLOURS[:2])] = UNKNOWN
    whole = attribute_loss(logits, labels, "exclusive")
    torch.testing.assert_close(attribute_loss(logits, partly, "exclusive"), whole)
    partly[1, UPPER_COLOURS[0]] = UNKNOWN
    assert attribute_loss(logits, partly, "exclusive") != whole, "it may be that one"


@pytest.mark.parametrize("colours", ["independent", "exclusive"])
def test_balanced_labels_count_by_how_rare_they_are(colours):
    logits, labels = torch.randn(5, 26), labels_of(5)
    shares = torch.rand(26) / 10
    total = torch.zeros(())
    for row in range(5):
        for i in range(26) if colours == "independent" else BINARY:
            one = bool(labels[row, i] == 1)
            p = torch.sigmoid(logits[row, i])
            otherwise = 1 - shares[i] if one else shares[i]
            total += -torch.exp(otherwise) * (p if one else 1 - p).log()
        for group in () if colours == "independent" else (UPPER_COLOURS, LOWER_COLOURS):
            odds = torch.cat((torch.ones(1), logits[row, list(group)].exp()))
            of_class = torch.cat((1 - shares[list(group)].sum()[None], shares[list(group)]))
            here = [k for k, c in enumerate(group, start=1) if labels[row, c] == 1]
            k = here[0] if here else 0
            total += -torch.exp(1 - of_class[k]) * (odds[k] / odds.sum()).log()
    terms = 5 * (26 if colours == "independent" else len(BINARY) + 2)
    loss = attribute_loss(logits, labels, colours, shares)
    torch.testing.assert_close(loss, total / terms)


def test_shares_are_of_the_known_labels():
    labels = torch.full((4, 26), UNKNOWN, dtype=torch.int8)
    labels[:3, 0] = torch.tensor([1, 0, 0], dtype=torch.int8)
    shares = positive_shares(labels)
    assert shares[0] == pytest.approx(1 / 3)
    assert (shares[1:] == 0.5).all()
