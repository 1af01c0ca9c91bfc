"""Label patterns: `*` is any run of characters, the rest means itself."""

import re
from functools import lru_cache


def pattern(keys: str) -> re.Pattern[str]:
    """Turn a label pattern into a regular expression; `*` is any run of characters, the rest means itself."""
    return _compiled(keys)


@lru_cache(maxsize=4096)
def _compiled(keys: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in keys.split("*")), re.DOTALL)
