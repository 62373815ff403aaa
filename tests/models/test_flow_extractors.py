"""Motion features: shapes, invariances, the DCT against SciPy, gradients to the video."""

import numpy as np
import pytest
import torch
from scipy.fft import dctn

from repro.models.flow_extractors import CUTOFF, EXTRACTORS, WIDTH, dct3
from repro.training.loop import generator_for

B, F, C, H, W = 2, 5, 4, 4, 6
SHAPES = {
    "raw": (B, F, C, H, W),
    "difference": (B, F - 1, C, H, W),
    "correlation": (B, F - 1, H, W, H, W),
    "low_freq": (B, F, C, H, W),
    "high_freq": (B, F, C, H, W),
    "mlp": (B, F, H, W, WIDTH),
    "conv_diff": (B, F - 1, H, W, WIDTH),
}


@pytest.fixture
def video():
    return torch.randn(B, F, C, H, W, generator=generator_for(0))


@pytest.fixture(params=SHAPES)
def name(request):
    return request.param


def test_every_extractor_is_tested():
    assert set(SHAPES) == set(EXTRACTORS)


def test_shape_and_gradient_to_every_frame(name, video):
    video.requires_grad_()
    features = EXTRACTORS[name](C)(video)
    assert features.shape == SHAPES[name]
    (features * torch.randn(features.shape, generator=generator_for(1))).sum().backward()
    assert video.grad.flatten(2).any(dim=2).all()


def test_videos_of_a_batch_do_not_mix(name, video):
    extractor = EXTRACTORS[name](C)
    torch.testing.assert_close(extractor(video[1:]), extractor(video)[1:], atol=1e-5, rtol=1e-5)


def test_a_still_video_has_no_difference_and_no_motion_feature(video):
    still = video[:, :1].expand_as(video)
    assert not EXTRACTORS["difference"](C)(still).any()
    features = EXTRACTORS["conv_diff"](C)(still)
    assert torch.equal(features, features[:, :1].expand_as(features))


@pytest.mark.parametrize("kind", ["difference", "conv_diff"])
def test_what_does_not_move_does_not_matter(kind, video):
    extractor, picture = EXTRACTORS[kind](C), torch.randn(B, 1, C, H, W, generator=generator_for(2))
    torch.testing.assert_close(extractor(video + picture), extractor(video), atol=1e-4, rtol=1e-4)


def test_correlation_holds_the_products_of_neighbouring_frames(video):
    volume = EXTRACTORS["correlation"](C)(video)
    expected = torch.einsum("bfchw,bfcij->bfhwij", video[:, :-1], video[:, 1:]) / C**0.5
    torch.testing.assert_close(volume, expected)


def test_correlation_peaks_where_a_point_went():
    moving = torch.zeros(1, 2, C, H, W)
    moving[0, 0, :, 1, 1] = moving[0, 1, :, 2, 4] = 1
    volume = EXTRACTORS["correlation"](C)(moving)[0, 0, 1, 1]
    assert divmod(int(volume.argmax()), W) == (2, 4)


def test_dct_is_scipys_and_its_inverse_undoes_it(video):
    expected = dctn(video.double().numpy(), axes=(1, 3, 4), norm="ortho")
    np.testing.assert_allclose(dct3(video).numpy(), expected, atol=1e-5)
    torch.testing.assert_close(dct3(dct3(video), inverse=True), video, atol=1e-5, rtol=1e-5)


def test_low_and_high_band_are_projections_that_add_up(video):
    low, high = EXTRACTORS["low_freq"](C), EXTRACTORS["high_freq"](C)
    torch.testing.assert_close(low(video) + high(video), video, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(low(low(video)), low(video), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(low(high(video)), torch.zeros_like(video), atol=1e-5, rtol=0)


def test_bands_are_scipys_coefficients_inside_and_outside_the_ball(video):
    coefficients = dctn(video.double().numpy(), axes=(1, 3, 4), norm="ortho")
    f, h, w = np.meshgrid(np.arange(F) / F, np.arange(H) / H, np.arange(W) / W, indexing="ij")
    inside = (f**2 + h**2 + w**2 <= CUTOFF**2)[:, None]
    assert 1 < inside.sum() < inside.size / 2
    for kind, keep in (("low_freq", inside), ("high_freq", ~inside)):
        found = dct3(EXTRACTORS[kind](C)(video)).numpy()
        np.testing.assert_allclose(found, coefficients * keep, atol=1e-5)


def test_learned_features_are_normalised_and_the_mlp_sees_one_frame_at_a_time(video):
    mlp = EXTRACTORS["mlp"](C)
    features = mlp(video)
    torch.testing.assert_close(features.mean(-1), torch.zeros(B, F, H, W), atol=1e-5, rtol=0)
    torch.testing.assert_close(features.square().mean(-1), torch.ones(B, F, H, W), atol=1e-2, rtol=0)
    torch.testing.assert_close(mlp(video[:, 2:3]), features[:, 2:3], atol=1e-5, rtol=1e-5)
