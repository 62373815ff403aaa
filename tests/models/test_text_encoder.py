"""Captions → embeddings: tokens, padding, batches, words it was never shown."""

import pytest
import torch

from repro.errors import ReproError
from repro.models import text_encoder
from repro.world.scene import sample, vocabulary, words

CAPTIONS = [sample(3, i).caption for i in range(12)]


@pytest.fixture(scope="module")
def encoder(smoke):
    torch.manual_seed(0)
    return text_encoder.build(smoke).requires_grad_(False).eval()


def test_tokens_are_the_words_in_order_then_the_end(encoder, smoke):
    names = [text_encoder.PAD, text_encoder.END, *vocabulary()]
    ids, mask = encoder.tokenize(CAPTIONS)
    assert ids.shape == mask.shape == (len(CAPTIONS), smoke.dit.text_tokens)
    for caption, row, kept in zip(CAPTIONS, ids.tolist(), mask.tolist(), strict=True):
        length = len(words(caption)) + 1
        assert [names[i] for i in row[:length]] == [*words(caption), text_encoder.END]
        assert set(row[length:]) == {0} and kept == [1] * length + [0] * (len(row) - length)


def test_tokens_are_the_same_in_every_encoder_and_case(encoder, smoke):
    again = text_encoder.build(smoke)
    assert torch.equal(encoder.tokenize(CAPTIONS)[0], again.tokenize(CAPTIONS)[0])
    assert torch.equal(encoder.tokenize(CAPTIONS)[0], encoder.tokenize([c.upper() for c in CAPTIONS])[0])


def test_one_at_a_time_equals_all_together(encoder):
    together = encoder(CAPTIONS)
    alone = torch.cat([encoder([c]) for c in CAPTIONS])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    assert together.std() > 0.05


def test_a_row_does_not_depend_on_its_neighbours_length(encoder):
    short, long = min(CAPTIONS, key=len), max(CAPTIONS, key=len)
    assert len(words(short)) < len(words(long))
    torch.testing.assert_close(encoder([short, long])[0], encoder([short, short])[0], atol=1e-6, rtol=0)


def test_padding_is_zero_and_changes_nothing(encoder):
    ids, mask = encoder.tokenize(CAPTIONS[:3])
    embedded = encoder.encode(ids, mask)
    assert torch.equal(embedded.abs().sum(-1) > 0, mask.bool())
    spoilt = torch.where(mask.bool(), ids, 5)
    torch.testing.assert_close(encoder.encode(spoilt, mask), embedded, atol=1e-6, rtol=0)
    cut = mask.sum(1).max()
    torch.testing.assert_close(encoder.encode(ids[:, :cut], mask[:, :cut]), embedded[:, :cut], atol=1e-5, rtol=0)


def test_word_order_matters(encoder):
    a, b = encoder(["a red star over dots", "a star red over dots"])
    assert (a - b).abs().max() > 1e-2


def test_the_empty_caption_is_the_null_prompt(encoder):
    ids, mask = encoder.tokenize(["", CAPTIONS[0]])
    assert ids[0, 0] == 1 and mask[0].sum() == 1
    assert encoder([""])[0, 1:].abs().max() == 0


@pytest.mark.parametrize(
    ("caption", "says"),
    [
        ("a small rad star", r"'a small rad star'.*does not know 'rad'; did you mean red"),
        ("a small red zzzzqqqq", r"does not know 'zzzzqqqq'; it knows a, above"),
        ("café", "does not know 'café'"),
    ],
)
def test_an_unknown_word_is_named(encoder, caption, says):
    with pytest.raises(ReproError, match=says):
        encoder([CAPTIONS[0], caption])


def test_a_caption_that_would_be_cut_is_refused(encoder, smoke):
    fits = " ".join(["red"] * (smoke.dit.text_tokens - 1))
    assert encoder.tokenize([fits])[1].sum() == smoke.dit.text_tokens
    with pytest.raises(ReproError, match=f"longer than {smoke.dit.text_tokens - 1} words"):
        encoder([fits + " red"])


@pytest.mark.parametrize("extra", ["7", "ß", "red-green"])
def test_what_is_not_a_word_is_refused(encoder, extra):
    with pytest.raises(ReproError, match=f"does not know '{extra}'"):
        encoder.tokenize([f"a small red star {extra}"])
