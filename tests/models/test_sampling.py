import torch

from models.sampling import sample_balanced


def masks(positives, negatives, ignored, batch=1):
    kinds = torch.tensor([1] * positives + [0] * negatives + [-1] * ignored).repeat(batch, 1)
    return kinds == 1, kinds == 0


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_at_most_half_positive_negatives_fill_up():
    index, positive, sampled = sample_balanced(*masks(300, 1000, 50), 256, 0.5, generator())
    assert index.shape == (1, 256)
    assert positive.sum() == 128
    assert sampled.all()
    assert index.unique().numel() == 256
    assert (index < 1300).all()


def test_few_positives_leave_room_for_negatives():
    _, positive, sampled = sample_balanced(*masks(3, 1000, 0), 256, 0.5, generator())
    assert positive.sum() == 3
    assert sampled.sum() == 256


def test_too_few_candidates_leave_slots_empty():
    index, positive, sampled = sample_balanced(*masks(2, 3, 100), 64, 0.5, generator())
    assert positive.sum() == 2
    assert sampled.sum() == 5
    assert set(index[sampled].tolist()) == {0, 1, 2, 3, 4}


def test_surplus_positives_are_not_used_as_negatives():
    _, positive, sampled = sample_balanced(*masks(100, 0, 0), 64, 0.25, generator())
    assert positive.sum() == 16
    assert sampled.sum() == 16


def test_no_candidates_at_all():
    _, positive, sampled = sample_balanced(*masks(0, 0, 10), 8, 0.5, generator())
    assert not positive.any()
    assert not sampled.any()


def test_the_sample_is_random_but_a_function_of_the_generator_alone():
    args = (*masks(300, 1000, 50, batch=2), 256, 0.5)
    first = sample_balanced(*args, generator(1))[0]
    torch.rand(17)
    assert torch.equal(first, sample_balanced(*args, generator(1))[0])
    assert not torch.equal(first, sample_balanced(*args, generator(2))[0])
    assert not torch.equal(first[0], first[1])


def test_every_candidate_is_chosen_now_and_then():
    source = generator()
    seen = set()
    for _ in range(60):
        index, _, sampled = sample_balanced(*masks(4, 12, 4), 4, 0.5, source)
        seen |= set(index[sampled].tolist())
    assert seen == set(range(16))
