"""What must outlive a power cut: a sample written many times an hour, and documents under keys. Raw flash, no file system.

The first 5/16 of the partition are the ring of samples, the rest is the log of documents: with four sessions a day both wear alike enough.
"""

from micropython import const

from plug.errors import JournalError
from plug.storage.documents import Documents
from plug.storage.flash import SECTOR, Flash
from plug.storage.samples import Samples

_MIN_SECTORS = const(16)
_START = const(20)  # bytes of the documents' first header


class Journal:
    """Takes an `esp32.Partition`. The first start writes a header to an empty one; one that holds anything else is left as it is.

    Raises JournalError where the partition is not ours, too small, or damaged. Documents' methods are passed on.
    """

    def __init__(self, partition):
        flash = Flash(partition)
        if flash.sectors < _MIN_SECTORS:
            raise JournalError(f"the journal partition has {flash.sectors} sectors, less than {_MIN_SECTORS}: write firmware's partition table")
        boundary = flash.sectors * 5 // 16
        self._samples = Samples(flash, 0, boundary)
        documents = Documents(flash, boundary, flash.sectors - boundary)
        if documents.load():
            self._samples.load()
        else:
            _check_empty(flash, boundary, documents)
            documents.start()
        self.put = documents.put
        self.get = documents.get
        self.remove = documents.remove
        self.keys = documents.keys
        self.has_room = documents.has_room
        self.put_sample = self._samples.put

    @property
    def sample(self):
        """The newest sample, bytes, or None before the first."""
        return self._samples.newest


def _check_empty(flash, boundary, documents):
    start = bytearray(_START)
    flash.read(boundary, 0, start)
    empty = documents.could_be_start(start)
    for sector in range(flash.sectors):
        empty = empty and flash.is_erased(sector, _START if sector == boundary else 0, SECTOR)
    if not empty:
        raise JournalError(
            "the partition journal holds something else, or a damaged journal: if nothing in it is needed, erase it with esptool, then restart"
        )
