"""How files begin: the one table by which a kind is known whose name tells nothing."""

from __future__ import annotations

HEAD_BYTES = 64
# (place, bytes there, media type, ending of a name); the first that fits.
MAGIC = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png", ".png"),
    (0, b"\xff\xd8\xff", "image/jpeg", ".jpg"),
    (0, b"GIF8", "image/gif", ".gif"),
    (8, b"WEBP", "image/webp", ".webp"),
    (8, b"WAVE", "audio/wav", ".wav"),
    (8, b"AVI ", "video/x-msvideo", ".avi"),
    (0, b"II*\x00", "image/tiff", ".tiff"),
    (0, b"MM\x00*", "image/tiff", ".tiff"),
    (0, b"BM", "image/bmp", ".bmp"),
    (0, b"%PDF-", "application/pdf", ".pdf"),
    (0, b"PK\x03\x04", "application/zip", ".zip"),
    (0, b"PK\x05\x06", "application/zip", ".zip"),
    (0, b"\x1f\x8b", "application/gzip", ".gz"),
    (4, b"ftyp", "video/mp4", ".mp4"),
    (0, b"\x1aE\xdf\xa3", "video/webm", ".mkv"),
    (0, b"OggS", "audio/ogg", ".ogg"),
    (0, b"fLaC", "audio/flac", ".flac"),
    (0, b"ID3", "audio/mpeg", ".mp3"),
    (0, b"\x89HDF\r\n\x1a\n", "application/x-hdf5", ".h5"),
    (0, b"\x93NUMPY", "application/octet-stream", ".npy"),
    (0, b"<svg", "image/svg+xml", ".svg"),
)


def kind_of(head: bytes) -> tuple[str, str] | None:
    """(media type, ending) of a file that begins with `head`; None where it is not known."""
    for place, magic, media_type, ending in MAGIC:
        if head[place : place + len(magic)] == magic:
            return media_type, ending
    return None
