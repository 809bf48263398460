"""Builds the native media core, with SRTP where libsrtp2 is here; everything else is in pyproject.toml."""

import os
import shlex
import subprocess
from glob import glob

from setuptools import Extension, setup


def has_srtp() -> bool:
    """Whether a program that uses libsrtp2 can be built."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    program = b"#include <srtp2/srtp.h>\nint main(void) { return srtp_init(); }\n"
    command = [*compiler, "-x", "c", "-", "-lsrtp2", "-o", os.devnull]
    return subprocess.run(command, input=program, capture_output=True, check=False).returncode == 0


SRTP = has_srtp()
print("softswitch: the media core is built", "with SRTP" if SRTP else "without SRTP: there is no libsrtp2-dev here")

setup(
    ext_modules=[
        Extension(
            "media._native",
            sources=sorted(path for path in glob("media/native/*.c") if "test_" not in path),
            depends=sorted(glob("media/native/*.h")),
            define_macros=[("HAVE_SRTP", "1")] if SRTP else [],
            extra_compile_args=["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread"],
            libraries=["m", "srtp2"] if SRTP else ["m"],
            extra_link_args=["-pthread"],
        )
    ]
)
