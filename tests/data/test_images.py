import numpy as np
import pytest
from PIL import Image

from horner.data import read_images
from horner.errors import DataError


@pytest.fixture
def picture(tmp_path):
    def write(name, mode, size=(28, 28), fill=0, **options):
        path = tmp_path / name
        Image.new(mode, size, fill).save(path, **options)
        return path

    return write


def test_pictures_become_one_batch_in_their_order(picture):
    paths = [picture("b.png", "L", fill=2), picture("a.bmp", "L", fill=1)]
    batch = read_images(paths, (1, 28, 28))
    assert batch.dtype == np.uint8
    assert batch.shape == (2, 1, 28, 28)
    assert batch[:, 0, 5, 5].tolist() == [2, 1]


def test_colour_planes_come_first(picture):
    batch = read_images(picture("c.png", "RGB", (4, 2), (10, 20, 30)), (3, 2, 4))
    assert batch.shape == (1, 3, 2, 4)
    assert batch[0, :, 1, 3].tolist() == [10, 20, 30]


def test_one_path_may_stand_alone_and_none_gives_an_empty_batch(picture):
    assert read_images(str(picture("a.png", "L")), (1, 28, 28)).shape == (1, 1, 28, 28)
    assert read_images([], (1, 28, 28)).shape == (0, 1, 28, 28)


@pytest.mark.parametrize(
    ("mode", "size", "shape", "message"),
    [
        ("RGB", (28, 28), (1, 28, 28), "a 3-channel image for a 1-channel network: the image is 3x28x28, .* 1x28x28"),
        ("L", (32, 32), (3, 32, 32), "a 1-channel image for a 3-channel network: the image is 1x32x32, .* 3x32x32"),
        ("L", (20, 28), (1, 28, 28), "an? image of the wrong size .*: the image is 1x28x20, the network takes 1x28x28"),
    ],
)
def test_another_shape_is_refused_with_both_shapes(picture, mode, size, shape, message):
    path = picture("p.png", mode, size)
    with pytest.raises(DataError, match=f"{path}: {message}"):
        read_images([path], shape)


def test_fit_converts_and_resamples(picture):
    batch = read_images(picture("p.png", "RGB", (56, 40), (100, 100, 100)), (1, 28, 28), fit=True)
    assert batch.shape == (1, 1, 28, 28)
    assert np.unique(batch).tolist() == [100]
    assert read_images(picture("g.png", "L", fill=7), (3, 28, 28), fit=True)[0, :, 0, 0].tolist() == [7, 7, 7]


def test_a_palette_is_colour_and_one_bit_is_grey(picture):
    assert read_images(picture("p.gif", "P"), (3, 28, 28)).shape == (1, 3, 28, 28)
    assert read_images(picture("b.png", "1", fill=1), (1, 28, 28)).max() == 255


def test_a_picture_stands_upright_as_its_camera_says(tmp_path):
    pixels = np.zeros((2, 3), np.uint8)
    pixels[0, 2] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    batch = read_images(tmp_path / "turned.png", (1, 3, 2))
    assert np.argwhere(batch[0, 0]).tolist() == [[2, 1]]


def test_an_opaque_alpha_channel_is_dropped_and_a_transparent_one_refused(picture):
    opaque = picture("o.png", "RGBA", fill=(1, 2, 3, 255))
    assert read_images(opaque, (3, 28, 28))[0, :, 0, 0].tolist() == [1, 2, 3]
    clear = picture("t.png", "LA", fill=(5, 128))
    with pytest.raises(DataError, match=f"{clear}: is partly transparent"):
        read_images(clear, (1, 28, 28))


def test_more_than_eight_bits_are_refused(tmp_path):
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((28, 28), 4000, np.uint16)).save(path)
    with pytest.raises(DataError, match=f"{path}: more than 8 bits"):
        read_images(path, (1, 28, 28))


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_what_is_no_picture_is_named(tmp_path, content):
    path = tmp_path / "p.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{path}: "):
        read_images(path, (1, 28, 28))


def test_a_cut_picture_is_named(picture):
    path = picture("p.png", "L", (200, 200))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=f"{path}: "):
        read_images(path, (1, 200, 200))


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(DataError, match=r"nothing.png: No such file"):
        read_images(tmp_path / "nothing.png", (1, 28, 28))
    with pytest.raises(DataError, match=f"{tmp_path}: Is a directory"):
        read_images(tmp_path, (1, 28, 28))


def test_a_network_that_takes_no_picture_is_told(picture):
    with pytest.raises(DataError, match="7 input channels"):
        read_images(picture("a.png", "L"), (7, 28, 28))
