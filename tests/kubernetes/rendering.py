"""Manifests as kubectl 1.20 renders them: its kustomize is older than what the overlays are written for."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.kubernetes.cluster import ROOT

OVERLAYS = ("small", "production", "etcd", "labels", "nfs", "tls")


def rendered(kubectl: Path, overlay: str, folder: Path) -> list[dict[str, Any]]:
    """The objects of an overlay. ``folder`` is a temporary one."""
    copy = folder / overlay
    shutil.copytree(ROOT / "manifests", copy)
    for file in copy.rglob("kustomization.yaml"):
        about = yaml.safe_load(file.read_text())
        # There, folders stand under another key
        folders = [name for name in about["resources"] if (file.parent / name).is_dir()]
        about["bases"] = folders
        about["resources"] = [name for name in about["resources"] if name not in folders]
        file.write_text(yaml.safe_dump(about))
    command = [kubectl, "kustomize", copy / "overlays" / overlay]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]  # {} where an overlay has deleted something
