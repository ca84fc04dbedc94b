"""The classes of uploaded and returned files."""

from collections import namedtuple

UploadedFile = namedtuple(
    "UploadedFile", ("name", "filename", "content_type", "original_filename"), defaults=(None, None, None, None)
)
ReturnedFile = namedtuple(
    "ReturnedFile", ("name", "filename", "content_type", "original_filename"), defaults=(None, None, None, None)
)
