"""What the machine's processor can do, and the OpenBLAS kernels that suit it."""


def cpu_flags(path="/proc/cpuinfo"):
    """Set of the processor's feature flags; empty where they cannot be read."""
    try:
        with open(path, encoding="ascii", errors="replace") as lines:
            for line in lines:
                name, _, value = line.partition(":")
                if name.strip() == "flags":
                    return set(value.split())
    except OSError:
        pass
    return set()


def openblas_coretype(flags):
    """OpenBLAS kernel family for these CPU flags, None when its own choice is as good.

    OpenBLAS 0.3.13 knows processors by model number and runs those that came
    after it with SSE3 kernels (Prescott); the flags tell what really works.
    """
    if {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= flags:
        return "SkylakeX"
    if {"avx2", "fma"} <= flags:
        return "Haswell"
    return None
