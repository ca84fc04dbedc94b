"""Starts a child under any interpreter, whether or not modelport is installed there.

Run by path. The gateway's `modelport` folder becomes the package `modelport` without its neighbours in site-packages
becoming importable: those belong to the gateway's interpreter, the child lives with the module's own.
"""

import importlib.util
import os
import sys


def main():  # type: () -> None
    here = os.path.dirname(os.path.abspath(__file__))
    if sys.path and os.path.abspath(sys.path[0]) == here:
        del sys.path[0]  # the folder of a script is no place for a plugin to import from
    package = os.path.dirname(here)
    spec = importlib.util.spec_from_file_location(
        "modelport", os.path.join(package, "__init__.py"), submodule_search_locations=[package]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["modelport"] = module
    spec.loader.exec_module(module)
    if sys.argv[1:2] == ["scan"]:
        from modelport.child import scanning

        scanning.main(sys.argv[2:])
        return
    from modelport.child import template

    template.main(sys.argv[1:])


if __name__ == "__main__":
    main()
