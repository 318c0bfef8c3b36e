import itertools

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from horner.training.batches import as_tensor, epoch_order, normalise, seed_of, step_range, steps_per_epoch


@given(st.integers(1, 5000), st.integers(1, 600))
def test_an_epoch_visits_every_image_once_in_steps_of_one_size(count, batch_size):
    steps = steps_per_epoch(count, batch_size)
    ranges = [step_range(step, steps, count) for step in range(steps)]
    assert ranges[0].start == 0
    assert ranges[-1].stop == count
    assert all(a.stop == b.start for a, b in itertools.pairwise(ranges))
    sizes = {r.stop - r.start for r in ranges}
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


def test_every_epoch_has_its_own_order():
    first, second = epoch_order(100, 0, 0), epoch_order(100, 0, 1)
    assert torch.equal(first.sort().values, torch.arange(100))
    assert not torch.equal(first, second)
    assert torch.equal(first, epoch_order(100, 0, 0))
    assert not torch.equal(first, epoch_order(100, 1, 0))


def test_seeds_differ_by_position():
    seeds = {seed_of(s, e, t, r) for s in range(3) for e in range(5) for t in range(50) for r in range(2)}
    assert len({seed & 0xFFFFFFFF for seed in seeds}) == 1500  # torch's CPU generator looks at 32 bits


def test_normalise_keeps_values_in_either_layout():
    images = torch.randint(256, (3, 2, 5, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    want = (images.double() - 33) / 78.5
    for channels_last in (False, True):
        torch.testing.assert_close(normalise(images, 33, 78.5, channels_last).double(), want, atol=1e-6, rtol=0)
    assert normalise(images, 33, 78.5, True).is_contiguous(memory_format=torch.channels_last)


def test_a_read_only_array_is_copied_and_another_shared():
    array = np.zeros(3, np.uint8)
    as_tensor(array)[0] = 1
    assert array[0] == 1
    array.flags.writeable = False
    as_tensor(array)[0] = 2
    assert array[0] == 1
