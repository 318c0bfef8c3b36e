"""The published chip: Chen, Krishna, Emer, Sze, "Eyeriss", IEEE JSSC 52(1), 2017, tables III and V: AlexNet.

VGG-16 stands in its abstract only: images a second and accesses of DRAM a multiply-accumulate, three images together.
"""

from __future__ import annotations

from dataclasses import dataclass

from horner.hardware.row_stationary import Mapping
from horner.hardware.shape import ConvShape

BATCH = 4


@dataclass(frozen=True)
class Published:
    """A row of tables III and V; kilobytes of the buffer are of 1,024 bytes, those of traffic of 10**6."""

    shape: ConvShape
    mapping: Mapping
    ifmap_kb: float
    psum_kb: float
    active: int
    processing_ms: float
    buffer_mb: float
    dram_mb: float


def _layer(
    name: str,
    filters: int,
    channels: int,
    kernel: int,
    size: int,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
    zeros: tuple[float, float] = (0.0, 0.0),
) -> ConvShape:
    return ConvShape(
        name=name,
        filters=filters,
        channels=channels,
        kernel=(kernel, kernel),
        size=(size, size),
        stride=stride,
        padding=(padding, padding),
        groups=groups,
        zeros_in=zeros[0],
        zeros_out=zeros[1],
    )


# zeros written are those that the next layer reads; of the last one, which the table does not say, those it reads
EYERISS_JSSC17_TABLE_V = [
    Published(
        _layer("CONV1", 96, 3, 11, 227, 4, zeros=(0.0001, 0.387)), Mapping(96, 1, 7, 16, 1, 1, 2),
        15.5, 72.2, 154, 16.5, 18.5, 5.0,
    ),
    Published(
        _layer("CONV2", 256, 96, 5, 27, 1, 2, 2, (0.387, 0.725)), Mapping(64, 1, 27, 16, 2, 1, 1),
        3.8, 91.1, 135, 39.2, 77.6, 4.0,
    ),
    Published(
        _layer("CONV3", 384, 256, 3, 13, 1, 1, 1, (0.725, 0.793)), Mapping(64, 4, 13, 16, 4, 1, 4),
        7.0, 84.5, 156, 21.8, 50.2, 3.0,
    ),
    Published(
        _layer("CONV4", 384, 384, 3, 13, 1, 1, 2, (0.793, 0.776)), Mapping(64, 4, 13, 16, 3, 2, 2),
        10.5, 84.5, 156, 16.0, 37.4, 2.1,
    ),
    Published(
        _layer("CONV5", 256, 384, 3, 13, 1, 1, 2, (0.776, 0.776)), Mapping(64, 4, 13, 16, 3, 2, 2),
        10.5, 84.5, 156, 10.0, 24.9, 1.3,
    ),
]  # fmt: skip

VGG16_BATCH = 3
VGG16_FRAMES_PER_SECOND = 0.7
VGG16_DRAM_PER_MAC = 0.0035
VGG16 = [
    _layer(f"CONV{stage}-{place}", filters, before if place == 1 else filters, 3, size, padding=1)
    for stage, (size, before, filters, layers) in enumerate(
        [(224, 3, 64, 2), (112, 64, 128, 2), (56, 128, 256, 3), (28, 256, 512, 3), (14, 512, 512, 3)], 1
    )
    for place in range(1, layers + 1)
]
