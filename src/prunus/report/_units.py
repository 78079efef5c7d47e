"""Numbers as people read them."""

STEPS = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
NONE = "–"
RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
MINUS = "\N{MINUS SIGN}"


def scaled(value: float, unit: str = "") -> str:
    """Three figures and a decimal prefix: ``22_714_755`` is ``22.7 M``."""
    for step, prefix in STEPS:
        if abs(value) >= 0.9995 * step:
            return f"{_three(value / step)} {prefix}{unit}"
    return f"{value:.0f} {unit}".rstrip()


def percent(fraction: float | None, digits: int = 1) -> str:
    """``0.482`` is ``48.2 %``."""
    return NONE if fraction is None else f"{100 * fraction:.{digits}f} %"


def share(fraction: float) -> str:
    """``0.5`` is ``50 %``, three figures at most."""
    return f"{100 * fraction:.3g} %"


def points(value: float | None) -> str:
    """A value that is already in percent, two decimals."""
    return NONE if value is None else f"{value:.2f}"


def signed(value: float) -> str:
    """Two decimals with a sign, a real minus sign."""
    return f"{value:+.2f}".replace("-", MINUS)


def interval(value: float | None, margin: float | None) -> str:
    """``+0.51 ± 0.72``."""
    return NONE if value is None or margin is None else f"{signed(value)} ± {points(margin)}"


def times(ratio: float) -> str:
    """A ratio: ``1.93×``."""
    return f"{ratio:.2f}×"


def milliseconds(value: float) -> str:
    """Three figures of milliseconds."""
    return f"{_three(value)} ms"


def duration(seconds: float) -> str:
    """``0.4 s``, ``41 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def call(batch: int, length: float | None) -> str:
    """The size of a batch, and its tokens where it has such."""
    if length is None:
        return f"{batch} sample{'s' * (batch != 1)}"
    return f"{batch} by {tokens(length)} tokens"


def tokens(length: float) -> str:
    """A length in tokens, with a decimal where it has one."""
    return f"{length:.1f}".removesuffix(".0")


def small(value: float | None) -> str:
    """A relative difference: ``0.31``, ``4.1×10⁻⁷``, or ``0`` where there is none at all."""
    if value is None:
        return NONE
    if not 0 < value < 1e-3:
        return f"{value:.2g}"
    digits, power = f"{value:.1e}".split("e-")
    return f"{digits}×10⁻{power.lstrip('0').translate(RAISED)}"


def shortened(text: str, most: int = 400) -> str:
    """A text, cut off where it is long."""
    return text if len(text) <= most else f"{text[:most].rstrip()} …"


def _three(value: float) -> str:
    digits = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{value:.{digits}f}"
