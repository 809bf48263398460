"""Builds the native media core and what SIP does in C; everything else is in pyproject.toml.

What the core speaks beside plain RTP and G.711 is built in where the libraries are: SRTP by libsrtp2
with the ciphers of libcrypto (OpenSSL), G.722 by spandsp, Opus by libopus. Where clang and libbpf are, the
kernel can pass plain calls on.
"""

import os
import shlex
import subprocess
import sysconfig
from glob import glob

from setuptools import Extension, setup

# Macro: the libraries, and what is included and called to see that it can be compiled and linked against.
OPTIONAL = {
    "HAVE_SRTP": (
        "srtp2 crypto",
        ("srtp2/srtp.h", "openssl/evp.h", "openssl/sha.h"),
        "srtp_init() + SHA1_Init(0) + (EVP_aes_256_gcm() != 0)",
    ),
    "HAVE_G722": ("spandsp", ("spandsp/telephony.h", "spandsp/g722.h"), "g722_decode_init(0, 64000, 1) != 0"),
    "HAVE_OPUS": ("opus", ("opus/opus.h",), "opus_decoder_get_size(1)"),
    "HAVE_KERNEL_RELAY": ("bpf", ("bpf/libbpf.h",), "bpf_object__open_mem(0, 0, 0) != 0"),
}
KERNEL_PROGRAM = "media/native/bpf/kernel_relay.c"  # for BPF, which clang makes
GENERATED = "build/generated"


def builds(libraries: str, headers: tuple[str, ...], call: str) -> bool:
    """Whether a program that uses the libraries can be built."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    includes = "".join(f"#include <{header}>\n" for header in ("stdint.h", *headers))
    program = f"{includes}int main(void) {{ return {call}; }}\n".encode()
    command = [*compiler, "-x", "c", "-", *(f"-l{library}" for library in libraries.split()), "-o", os.devnull]
    return subprocess.run(command, input=program, capture_output=True, check=False).returncode == 0


def kernel_program() -> bool:
    """Make the header that holds the program for the kernel's relay; False where there is no clang that can."""
    target = os.path.join(GENERATED, "kernel_relay.o")
    os.makedirs(GENERATED, exist_ok=True)
    command = [
        os.environ.get("CLANG", "clang"),
        "-target",
        "bpf",
        "-mcpu=v3",
        "-O2",
        "-g",
        "-Wall",
        "-Wextra",
        "-Werror",
    ]
    includes = [f"-I/usr/include/{sysconfig.get_config_var('MULTIARCH')}"]  # asm/types.h
    try:
        subprocess.run([*command, *includes, "-c", KERNEL_PROGRAM, "-o", target], check=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    with open(target, "rb") as made, open(os.path.join(GENERATED, "kernel_relay_program.h"), "w") as header:
        numbers = ",".join(str(byte) for byte in made.read())
        header.write(
            f"static const unsigned char kernel_relay_program[] __attribute__((aligned(8))) = {{{numbers}}};\n"
        )
    return True


FOUND = {macro: libraries for macro, (libraries, *use) in OPTIONAL.items() if builds(libraries, *use)}
if "HAVE_KERNEL_RELAY" in FOUND and not kernel_program():
    del FOUND["HAVE_KERNEL_RELAY"]
for macro, (libraries, *_) in OPTIONAL.items():
    names = ", ".join(f"lib{library}" for library in libraries.split())
    print(f"softswitch: the media core is built {'with' if macro in FOUND else 'without'} {macro[5:]} ({names})")

WARNINGS = ["-Wall", "-Wextra", "-Werror"]

setup(
    ext_modules=[
        Extension(
            "softswitch.sip._plain",
            sources=[f"softswitch/sip/native/{name}.c" for name in ("module", "plain", "words")],
            depends=sorted(glob("softswitch/sip/native/*.h")),
            extra_compile_args=["-std=gnu11", "-O2", *WARNINGS],
        ),
        Extension(
            "softswitch.sip._mailbox",
            sources=["softswitch/sip/native/mailbox.c"],
            extra_compile_args=["-std=gnu11", "-O2", *WARNINGS],
        ),
        Extension(
            "media._native",
            sources=sorted(path for path in glob("media/native/*.c") if "test_" not in path),
            depends=sorted(glob("media/native/*.h")),
            include_dirs=[GENERATED],
            define_macros=[(macro, "1") for macro in FOUND],
            extra_compile_args=["-std=gnu11", "-O2", *WARNINGS, "-pthread"],
            libraries=["m", *" ".join(FOUND.values()).split()],
            extra_link_args=["-pthread"],
        ),
    ]
)
