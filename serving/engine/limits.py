"""How much one request may ask for. Every field is a flag of `needle-serve`, and every refusal names the flag."""

from dataclasses import dataclass

MIB = 1 << 20
PATIENCE = 8  # bodies up to this many limits long are read to their end: many clients listen only after they have sent


@dataclass(frozen=True)
class Limits:
    """Bounds that are checked before any work is done; sizes in bytes, times in seconds."""

    body: int = 16 * MIB
    inflated: int = 64 * MIB
    pixels: int = 50_000_000
    memory: int = 256 * MIB
    queue: int = 56
    storage: int = 4096 * MIB
    training: int = 4096 * MIB
    header_seconds: float = 10.0
    body_seconds: float = 30.0


# field -> (flag, what one unit of the flag is worth, what the unit is called, help)
FLAGS = {
    "body": ("--max-body-mib", MIB, "MiB", "largest request body as sent, in MiB"),
    "inflated": ("--max-inflated-mib", MIB, "MiB", "largest request body after gzip or deflate is undone, in MiB"),
    "pixels": ("--max-megapixels", 1_000_000, "megapixels", "largest image, in millions of pixels"),
    "memory": ("--max-decode-mib", MIB, "MiB", "memory for decoding, all requests together, in MiB"),
    "queue": ("--max-queue", 1, "requests", "most requests inside one model at a time, waiting or running"),
    "storage": ("--max-storage-mib", MIB, "MiB", "files and adapters that one key may keep, all together, in MiB"),
    "training": ("--max-training-mib", MIB, "MiB", "memory that a fine-tuning job may take, in MiB"),
    "header_seconds": ("--header-timeout", 1, "s", "seconds a client may take to send its request headers"),
    "body_seconds": ("--body-timeout", 1, "s", "seconds a client may take to send its request body"),
}


def raise_with(field: str, limits: Limits) -> str:
    """The words that end a refusal: the limit, and how to raise it."""
    flag, unit, name, _ = FLAGS[field]
    return f"the limit is {getattr(limits, field) / unit:g} {name}, raised by needle-serve {flag}"
