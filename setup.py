"""Builds the native media core; everything else is in pyproject.toml."""

from glob import glob

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "media._native",
            sources=sorted(path for path in glob("media/native/*.c") if "test_" not in path),
            depends=sorted(glob("media/native/*.h")),
            extra_compile_args=["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread"],
            libraries=["m"],
            extra_link_args=["-pthread"],
        )
    ]
)
