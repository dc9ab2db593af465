"""The firmware's version, as it stands in `hello` and in every OCMF payload."""

VERSION = "0.1.0"
