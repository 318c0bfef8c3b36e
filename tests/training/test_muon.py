import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from horner.training.config import TrainConfig
from horner.training.muon import Muon, orthogonalised
from horner.training.optimizer import make_optimizer, set_lr


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
def test_singular_values_are_drawn_to_one_and_vectors_kept(rows, columns, seed):
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    u, values, v = torch.linalg.svd(matrix, full_matrices=False)
    turned = u.T @ orthogonalised(matrix) @ v.T
    kept = values > 0.05 * values[0]
    assert bool((turned.diagonal()[kept] - 1).abs().max() < 0.6)
    assert torch.allclose(turned, turned.diagonal().diag(), atol=1e-6)


def test_a_step_has_the_root_mean_square_asked_for():
    weight = nn.Parameter(torch.randn(6, 2, 3, 3))
    before = weight.detach().clone()
    (weight * torch.randn_like(weight)).sum().backward()
    Muon([weight], lr=0.25).step()
    assert torch.isclose((weight.detach() - before).square().mean().sqrt(), torch.tensor(0.25))


def test_weights_before_a_norm_keep_their_norm_and_others_do_not():
    model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.Linear(8, 3))
    norms = [model[0].weight.norm().item(), model[2].weight.norm().item()]
    optimizer = make_optimizer(model, TrainConfig(optimizer="muon"))
    set_lr(optimizer, 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(16, 4)).square().mean().backward()
        optimizer.step()
    assert abs(model[0].weight.norm().item() / norms[0] - 1) < 1e-5
    assert abs(model[2].weight.norm().item() / norms[1] - 1) > 1e-2


def test_vectors_are_trained_as_adam_trains_them():
    ours, theirs = (nn.Parameter(torch.linspace(-1, 1, 7)) for _ in range(2))
    muon, adam = Muon([ours], lr=0.03), torch.optim.Adam([theirs], lr=0.03, betas=(0.9, 0.99))
    for _ in range(5):
        for parameter, optimizer in ((ours, muon), (theirs, adam)):
            optimizer.zero_grad()
            (parameter**4).sum().backward()
            optimizer.step()
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_a_state_saved_and_loaded_goes_on_alike():
    def run(interrupted):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
        optimizer = Muon(model.parameters(), lr=0.1)
        for step in range(4):
            optimizer.zero_grad()
            model(torch.ones(2, 4) * step).square().sum().backward()
            optimizer.step()
            if interrupted and step == 1:
                state = optimizer.state_dict()
                optimizer = Muon(model.parameters(), lr=0.1)
                optimizer.load_state_dict(state)
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    assert torch.equal(run(False), run(True))
