"""A call by tritonclient, to be pasted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from modelport.extending import ExampleCall
from modelport.frontends.kserve.arguments import Place, places

TRITON = """\
import numpy as np
import tritonclient.http as triton
from tritonclient.utils import triton_to_np_dtype

client = triton.InferenceServerClient({server})
inputs = []
for name, datatype, values in [
{rows}]:
    array = np.array(values, dtype=triton_to_np_dtype(datatype))
    inputs.append(triton.InferInput(name, array.shape, datatype))
    inputs[-1].set_data_from_numpy(array)
result = client.infer({name}, inputs{headers})
for output in result.get_response()["outputs"]:
    print(output["name"], result.as_numpy(output["name"]))
"""


def triton(call: ExampleCall) -> str:
    place = urlsplit(call.url)
    server = json.dumps(f"{place.netloc}{place.path}/kserve") + (", ssl=True" if place.scheme == "https" else "")
    headers = {"Authorization": f"Bearer {call.token}"}
    return TRITON.format(
        server=server,
        rows="".join(_rows(call)),
        name=json.dumps(call.name),
        headers=f", headers={json.dumps(headers)}" if call.token else "",
    )


def _rows(call: ExampleCall) -> Iterator[str]:
    known = call.card.derive(places)
    for name, value in call.values.items():
        yield f"    ({json.dumps(name)}, {json.dumps(known[name].datatype)}, {_values(known[name], value)!r}),\n"
    for name, path in call.files.items():
        yield f'    ({json.dumps(name)}, "BYTES", [open({json.dumps(path)}, "rb").read()]),\n'


def _values(place: Place, value: Any) -> Any:
    if place.is_json and not (place.leaf == "any" and isinstance(value, str)):
        return [json.dumps(element) for element in value] if place.depth else [json.dumps(value)]
    return value if place.depth else [value]
