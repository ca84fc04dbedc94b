# mypy: ignore-errors
"""Three different files in one request, one of them needed."""

from webargs import fields


def get_predict_args():
    def file(text, **options):
        return fields.Raw(metadata={"type": "file", "location": "form", "description": text}, **options)

    return {"image": file("an image", required=True), "audio": file("sound"), "config": file("settings (.yml)")}


def predict(**kwargs):
    return {name: [each.original_filename, open(each.filename).read()] for name, each in kwargs.items() if each}
