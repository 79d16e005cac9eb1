"""Put off the import of a module until something of it is used.

``importlib.util.LazyLoader`` is of no help: in Python 3.11 an import statement reads ``__spec__``, which loads the module.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


def defer_import(name: str) -> None:
    """Import the module of this name when the first of its attributes is read, unless it is imported already."""
    if name in sys.modules:
        return
    placeholder = ModuleType(name)

    def load(attribute: str) -> Any:
        if attribute.startswith("__") and attribute != "__path__":  # the import system asks for these; __path__ for submodules
            raise AttributeError(attribute)
        if sys.modules.get(name) is placeholder:
            del sys.modules[name]
        return getattr(importlib.import_module(name), attribute)

    placeholder.__getattr__ = load  # type: ignore[method-assign]
    sys.modules[name] = placeholder
