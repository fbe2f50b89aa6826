from __future__ import annotations

from pathlib import Path

import pytest

for name in ("ray", "pyarrow"):
    pytest.importorskip(name, reason="needs the extra 'cluster'")

import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

from kalamos.cluster import TableStream, _find_all_tables  # noqa: E402
from kalamos.errors import ImageNotFoundError, UsageError  # noqa: E402
from kalamos.inputs import NamedImage  # noqa: E402


def test_a_table_that_is_not_there_is_a_row_among_others_and_refused_alone(tmp_path: Path) -> None:
    there, absent = (tmp_path / "a.parquet").as_uri(), (tmp_path / "b.parquet").as_uri()
    pq.write_table(pa.table({"image": [b"x"]}), tmp_path / "a.parquet")
    assert _find_all_tables([absent, there]) == [there, absent]
    [row] = TableStream(absent, None, alone=False).search()[1]
    assert isinstance(row, NamedImage)
    assert isinstance(row.content, ImageNotFoundError)
    with pytest.raises(UsageError, match="no such file or folder"):
        _find_all_tables([absent, absent])
