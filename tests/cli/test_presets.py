import re

from commands import horner

from horner import presets


def test_presets_are_listed_and_shown():
    listed = horner("presets").out
    assert all(re.search(rf"^ *{name} ", listed, re.MULTILINE) for name in presets.names())
    assert list(horner("presets", "--json").json) == presets.names()
    assert "fc3: in=linear/21" in horner("presets", "lenet5-demo").out
    assert horner("presets", "lenet").complaint.startswith("no preset 'lenet'; did you mean lenet5")
