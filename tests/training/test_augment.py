import torch

from horner.training.augment import augment, cutmix, cutout, mixed_labels, shift


def one_pixel(count: int) -> torch.Tensor:
    images = torch.zeros(count, 2, 9, 7, dtype=torch.uint8)
    images[:, :, 4, 3] = torch.tensor([10, 20], dtype=torch.uint8)
    return images


def test_shift_moves_every_image_by_its_own_whole_pixels():
    torch.manual_seed(0)
    images = one_pixel(500)
    moved = shift(images, 2)
    assert moved.shape == images.shape
    assert moved.dtype == torch.uint8
    places = {tuple(image[0].nonzero()[0].tolist()) for image in moved}
    assert places == {(4 + dy, 3 + dx) for dy in range(-2, 3) for dx in range(-2, 3)}
    for image in moved:
        y, x = image[0].nonzero()[0]
        assert image[:, y, x].tolist() == [10, 20]
        assert int(image.count_nonzero()) == 2
    assert torch.equal(images, one_pixel(500))


def test_crop_flip_mirrors_about_half():
    torch.manual_seed(0)
    images = torch.zeros(400, 1, 32, 32, dtype=torch.uint8)
    images[:, :, 16, 15:18] = torch.tensor([1, 2, 3], dtype=torch.uint8)
    rows = [image[image > 0].tolist() for image in augment(images, "crop-flip")]
    assert {tuple(row) for row in rows} == {(1, 2, 3), (3, 2, 1)}
    assert 150 < rows.count([3, 2, 1]) < 250


def test_cutout_hides_a_quarter_of_each_side_of_every_image_anywhere():
    torch.manual_seed(0)
    images = torch.full((2000, 3, 16, 8), 9, dtype=torch.uint8)
    cut = cutout(images)
    assert cut.dtype == torch.uint8
    corners = set()
    for image in cut:
        hidden = (image == 0).nonzero()
        first, last = hidden.amin(0), hidden.amax(0)
        assert (last - first + 1).tolist() == [3, 4, 2]  # one rectangle, through all channels
        assert len(hidden) == 3 * 4 * 2
        corners.add(tuple(first[1:].tolist()))
    assert corners == {(row, col) for row in range(13) for col in range(7)}
    assert int(images.min()) == 9


def test_crop_flip_cutout_is_a_cutout_of_what_crop_flip_draws():
    images = torch.full((50, 1, 32, 32), 5, dtype=torch.uint8)
    torch.manual_seed(0)
    plain = augment(images, "crop-flip")
    torch.manual_seed(0)
    cut = augment(images, "crop-flip-cutout")
    assert torch.equal(cut[cut > 0], plain[cut > 0])
    assert bool(((plain > 0) & (cut == 0)).flatten(1).sum(1).gt(0).all())


def test_cutmix_pastes_one_rectangle_of_the_next_image_into_half_of_them():
    torch.manual_seed(0)
    count, height, width = 2000, 16, 8
    own = torch.arange(count) % 250
    images = own.to(torch.uint8)[:, None, None, None].expand(count, 3, height, width).clone()
    mixed, parts = cutmix(images)
    assert mixed.dtype == torch.uint8
    pasted = 0
    for image, label, other, part in zip(mixed, own, own.roll(-1), parts, strict=True):
        places = (image != label).nonzero()
        assert len(places) == round(float(part) * 3 * height * width)
        if len(places):
            pasted += 1
            assert bool((image[image != label] == other).all())
            lengths = places.amax(0) - places.amin(0) + 1
            assert int(lengths.prod()) == len(places)  # one rectangle, through all channels
            assert abs(int(lengths[1]) - 2 * int(lengths[2])) <= 2  # of the image's own proportions
    assert 900 < pasted < 1100
    some = parts[parts > 0]
    assert 0.45 < float(some.mean()) < 0.55
    assert float(some.max()) > 0.95
    assert torch.equal(images, own.to(torch.uint8)[:, None, None, None].expand_as(images))


def test_mixed_labels_are_as_much_of_each_as_there_is():
    labels, parts = torch.tensor([3, 0, 3]), torch.tensor([0.0, 1.0, 0.25])
    wanted = [[0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 1]]  # the next of the last is the first
    assert mixed_labels(labels, parts, 4).tolist() == wanted
    assert mixed_labels(labels, torch.full((3,), 0.25), 4).tolist()[0] == [0.25, 0, 0, 0.75]


def test_none_is_the_same_tensor():
    images = one_pixel(2)
    assert augment(images, "none") is images


def test_the_generator_decides():
    images = torch.arange(4 * 28 * 28, dtype=torch.int32).to(torch.uint8).view(4, 1, 28, 28)
    for kind in ("shift", "crop-flip", "crop-flip-cutout", "crop-flip-cutmix"):
        torch.manual_seed(3)
        first = augment(images, kind)
        torch.manual_seed(3)
        assert torch.equal(first, augment(images, kind))
        assert not torch.equal(first, augment(images, kind))


def test_affine_moves_an_image_little_and_every_one_otherwise():
    images = torch.zeros(64, 1, 28, 28, dtype=torch.uint8)
    images[:, :, 12:16, 12:16] = 255
    torch.manual_seed(0)
    moved = augment(images, "affine")
    assert moved.dtype == torch.uint8
    assert moved.shape == images.shape
    rows = torch.arange(28.0)
    for axis in (2, 3):
        weight = moved.float().sum(5 - axis).squeeze(1)
        centre = (weight * rows).sum(1) / weight.sum(1)
        assert bool(((centre - 13.5).abs() < 1.2).all())
        assert centre.std() > 0.2
    assert bool((moved.float().mean((1, 2, 3)) / images.float().mean() - 1).abs().max() < 0.25)
    torch.manual_seed(0)
    assert torch.equal(augment(images, "affine"), moved)
