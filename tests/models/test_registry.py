import pytest
import torch
from torch import nn

from horner.errors import ModelError
from horner.models import build, names

# Published counts: LeCun et al. 1998 (LeNet-5 with dense connections); Caffe's lenet.prototxt; the unpadded LeNet-5;
# CIFAR ResNet-20 with projections; VGG-16's 14,714,688 convolutional parameters + 5,130; CIFAR AlexNet ("2.47 M").
PARAMETERS = {
    ("lenet5", False): 61_706,
    ("lenet5-caffe", False): 431_080,
    ("lenet-fashion", False): 44_426,
    ("resnet20", True): 272_474,
    ("vgg16", False): 14_714_688 + 5_130,
    ("vgg16", True): 14_714_688 + 4_224 + 5_130,  # 4,224 biases leave, 2 x 4,224 scales and shifts come
    ("alexnet", False): 2_472_266,
}
SHAPE = {name: (1, 28, 28) if name.startswith("lenet") else (3, 32, 32) for name in names()}


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(("name", "batch_norm"), PARAMETERS)
def test_parameter_counts_are_the_published_ones(name, batch_norm):
    assert count(build(name, batch_norm=batch_norm, shape=SHAPE[name])) == PARAMETERS[name, batch_norm]


@pytest.mark.parametrize("name", names())
def test_every_network_exports(name):
    model = build(name, shape=SHAPE[name], seed=0).eval()
    x = torch.randn(3, *SHAPE[name], generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(torch.export.export(model, (x,)).module()(x), model(x))


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("batch_norm", [False, True])
def test_every_network_trains_one_step(name, batch_norm):
    model = build(name, batch_norm=batch_norm, shape=SHAPE[name], classes=7, seed=0)
    x = torch.randn(3, *SHAPE[name], generator=torch.Generator().manual_seed(0))
    model(x).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert any(isinstance(m, nn.BatchNorm2d) for m in model.modules()) == batch_norm
    assert model.eval()(x).shape == (3, 7)


def test_the_original_decides_about_batch_norm():
    has = {n: any("bn" in key for key in build(n, shape=SHAPE[n]).state_dict()) for n in names()}
    assert {n for n in has if has[n]} == {"resnet20", "vgg16"}


@pytest.mark.parametrize("name", names())
def test_other_channels_and_classes(name):
    channels, _, side = SHAPE[name]
    model = build(name, shape=(channels + 1, side + 4, side + 4), classes=3).eval()
    assert model(torch.zeros(2, channels + 1, side + 4, side + 4)).shape == (2, 3)


def test_layer_names_are_guessable():
    assert [n for n, _ in build("lenet5").named_children() if not n.startswith("bn")] == [
        "conv1",
        "conv2",
        "fc1",
        "fc2",
        "fc3",
    ]
    vgg = dict(build("vgg16", shape=(3, 32, 32)).named_modules())
    assert vgg["conv5_3"].weight.shape == (512, 512, 3, 3)
    assert dict(build("resnet20", shape=(3, 32, 32)).named_modules())["block4.skip"].stride == (2, 2)


def test_a_seed_repeats_the_weights_and_spares_the_global_generator():
    state = torch.random.get_rng_state()
    first, second = build("lenet5", seed=5), build("lenet5", seed=5)
    assert torch.equal(first.fc1.weight, second.fc1.weight)
    assert not torch.equal(first.fc1.weight, build("lenet5", seed=6).fc1.weight)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_function_in_the_current_directory(here):
    (here / "own_net_a.py").write_text(
        "from torch import nn\n"
        "def net(classes, shape, batch_norm=False):\n"
        "    c, h, w = shape\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(c * h * w, classes, bias=not batch_norm))\n"
        "def plain():\n    return nn.Linear(4, 2)\n"
    )
    assert count(build("own_net_a:net", shape=(1, 4, 6), classes=3)) == 75
    assert count(build("own_net_a:net", shape=(1, 4, 6), classes=3, batch_norm=True)) == 72
    assert count(build("own_net_a:plain")) == 10
    with pytest.raises(ModelError, match="no parameter batch_norm"):
        build("own_net_a:plain", batch_norm=True)


def test_a_function_that_cannot_serve_is_named_with_its_reason(here):
    (here / "own_net_b.py").write_text(
        "def number(): return 3\ndef fails(): raise ValueError('no luck')\nthing = 4\ndef needs(depth): return None\n"
    )
    (here / "own_net_c.py").write_text("import own_missing_module\n")
    (here / "own_net_d.py").write_text("def (\n")
    for spec, message in {
        "lenet6": "choose from alexnet, .*or give package.module:function",
        "own_net_b": "no model named",
        "own_net_z:f": "no module own_net_z",
        "own_net_b:absent": "has no function absent",
        "own_net_b:thing": "has no function thing",
        "own_net_b:number": "returned a int",
        "own_net_b:fails": "ValueError: no luck",
        "own_net_b:needs": "missing 1 required positional argument: 'depth'",
        "own_net_c:f": "importing own_net_c failed: No module named 'own_missing_module'",
        "own_net_d:f": "importing own_net_d failed: SyntaxError",
    }.items():
        with pytest.raises(ModelError, match=message):
            build(spec)


def test_shapes_that_cannot_serve():
    with pytest.raises(ModelError, match="square images, not 28x30"):
        build("lenet5", shape=(1, 28, 30))
    with pytest.raises(ModelError, match="images of 8x8 are too small"):
        build("lenet5", shape=(1, 8, 8))
    with pytest.raises(ModelError, match="all positive"):
        build("lenet5", shape=(0, 28, 28))
    with pytest.raises(ModelError, match="at least 1 class"):
        build("lenet5", classes=0)
