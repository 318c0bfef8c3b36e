import pytest
import torch
from torch import nn

from horner.errors import TrainingError
from horner.models import build
from horner.training import TrainConfig, parameter_groups
from horner.training.optimizer import make_optimizer, set_lr


def test_weights_decay_and_biases_and_norms_do_not():
    model = build("lenet5", batch_norm=True)
    decays, spared = parameter_groups(model)
    assert [p.ndim for p in decays["params"]] == [4, 4, 2, 2, 2]
    assert spared["weight_decay"] == 0
    assert {p.ndim for p in spared["params"]} == {1}
    assert len(decays["params"]) + len(spared["params"]) == len(list(model.parameters()))
    optimizer = make_optimizer(model, TrainConfig(weight_decay=0.25))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.25, 0]


def test_a_parameter_may_carry_its_own_step_size():
    model = nn.Linear(3, 2)
    model.weight.lr_scale = 0.5
    optimizer = make_optimizer(model, TrainConfig())
    set_lr(optimizer, 0.1)
    assert [(g["params"][0].ndim, g["lr"]) for g in optimizer.param_groups] == [(2, 0.05), (1, 0.1)]


def test_the_users_own_groups_multiply_the_step_size():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))

    def groups(m):
        return [{"params": m[0].parameters(), "lr": 3.0}, {"params": m[1].weight}]

    optimizer = make_optimizer(model, TrainConfig(optimizer="sgd"), groups)
    set_lr(optimizer, 0.1)
    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([0.3, 0.1])
    assert [len(g["params"]) for g in optimizer.param_groups] == [2, 1]


def test_frozen_parameters_stay_out_and_nothing_to_train_is_an_error():
    model = nn.Linear(3, 2)
    model.weight.requires_grad_(False)
    assert [len(g["params"]) for g in make_optimizer(model, TrainConfig()).param_groups] == [1]
    with pytest.raises(TrainingError, match="Linear has no parameters to train"):
        make_optimizer(model.requires_grad_(False), TrainConfig())
    with pytest.raises(TrainingError, match="parameter_groups returns"):
        make_optimizer(nn.Linear(1, 1), TrainConfig(), lambda m: list(m.parameters()))
    with pytest.raises(TrainingError, match="cannot be used"):
        make_optimizer(nn.Linear(1, 1), TrainConfig(), lambda m: [{"params": m.weight}, {"params": m.weight}])


def test_parameters_that_stay_keep_their_moments():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    former = make_optimizer(model, TrainConfig())
    model(torch.ones(1, 3)).sum().backward()
    former.step()
    kept = former.state[model[0].weight]["exp_avg"]
    model[1] = nn.Linear(2, 2)
    optimizer = make_optimizer(model, TrainConfig(), former=former)
    assert optimizer.state[model[0].weight]["exp_avg"] is kept
    assert model[1].weight not in optimizer.state
