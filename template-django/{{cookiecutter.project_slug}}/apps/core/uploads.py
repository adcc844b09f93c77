from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadhandler import FileUploadHandler
from django.template.defaultfilters import filesizeformat


class LimitedUpload(FileUploadHandler):
    """Refuses a file as soon as more than APP_MAX_UPLOAD_SIZE bytes of it have come."""

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        if start + len(raw_data) > settings.ENV.max_upload_size:
            raise RequestDataTooBig(too_large(settings.ENV.max_upload_size))
        return raw_data

    def file_complete(self, file_size: int) -> None:
        """Leaves the file to the handlers that follow."""


def too_large(limit: int) -> str:
    return f"More was sent than the {size(limit)} that are allowed."


def size(number: int) -> str:
    """Such as "10 MB", of a number of bytes."""
    return filesizeformat(number).replace("\N{NO-BREAK SPACE}", " ").replace(".0 ", " ")
