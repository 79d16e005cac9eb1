"""Put into a wheel what a checkout has beside the packages; all else about the build is in pyproject.toml.

An editable installation needs none of it: pipeline/root.py finds the files in the checkout.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

BESIDE = ("sql", "expectations", "lambda", ".env.example", "LICENSE")
"""What Bulkhead reads at run time; pipeline/root.py looks for it in ``pipeline/installed/``."""

HERE = Path(__file__).resolve().parent


class BuildWithFiles(build_py):
    """Copy the files into the built package, afresh: an earlier build's leftovers would be packed too."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        installed = Path(self.build_lib) / "pipeline" / "installed"
        shutil.rmtree(installed, ignore_errors=True)
        installed.mkdir(parents=True)
        for name in BESIDE:
            if (HERE / name).is_dir():
                shutil.copytree(HERE / name, installed / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
            else:
                shutil.copy2(HERE / name, installed / name)


setup(cmdclass={"build_py": BuildWithFiles})
