"""A certificate authority for tests of TLS."""

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


class Authority:
    """A certificate authority whose files, DER and PEM, are in `folder`."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign(name, self.key.public_key(), name, is_authority=True)
        self._write(name, self.certificate, None)

    def issue(self, name: str, begin: datetime.timedelta = -DAY, end: datetime.timedelta = DAY) -> None:
        """Make <name>.pem, <name>.der, <name>.key (PEM) and <name>.key.der."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = self.certificate.subject.rfc4514_string().removeprefix("CN=")
        self._write(name, self._sign(name, key.public_key(), issuer, begin, end), key)

    def _sign(self, name, public, issuer, begin=-DAY, end=DAY, is_authority=False) -> x509.Certificate:  # type: ignore[no-untyped-def]
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        builder = builder.issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)])).public_key(public)
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now + begin).not_valid_after(now + end)
        builder = builder.add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        return builder.sign(self.key, hashes.SHA256())

    def _write(self, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey | None) -> None:
        (self.folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (self.folder / f"{name}.der").write_bytes(certificate.public_bytes(serialization.Encoding.DER))
        if key:
            for encoding, suffix in ((serialization.Encoding.PEM, "key"), (serialization.Encoding.DER, "key.der")):
                form = serialization.PrivateFormat.TraditionalOpenSSL
                (self.folder / f"{name}.{suffix}").write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
