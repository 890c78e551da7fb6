"""`deploy/keys.py`, which is a script and in no package, as a module."""

import importlib.util

from tests import compose

_spec = importlib.util.spec_from_file_location("deploy_keys", compose.ROOT / "deploy" / "keys.py")
assert _spec is not None
assert _spec.loader is not None
module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(module)
