"""Map the three top-level folders onto the namespace package ``makertaker``."""

from setuptools import find_packages, setup

TOP = ("envs", "baselines", "training")

setup(
    packages=[
        f"makertaker.{package}" for top in TOP for package in (top, *(f"{top}.{sub}" for sub in find_packages(top)))
    ],
    package_dir={f"makertaker.{top}": top for top in TOP},
)
