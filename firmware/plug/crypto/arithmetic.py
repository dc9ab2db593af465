"""The arithmetic that this processor can do: native code where the firmware has some for it, else plain Python, with the same results."""

try:
    from plug.crypto.curve import Curve
    from plug.crypto.modular_inverse import inverse
    from plug.crypto.square_root import square_root_steps
except (ImportError, SyntaxError, ValueError):  # no native code here, or not for this processor
    from plug.crypto.plain import Curve, inverse, square_root_steps  # noqa: F401 - for those who import them from here
