"""TLS to a broker, and of the broker inside the relay."""

import ssl
from pathlib import Path

from wattseal.errors import ConfigError


def client_context(ca: Path | None, certificate: tuple[Path, Path] | None) -> ssl.SSLContext:
    """Return what checks a broker by a CA's file, or by the system's CAs, and shows it a certificate (its file and its key's).

    Raises ConfigError, naming the file.
    """
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:  # SSLError too
        raise ConfigError(f"{ca} is no CA's certificate in PEM: {error}; give another --mqtt-ca") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, certificate)
    return context


def server_context(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    """Return what shows plugs a certificate (its file and its key's). Raises ConfigError, naming the files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, certificate)
    return context


def _load(context: ssl.SSLContext, certificate: tuple[Path, Path] | None) -> None:
    if certificate is not None:
        try:
            # without a password: a prompt would stop a daemon
            context.load_cert_chain(*certificate, password=b"")
        except OSError as error:
            raise ConfigError(f"{certificate[0]} and {certificate[1]} are no certificate and its key in PEM, unencrypted: {error}") from error
