from __future__ import annotations

import pytest

from kalamos.errors import UsageError
from kalamos.model_file.licence import check_licence


@pytest.mark.parametrize("licence", ["", " ", "MIT\nor so", "x" * 201, "a\x1b[31m"])
def test_what_is_no_licence_s_name(licence: str) -> None:
    with pytest.raises(UsageError, match="is not the name of a licence; give an SPDX identifier"):
        check_licence(licence)
