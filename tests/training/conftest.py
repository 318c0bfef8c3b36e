import pytest
from digits import digits

from horner.data import DataSet


@pytest.fixture(scope="session")
def data() -> DataSet:
    return digits()
