"""The autoencoders' training: windows, sprite weights, who learns, and that they learn."""

from copy import copy, deepcopy

import numpy as np
import pytest
import torch

from repro.models import vae
from repro.training import autoencoder
from repro.training.autoencoder import Windows, psnr, reconstruction, tiny_task, vae_task
from repro.training.data import split_scenes
from repro.training.loop import generator_for
from repro.world.render import _region, trajectory
from repro.world.scene import RADII


@pytest.fixture(scope="module")
def windows(smoke):
    return Windows(smoke, "cpu")


class OneBatch:
    """The same window each time, for overfitting."""

    def __init__(self, windows, fit):
        self.per_latent = windows.per_latent
        video, weight = windows.draw(fit, fit.iterations // 2, generator_for(0))
        self.batch = video[:, :9], weight[:, :9]

    def draw(self, fit, iteration, generator):
        return self.batch


def test_psnr_by_hand():
    a = torch.zeros(1, 2, 3, 4, 4)
    assert psnr(a, a + 0.1) == pytest.approx(20, abs=1e-4) and psnr(a, a + 1) == pytest.approx(0, abs=1e-5)


def test_the_loss_is_weighted_absolute_plus_twice_squared_error():
    target = torch.zeros(1, 1, 3, 1, 2)
    output = torch.tensor([0.1, -0.2]).expand_as(target)
    weight = torch.tensor([1.0, 5.0]).expand(1, 1, 1, 1, 2)
    expected = ((0.1 + 2 * 0.01) + 5 * (0.2 + 2 * 0.04)) / 2
    assert reconstruction(output, target, weight).item() == pytest.approx(expected)
    assert reconstruction(target, target, weight) == 0


def test_sprites_weigh_five_and_the_rest_one(windows, smoke):
    geometry = smoke.geometry
    _, weight = windows.draw(smoke.vae_fit, 0, generator_for(0))
    assert set(weight.unique().tolist()) == {1.0, autoencoder.SPRITE_WEIGHT}
    # Against the paths: a pixel well inside a sprite is marked, a pixel clear of all of them is not.
    x = ((torch.arange(geometry.width) + 0.5) / geometry.height)[None, :]
    y = ((torch.arange(geometry.height) + 0.5) / geometry.height)[:, None]
    times, aspect = np.linspace(0, 1, geometry.frames), geometry.width / geometry.height
    for i, s in enumerate(split_scenes("train", smoke, 16)):
        paths = [trajectory(p, _region(s, k, aspect), times) for k, p in enumerate(s.sprites)]
        for frame in (0, 17, 80):
            reach = torch.stack(
                [
                    torch.hypot(x - path[frame, 0], y - path[frame, 1]) / RADII[p.size]
                    for p, path in zip(s.sprites, paths, strict=True)
                ]
            ).amin(0)
            marked = windows.sprites[i, frame, 0]
            assert marked[reach < 0.3].all() and not marked[reach > 1.4].any(), (i, frame)
    assert 0.03 < windows.sprites.float().mean() < 0.4


@pytest.mark.parametrize(("iteration", "batch", "frames"), [(0, 4, 1), (1, 4, 1), (3, 1, 17), (5, 0.5, 81)])
def test_windows_have_their_phases_shape(windows, smoke, iteration, batch, frames):
    fit = smoke.vae_fit
    video, weight = windows.draw(fit, iteration, generator_for(iteration))
    shape = (int(batch * fit.batch), frames, 3, smoke.geometry.height, smoke.geometry.width)
    assert video.shape == shape and weight.shape == (*shape[:2], 1, *shape[3:])
    assert video.dtype == torch.float32 and video.min() >= 0 and 0.5 < video.max() <= 1


def test_a_window_is_a_run_of_frames_of_one_clip_and_a_quarter_start_theirs(windows, smoke):
    marked = copy(windows)
    clips, frames = windows.pool.shape[:2]
    marked.pool = torch.stack(torch.meshgrid(torch.arange(clips), torch.arange(frames), indexing="ij"), 2)
    marked.pool = marked.pool.to(torch.uint8)[..., None, None]  # clip and frame number as two channels
    marked.sprites = marked.pool[:, :, :1] % 2 == 1
    fit = smoke.vae_fit.model_copy(update={"batch": 2000})
    video, weight = marked.draw(fit, fit.iterations // 2, generator_for(1))
    number = (video * 255).round().int()[..., 0, 0]
    assert (number[:, :, 0] == number[:, :1, 0]).all() and (number[:, 1:, 1] - number[:, :-1, 1] == 1).all()
    assert number[:, 0, 0].unique().tolist() == list(range(clips)) and number[:, -1, 1].max() == frames - 1
    assert (weight[:, :, 0, 0, 0] == 1 + 4 * (number[:, :, 0] % 2)).all()
    starts = (number[:, 0, 1] == 0).float().mean().item()
    assert starts == pytest.approx(0.25 + 0.75 / (frames - 17 + 1), abs=0.03)


def test_windows_repeat_with_their_generator(windows, smoke):
    a, b, c = (windows.draw(smoke.vae_fit, 3, generator_for(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_the_reconstruction_reaches_encoder_and_decoder(smoke, windows):
    torch.manual_seed(0)
    model = vae.build(smoke)
    video, weight = OneBatch(windows, smoke.vae_fit).batch
    reconstruction(model.reconstruct(model.posterior_mean(video)), video, weight).backward()
    silent = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert not silent
    # The posterior's variance is fixed: its half of the last layer learns nothing.
    channels = smoke.geometry.latent_channels
    gradient = model.model.quant_conv.weight.grad
    assert gradient[:channels].any() and not gradient[channels:].any()


def test_the_vae_overfits_one_batch_and_both_halves_move(smoke, windows):
    task = vae_task(smoke, OneBatch(windows, smoke.vae_fit), "cpu", seed=0)
    before = deepcopy(task.modules["vae"].state_dict())
    losses = [float(task.step(i, generator_for(0))["loss"]) for i in range(12)]
    assert losses[-1] < 0.8 * losses[0], losses
    moved = {n for n, v in task.modules["vae"].state_dict().items() if not torch.equal(v, before[n])}
    assert moved == {n for n, _ in task.modules["vae"].named_parameters()}


def test_the_tiny_decoder_overfits_one_batch_and_moves_alone(smoke, windows):
    torch.manual_seed(1)
    encoder = vae.build(smoke)
    before = deepcopy(encoder.state_dict())
    task = tiny_task(smoke, encoder, OneBatch(windows, smoke.tiny_fit), "cpu", seed=0)
    start = deepcopy(task.modules["tiny"].state_dict())
    losses = [float(task.step(i, generator_for(0))["loss"]) for i in range(25)]
    assert losses[-1] < 0.8 * losses[0], losses
    assert all(torch.equal(v, before[n]) for n, v in encoder.state_dict().items())
    assert all(p.grad is None for p in encoder.parameters())
    moved = [n for n, v in task.modules["tiny"].state_dict().items() if not torch.equal(v, start[n])]
    assert len(moved) == len(start)


def test_a_step_repeats_with_its_seed(smoke, windows):
    losses = []
    for _ in range(2):
        task = vae_task(smoke, windows, "cpu", seed=3)
        losses.append([float(task.step(i, generator_for(i))["loss"]) for i in (0, 3)])
    assert losses[0] == losses[1]


def test_measured_statistics_standardise_the_latents(smoke, windows):
    torch.manual_seed(2)
    model = vae.build(smoke)
    few = copy(windows)
    few.pool = windows.pool[:4]
    autoencoder.measure_statistics(model, few, "cpu")
    with torch.no_grad():
        latents = model.encode(few.pool.float() / 255)
    channels = smoke.geometry.latent_channels
    torch.testing.assert_close(latents.mean((0, 1, 3, 4)), torch.zeros(channels), atol=1e-4, rtol=0)
    torch.testing.assert_close(latents.std((0, 1, 3, 4)), torch.ones(channels), atol=1e-3, rtol=0)
