"""The command line as a user calls it: in a process of its own, or in this one; and models for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pullback import cli
from pullback.core.imports import package_folder

PHOTOS = sorted((package_folder("foolbox", "") / "data").glob("imagenet_0[01]_*.jpg"))


def pullback(*arguments: str, cwd: Path | None = None, status: int = 0) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pullback", *arguments], capture_output=True, text=True, cwd=cwd, env=environment
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


def fails(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    """The exit status of a command in this process."""
    monkeypatch.setattr(sys, "argv", ["pullback", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return stopped.value.code


def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command prints in this process, on a wide terminal; it succeeds."""
    monkeypatch.setenv("COLUMNS", "200")
    assert not fails(monkeypatch, *arguments)
    return capsys.readouterr().out


MODELS = """
import torch
from pullback.studies import Preparation
class One(torch.nn.Module):
    def forward(self, x):
        return x.flatten(1).square().sum(1, keepdim=True)
def one(): return One(), Preparation(16)
def small(): return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 4))
def needs(width, *, depth): return One()
nothing = 3
"""
