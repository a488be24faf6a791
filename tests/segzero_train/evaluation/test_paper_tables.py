import pytest

from segzero_train.evaluation.paper_tables import benchmark, markdown


@pytest.mark.parametrize(
    ("dataset", "split", "place"),
    [
        ("data/reasonseg", "test", ("ReasonSeg", "test")),
        ("Ricky06662/ReasonSeg_val", "test", ("ReasonSeg", "val")),
        ("/data/refcoco", "testA", ("RefCOCO", "testa")),
        ("refcoco+", "testA", ("RefCOCO+", "testa")),
        ("Ricky06662/refcocoplus_testA", "test", ("RefCOCO+", "testa")),
        ("refcocog_test", "test", ("RefCOCOg", "test")),
        ("reasonseg-r", "test", ("ReasonSeg-R", "test")),
        ("sj9909/ReasonSeg_refine", "test", ("ReasonSeg-R", "test")),
        ("data/reasonseg-x", "val", ("ReasonSeg-X", "val")),
        ("sj9909/ReasonSegX_val", "test", ("ReasonSeg-X", "val")),
        ("reasonseg-x_test", "test", ("ReasonSeg-X", "test")),
        ("reasonseg-y", "test", None),
        ("refcoco-x", "test", None),
        ("tabletop", "test", None),
        ("my-reasonseg", "test", None),
        ("Ricky06662/refCOCOg_9k_840", "train", None),
    ],
)
def test_a_benchmark_is_known_by_its_name(dataset: str, split: str, place: tuple) -> None:
    assert benchmark(dataset, split) == place


def test_only_measured_columns_have_our_figures() -> None:
    row = {"n": 2, "giou": 0.5, "giou_95": [0.4, 0.6], "ciou": 0.25, "ciou_95": [0.2, 0.3]}
    figures = {
        "convention": "lisa",
        "malformed": 0,
        "malformed_95": [0.0, 0.0],
        "batches": [0, 8],
        "categories": {},
        "all": row,
        "segmenter": row,
    }
    run_of = {"profile": "seg-zero-7b", "dataset": "refcoco+", "split": "testA"}
    table = markdown(run_of, [figures])
    assert "| LISA-7B | published | 76.5 | 67.4 | 68.5 |" in table
    ours = "measured, lisa, n = 2, batch unknown and 8 |  | 25.0 (20.0 to 30.0) |  |"
    assert f"| **seg-zero-7b** | {ours}" in table
    assert "ReasonSeg" not in table
