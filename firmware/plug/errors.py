"""Everything the plug can refuse or report: one class tree, each class with the stable code that docs/protocol.md lists."""


class PlugError(Exception):
    """Root of the tree; `code` goes to the relay and into logs, the message is for people."""

    code = "plug"


class ConfigError(PlugError):
    """config.json is missing or wrong."""

    code = "config"


class KeystoreError(PlugError):
    """NVS holds a device key that cannot be used, or cannot keep one."""

    code = "keystore"


class JournalError(PlugError):
    """Flash holds records, but none that can be trusted, or did not keep what was written."""

    code = "journal"


class JournalFull(JournalError):
    """No room for a new record; those that are kept can still be replaced and removed."""

    code = "journal_full"


class MeterError(PlugError):
    """The metering IC does not answer, or does not hold what was written to it."""

    code = "meter_fault"


class SecureElementError(PlugError):
    """The secure element does not answer, refuses, or is not the one that made this plug's key."""

    code = "secure_element"


class BadFrame(PlugError):
    """A line from the relay is too long, damaged, or no message."""

    code = "bad_frame"


class BrokerError(PlugError):
    """The MQTT broker refuses the plug, shows a wrong certificate, or breaks the protocol."""

    code = "broker"


class Malformed(PlugError):
    """A message or a typed structure has a wrong, missing or extra field."""

    code = "malformed"


class UnknownType(PlugError):
    """A message has a type that this version does not know."""

    code = "unknown_type"


class Busy(PlugError):
    """Another session is running."""

    code = "busy"


class NoClock(PlugError):
    """The relay has not told the time yet."""

    code = "no_clock"


class BadSignature(PlugError):
    """A signature is not the one it must be."""

    code = "bad_signature"


class WrongPlug(PlugError):
    """A voucher names another plug."""

    code = "wrong_plug"


class UnsupportedFunding(PlugError):
    """A voucher draws on something this version does not serve."""

    code = "unsupported_funding"


class StaleNonce(PlugError):
    """A voucher carries another challenge than the offered one, or an old one."""

    code = "stale_nonce"


class BadTerms(PlugError):
    """A voucher's limits or times cannot be served."""

    code = "bad_terms"


class OutboxFull(PlugError):
    """Too many sessions wait for their settlement."""

    code = "outbox_full"


class WrongSession(PlugError):
    """A message names a session that is not the running one."""

    code = "wrong_session"


class NoHost(PlugError):
    """The plug's configuration does not say for whom it works."""

    code = "no_host"


class StaleEpoch(PlugError):
    """An epoch is not above the last one that the plug has signed."""

    code = "stale_epoch"


class BadState(PlugError):
    """A message does not fit the state of the session."""

    code = "bad_state"


class NotBilling(PlugError):
    """What this board's meter counts must not be billed, so only a free session can be served."""

    code = "not_billing"


class TaskDied(PlugError):
    """A task of the app ended or hung."""

    code = "task_died"


class Tripped(PlugError):
    """A trip is latched and its cause persists, or nobody has cleared it."""

    code = "tripped"


class WeldUnknown(PlugError):
    """Nothing tells whether the contacts are welded: no sense pins, or no self-check yet."""

    code = "weld_unknown"
