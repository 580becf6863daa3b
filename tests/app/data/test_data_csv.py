"""Tables of one's own: delimiter, header and task are found; what is wrong is named by its line."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from regtorch.app.data import Csv, DataError

ROWS = [(number % 7 + 0.5, "red" if number % 3 else "blue", number % 2, 3.5 * number) for number in range(40)]
HEADER = ("size", "colour", "kind", "price")


def text(rows: Any = ROWS, header: Any = HEADER, delimiter: str = ",") -> str:
    return "".join(delimiter.join(map(str, row)) + "\n" for row in ([header] if header else []) + [*rows])


def table(place: Path, content: str, **options: Any) -> Csv:
    file = place / "my table.csv"
    file.write_text(content, encoding="utf-8")
    module = Csv(str(file), **{"target": "kind", **options})
    module.setup()
    return module


def test_few_whole_numbers_are_classes(tmp_path: Path) -> None:
    module = table(tmp_path, text())
    assert (module.num_classes, module.class_names, module.input_shape) == (2, ("0", "1"), (4,))
    assert [len(part) for part in module.splits] == [28, 6, 6]
    assert [torch.bincount(part.labels).tolist() for part in module.splits] == [[14, 14], [3, 3], [3, 3]]
    assert module.remark == (
        "csv: classes 0, 1; 40 rows of 2 columns of numbers and 1 column of categories, 4 inputs; 28 rows for "
        "training, 6 for validation and 6 for the test"
    )


def test_columns_of_numbers_are_standardized_by_the_training_part_and_categories_are_not(tmp_path: Path) -> None:
    train = table(tmp_path, text()).splits.train.images
    assert train.dtype == torch.float32
    torch.testing.assert_close(train[:, [0, 3]].mean(0), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(train[:, [0, 3]].std(0, correction=0), torch.ones(2))
    assert {*train[:, 1:3].unique().tolist()} == {0.0, 1.0}
    assert (train[:, 1] + train[:, 2] == 1).all()


def test_text_is_classes_by_name(tmp_path: Path) -> None:
    module = table(tmp_path, text(), target="colour")
    assert module.class_names == ("blue", "red")
    everything = torch.cat([part.labels for part in module.splits])
    assert torch.bincount(everything).tolist() == [14, 26]


def test_every_row_keeps_its_own_target(tmp_path: Path) -> None:
    module = table(tmp_path, text([(at, 2 * at + 1) for at in range(40)], ("x", "y")), target="y")
    for part in module.splits:
        torch.testing.assert_close(part.images, part.labels)  # both standardized


@pytest.mark.parametrize("share", [0.2, 0.0])
def test_other_numbers_are_predicted(tmp_path: Path, share: float) -> None:
    module = table(tmp_path, text(), target="price", test_share=share)
    train, val, test = module.splits
    assert (module.num_classes, module.class_names) == (None, ())
    assert train.labels.shape == (len(train), 1)
    assert float(train.labels.mean()) == pytest.approx(0, abs=1e-6)
    back = torch.cat([module.numbers(part.labels) for part in ((train, val, test) if share else (train, val))])
    np.testing.assert_allclose(np.sort(back[:, 0].numpy()), [row[3] for row in ROWS], atol=1e-4)
    assert module.remark.startswith("csv: price is a number to predict; 40 rows")
    assert ("the test part is the validation part" in module.remark) == (share == 0)


def test_the_number_of_classes_may_be_said(tmp_path: Path) -> None:
    assert table(tmp_path, text(), num_classes=None).splits.train.labels.dtype == torch.float32
    assert table(tmp_path, text(), num_classes=2).num_classes == 2
    with pytest.raises(
        DataError, match=r"column kind: found 2 classes \(0, 1\), num_classes is 3; set data.num_classes=2"
    ):
        table(tmp_path, text(), num_classes=3)
    with pytest.raises(DataError, match=r"line 2, column colour: expected a number to predict .*, found 'blue'"):
        table(tmp_path, text(), target="colour", num_classes=None)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(tmp_path: Path, delimiter: str) -> None:
    assert table(tmp_path, text(delimiter=delimiter)).input_shape == (4,)


def test_quotes_blank_lines_spaces_and_a_byte_order_mark(tmp_path: Path) -> None:
    rows = "".join(f'{row[0]} , "a, {row[1]}\nb", {row[2]},{row[3]}\n\n' for row in ROWS)
    module = table(tmp_path, "\ufeff" + ",".join(HEADER) + "\r\n" + rows)
    assert module.input_shape == (4,)
    assert sum(map(len, module.splits)) == 40


def test_decimal_commas(tmp_path: Path) -> None:
    module = table(tmp_path, text(delimiter=";").replace(".", ","), target="price")
    assert float(module.numbers(module.splits.train.labels).sum()) % 1 in (0.0, 0.5)
    assert module.input_shape == (4,)


def test_decimal_commas_without_a_header(tmp_path: Path) -> None:
    module = table(tmp_path, "".join(f"{at},5;{at % 5},25;{at % 2}\n" for at in range(40)), target=3)
    assert (module.input_shape, module.num_classes) == ((2,), 2)


def test_a_gzipped_table(tmp_path: Path) -> None:
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(text().encode()))
    module = Csv(str(tmp_path / "x.csv.gz"), target="kind")
    module.setup()
    assert module.num_classes == 2


@pytest.mark.parametrize("target", [3, -2])
def test_without_a_header_columns_have_numbers(tmp_path: Path, target: int) -> None:
    module = table(tmp_path, text(header=None), target=target)
    assert (module.num_classes, sum(map(len, module.splits))) == (2, 40)
    with pytest.raises(
        DataError, match=r"data\.target: .*received 'kind'; .*so it is no header: give a column's number"
    ):
        table(tmp_path, text(header=None))


def test_a_header_of_years_is_one_if_it_has_the_target(tmp_path: Path) -> None:
    rows = [(number, number / 7, number % 2) for number in range(40)]
    assert table(tmp_path, text(rows, (2019, 2020, "kind"))).input_shape == (2,)
    assert table(tmp_path, text(rows, (2019, 2020, 2021)), target=2021).num_classes == 2


def test_columns_are_left_out(tmp_path: Path) -> None:
    assert table(tmp_path, text(), ignore=["colour", -1]).input_shape == (1,)
    with pytest.raises(
        DataError, match=r"data\.ignore: expected a column's name, or its number from 1 to 4, received 'no'"
    ):
        table(tmp_path, text(), ignore=["no"])
    with pytest.raises(DataError, match="'kind' is the target"):
        table(tmp_path, text(), ignore=["kind"])


def test_an_unnamed_column_that_counts_the_rows_is_ignored(tmp_path: Path) -> None:
    module = table(tmp_path, text([(at, *row) for at, row in enumerate(ROWS)], ("", *HEADER)))
    assert module.input_shape == (4,)
    assert "ignored column 1, which has no name and counts the rows" in module.remark


@pytest.mark.parametrize("word", ["", "NA", "nan", "?", "null"])
def test_missing_cells_are_refused_or_filled(tmp_path: Path, word: str) -> None:
    rows = [*ROWS, (word, "red", 1, 2.0), (1.5, word, 0, 2.0)]
    with pytest.raises(
        DataError, match=r"my table\.csv, line 42, column size: the cell is empty .*data\.on_missing=fill"
    ):
        table(tmp_path, text(rows))
    module = table(tmp_path, text(rows), on_missing="fill")
    assert module.input_shape == (5,)
    assert all(bool(part.images.isfinite().all()) for part in module.splits)
    assert "1 missing number filled with the column's median" in module.remark
    with pytest.raises(
        DataError, match=r"line 43, column colour: the target is missing, as in 1 row; remove such rows"
    ):
        table(tmp_path, text(rows), target="colour", on_missing="fill")


def test_a_constant_column_becomes_zeros(tmp_path: Path) -> None:
    module = table(tmp_path, text([(5, number % 2) for number in range(20)], ("x", "y")), target="y")
    assert not module.splits.train.images.any()


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("", {}, "it is empty; expected a row for each sample"),
        ("a,kind\n", {}, "it has a header and no rows"),
        ("kind\n1\n2\n", {}, "found one column; expected columns of inputs"),
        ("a,a,kind\n1,2,3\n", {}, "its header has 'a' twice"),
        (text() + "1,red,1\n", {}, r"line 42: expected 4 cells as in the first row, found 3, separated by ','; repair"),
        (text() + "inf,red,1,2\n", {}, r"line 42, column size: expected a number in float32's range, found inf"),
        (
            text() + "4x,red,1,2\n",
            {},
            r"line 42, column size: expected a number as in most rows, found '4x'; repair it",
        ),
        (
            text([(*row[:3], f"n{at}") for at, row in enumerate(ROWS)]),
            {},
            "column price: 40 different texts in 40 rows",
        ),
        (text([(*row[:2], 1, 2) for row in ROWS]), {}, "column kind: found one class alone, 1; expected two classes"),
        (text([(*row[:2], 1.5, 2) for row in ROWS]), {}, r"column kind: all targets are 1\.5; nothing can be learned"),
        (text([(*row[:2], f"n{at}", 1) for at, row in enumerate(ROWS)]), {}, "found another text in each of 40 rows"),
        (text() + "1,red,2,2\n", {}, "class 2 has 1 sample, too few to take the shares"),
        (
            text(),
            {"target": "kin"},
            "data.target: expected a column's name, or its number from 1 to 4, received 'kin'; .* has size",
        ),
        (text(), {"target": 5}, "data.target: expected a column's name, or its number from 1 to 4, received 5"),
        ("kind,a\n1,2\n" * 1, {"ignore": ["a"]}, "no column is left as input|one class alone|all targets are"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: str, options: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        table(tmp_path, content, **options)


def test_other_files_are_refused(tmp_path: Path) -> None:
    for name, content, message in (
        ("a.xlsx", b"PK\x03\x04..", "is a spreadsheet or an archive, not text; save the table as CSV"),
        ("b.csv", b"a,kind\n1,2\n\xe9,1\n", r"b\.csv, line 3: it is not UTF-8; save it as such"),
        ("c.csv.gz", gzip.compress(text().encode())[:-9], "is damaged or truncated"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=message):
            Csv(str(tmp_path / name), target="kind")
    with pytest.raises(DataError, match=r"none\.csv is not there; name your table with data\.file=table\.csv"):
        Csv(str(tmp_path / "none.csv"), target="kind")
    with pytest.raises(DataError, match=r"is a folder; name your table"):
        Csv(str(tmp_path), target="kind")


def test_a_changed_table_is_read_anew(tmp_path: Path) -> None:
    assert table(tmp_path, text()).num_classes == 2
    assert table(tmp_path, text([(*row[:2], at % 4, row[3]) for at, row in enumerate(ROWS)])).num_classes == 4
