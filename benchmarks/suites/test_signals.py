"""Signals that are not pictures, from file to figure: the time of everything around the model."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.io import wavfile

from benchmarks.measure import calls
from benchmarks.measure.checks import check_input, check_map
from benchmarks.measure.counting import Counted, bare_steps
from benchmarks.measure.timing import interleaved, paired
from benchmarks.subjects.models import QUICK, Subject, signals
from pullback import studies
from pullback.studies import KINDS, LoadedModel, load_model
from pullback.studies.explain import PICTURE_METHOD
from pullback.studies.loaders.data import Photos

RATE, SECONDS, CROW = 16_000, 1 if QUICK else 10, 112  # Hz, s, the place of a class of AudioSet
METHOD = "integrated_gradients(steps=8)" if QUICK else PICTURE_METHOD


@pytest.fixture(scope="module")
def yamnet(device: str) -> LoadedModel:
    """YAMNet, whose scores are probabilities.  Skips where its package is missing."""
    try:
        return load_model("yamnet", device).whole(torch.zeros(1, 1, SECONDS * RATE, device=device))
    except ImportError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def clip(device: str) -> torch.Tensor:
    """10 s at 16 kHz, (1, 1, samples), of a loudness at which YAMNet hears something."""
    return 0.1 * signals((1, 1, SECONDS * RATE)).to(device)


def six(x: torch.Tensor) -> list[str]:
    """The domains in which recordings are compared, without the waveform."""
    return [domain for domain in KINDS["audio"].domains(tuple(x.shape[1:])) if domain != "pixel"]


def test_a_clip_in_six_domains(benchmark: Any, yamnet: LoadedModel, clip: torch.Tensor, rounds: int) -> None:
    """Goal: at most 1.15 × the bare loop of the same evaluations."""
    case = Subject("yamnet", yamnet.module, clip, CROW)
    check_input(clip)
    model, again = Counted(case.module), Counted(case.module)
    run = lambda tell=None: calls.attribute(model, clip, CROW, METHOD, six(clip), progress=tell)
    found = benchmark.pedantic(run, rounds=1)
    assert len(found) == 6
    rows, chunk = model.tally.rows, model.tally.most
    check_map(found[0], case, METHOD)
    steps = bare_steps(again, case, chunk, rows)
    (ratio, spent), other = again.tally.during(lambda: model.tally.during(lambda: interleaved(run, steps, min(rounds, 5), 60)))
    assert spent == other == tuple(ratio.rounds * row for row in rows)
    ratio.record(benchmark)
    benchmark.extra_info.update(case="attribution", goal=1.15, domains=6, chunk=chunk, forward=rows[0], backward=rows[1])


def test_a_file_to_figures_in_six_domains(
    benchmark: Any, yamnet: LoadedModel, clip: torch.Tensor, rounds: int, tmp_path: Path
) -> None:
    """Reading, attribution, six figures, shares and sounds, over the bare loop: what a user waits for. It has no goal."""
    wavfile.write(tmp_path / "clip.wav", RATE, clip[0, 0].cpu().numpy())
    case, model, again = Subject("yamnet", yamnet.module, clip, CROW), Counted(yamnet.module), Counted(yamnet.module)
    loaded = LoadedModel("yamnet", model, kind="audio", rate=float(RATE))
    options: dict[str, Any] = {"model": loaded, "target": CROW, "method": METHOD, "transforms": six(clip)}
    run = lambda: studies.explain(tmp_path / "clip.wav", out=tmp_path / "out", **options)
    found, rows = model.tally.during(lambda: benchmark.pedantic(run, rounds=1))
    assert sum(name.endswith(".png") for name in found.files) == 6
    steps = bare_steps(again, case, model.tally.most, rows)
    measured = paired(run, lambda: [step() for _, step in steps], min(rounds, 2), warm=True, most=60)
    measured.record(benchmark)
    benchmark.extra_info.update(case="explain", domains=6, forward=rows[0], backward=rows[1])


def test_loading_is_a_small_part_of_a_comparison(benchmark: Any, yamnet: LoadedModel, tmp_path: Path) -> None:
    """Goal: reading, resampling and preparing 44.1 kHz stereo files take at most 5 % of a comparison."""
    for number in range(2):
        sound = 0.1 * signals((1, 2, SECONDS * 44_100), seed=number)[0]
        wavfile.write(tmp_path / f"{number}.wav", 44_100, sound.T.numpy())
    spent: list[float] = []
    settings = studies.Settings("yamnet", tmp_path, METHOD, transforms=("stft", "dwt(db8, level=8)", "dct"), pictures=0)
    with timed(Photos, "inputs", spent):
        start = time.perf_counter()
        benchmark.pedantic(lambda: studies.compare(settings, tmp_path / "out", model=yamnet), rounds=1)
        whole = time.perf_counter() - start
    assert 0 < sum(spent) < whole
    numbers = {"ratio": round(sum(spent) / whole, 4), "ours_s": round(sum(spent), 4), "bare_s": round(whole, 4)}
    benchmark.extra_info.update(case="loading", goal=0.05, rounds=1, **numbers)


@contextlib.contextmanager
def timed(owner: type, name: str, spent: list[float]) -> Iterator[None]:
    """Notes the time that a method, which is an iterator, takes for each entry."""
    own: Callable[..., Iterator[Any]] = getattr(owner, name)

    def clocked(*arguments: Any) -> Iterator[Any]:
        entries = own(*arguments)
        while True:
            start = time.perf_counter()
            found = next(entries, None)
            spent.append(time.perf_counter() - start)
            if found is None:
                return
            yield found

    setattr(owner, name, clocked)
    try:
        yield
    finally:
        setattr(owner, name, own)
