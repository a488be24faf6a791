"""The command: from a bag without ROS to a dataset that trains."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin

from segzero.metrics import overlap
from segzero_ros.annotate import main
from segzero_ros.bags.mask_bag import MASK
from segzero_ros.bags.recording import open_images
from segzero_ros.results.messages import mask_ids
from segzero_sim.motion import set_in_motion
from segzero_sim.scene import sample_scene
from segzero_sim.tabletop import Frame, TabletopRenderer
from segzero_train.datasets.coco import to_mask
from tests.segzero_ros.bags.bag_files import SECOND, START, compressed, raw, write_bag
from tests.segzero_ros.waiting import DEADLINE, wait_until

RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
SEED, RED_BALL, RATE, COUNT = 576, 3, 5, 8
"""The scene, the number of the red ball in it, frames a second and in all."""

# Python can import none of them: a machine without ROS.
WITHOUT_ROS = """
import sys
for name in ("rclpy", "sensor_msgs", "std_msgs", "builtin_interfaces", "rosidl_runtime_py"):
    sys.modules[name] = None
from segzero_ros.annotate import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    motion = set_in_motion(sample_scene(SEED))
    with TabletopRenderer(320, 240) as renderer:
        return [renderer.render(motion.at(k / RATE), depth=False) for k in range(COUNT)]


def stamp(number: int) -> int:
    return 7 + number * SECOND // RATE


@pytest.fixture(scope="module")
def bag(frames: list[Frame], tmp_path_factory: pytest.TempPathFactory) -> Path:
    messages = [(stamp(k), raw(frame.rgb, stamp(k))) for k, frame in enumerate(frames)]
    return write_bag(tmp_path_factory.mktemp("raw") / "bag", {"/image": (RAW, messages)})


@pytest.fixture(scope="module")
def dataset(bag: Path) -> Path:
    out = bag.parent / "dataset"
    command: list[str | Path] = [
        sys.executable,
        "-c",
        WITHOUT_ROS,
        bag,
        "the red ball",
        "--out",
        out,
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert f"{COUNT} frames of /image, {COUNT} of them with objects" in result.stdout
    assert result.stderr == ""
    return out


@pytest.fixture(scope="module")
def annotations(dataset: Path) -> dict:
    return json.loads((dataset / "annotations.json").read_text())


@pytest.mark.slow
def test_every_frame_has_a_picture_and_a_mask_named_by_its_stamp(
    dataset: Path, frames: list[Frame]
) -> None:
    names = [f"{START + stamp(k)}.png" for k in range(COUNT)]
    for folder in ("images", "masks"):
        assert sorted(file.name for file in (dataset / folder).iterdir()) == names
    for name, frame in zip(names, frames, strict=True):
        np.testing.assert_array_equal(read(dataset / "images" / name)[..., ::-1], frame.rgb)
        found = read(dataset / "masks" / name)
        assert set(np.unique(found).tolist()) == {0, 1}
        assert overlap(found > 0, frame.ids == RED_BALL).iou > 0.8


@pytest.mark.slow
def test_the_annotations_are_cocos_and_agree_with_the_masks(
    dataset: Path, annotations: dict
) -> None:
    names = {item["id"]: item["file_name"] for item in annotations["images"]}
    assert annotations["categories"] == [{"id": 1, "name": "the red ball"}]
    for item in annotations["annotations"]:
        mask = read(dataset / "masks" / names[item["image_id"]]) == 1
        np.testing.assert_array_equal(to_mask(item["segmentation"], 240, 320), mask)
        assert (item["category_id"], item["track_id"], item["area"]) == (1, 1, mask.sum())
        assert item["bbox"] == list(cv2.boundingRect(mask.astype(np.uint8)))


@pytest.mark.slow
def test_the_video_shows_every_frame_at_the_cameras_rate(dataset: Path) -> None:
    video = cv2.VideoCapture(str(dataset / "overlay.mp4"))
    assert video.get(cv2.CAP_PROP_FPS) == RATE
    assert sum(1 for _ in iter(lambda: video.read()[0], False)) == COUNT


@pytest.fixture(scope="module")
def prepared(dataset: Path) -> Path:
    from segzero_train.prepare import main as prepare

    out = dataset.parent / "prepared"
    words = ["folder", "--source", str(dataset), "--out", str(out), "--workers", "1"]
    assert prepare([*words, "--size", "original"]) == 0
    return out


@pytest.mark.slow
def test_what_it_writes_is_read_as_rows_to_train_on(prepared: Path, frames: list[Frame]) -> None:
    from datasets import load_dataset

    rows = load_dataset(str(prepared), split="train", cache_dir=str(prepared.parent / "cache"))
    assert len(rows) == COUNT
    for row, frame in zip(rows, frames, strict=True):
        assert row["problem"] == "the red ball"
        np.testing.assert_array_equal(np.asarray(row["image"]), frame.rgb)
        assert overlap(np.asarray(row["mask"]) > 0, frame.ids == RED_BALL).iou > 0.8


@pytest.mark.slow
def test_the_rewards_of_a_grpo_step_agree_with_its_masks(prepared: Path, tmp_path: Path) -> None:
    options = {
        "dataset": prepared,
        "dataset_size": 4,
        "held_out_size": 0,
        "max_steps": 1,
        "num_generations": 4,
        "per_device_train_batch_size": 4,
        "max_completion_length": 96,
        "save_strategy": "no",
        "output_dir": tmp_path / "run",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "segzero_train.grpo", "--config", "demo", *words]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    (reward,) = re.findall(r"'rewards/mask_iou/mean': '([\d.]+)'", result.stdout)
    assert float(reward) > 0


@pytest.mark.slow
def test_the_same_frames_give_the_same_files_whatever_carries_them(
    dataset: Path, frames: list[Frame], tmp_path: Path
) -> None:
    messages = [(stamp(k), compressed(frame.rgb, stamp(k))) for k, frame in enumerate(frames)]
    topics = {"/image": (COMPRESSED, messages)}
    other = write_bag(tmp_path / "bag", topics, StoragePlugin.SQLITE3)
    assert main([str(other), "the red ball", "--out", str(tmp_path / "again")]) == 0
    assert contents(tmp_path / "again") == contents(dataset)


@pytest.mark.slow
@pytest.mark.parametrize("words", [["--out", "masks.mcap"], ["--out", "masks", "--format", "bag"]])
def test_a_bag_has_the_masks_of_the_dataset(
    bag: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: Sequence[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([str(bag), "the red ball", *words]) == 0
    with open_images(tmp_path / words[1], MASK) as masks:
        found = [(item.stamp, mask_ids(item.message)) for item in masks]
    assert [at for at, _ in found] == [START + stamp(k) for k in range(COUNT)]
    for at, ids in found:
        np.testing.assert_array_equal(ids, read(dataset / "masks" / f"{at}.png"))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        pytest.param(["nowhere", "the ball"], "there is no bag nowhere", id="bag"),
        pytest.param(["{bag}", "the ball", "--topic", "/no"], "its image topics", id="topic"),
        pytest.param(["{bag}", " "], "question", id="question"),
        pytest.param(["{bag}", "the ball", "--out", "{bag}"], "exists: name a new", id="out there"),
        pytest.param(["{bag}", "the ball", "--out", "no/way"], "no folder no", id="out nowhere"),
        pytest.param(["{bag}", "the ball", "--out", "masks.db3"], "masks.mcap", id="sqlite"),
        pytest.param(["{bag}", "the ball", "--out", "masks.bag"], "masks.mcap", id="ROS 1"),
    ],
)
def test_what_cannot_be_used_is_refused_before_the_models_are_loaded(
    bag: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: Sequence[str],
    reason: str,
) -> None:
    out = [] if "--out" in words else ["--out", str(tmp_path / "out")]
    profile = ["--profile", "there-is-none"]
    assert main([*(word.format(bag=bag) for word in words), *out, *profile]) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "soon"])
def test_reask_takes_seconds(
    seconds: str, bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([str(bag), "the ball", "--out", str(tmp_path / "out"), f"--reask={seconds}"])
    assert caught.value.code == 2
    assert "seconds above 0" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_that_finds_nothing_leaves_nothing_behind(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(bag), "the purple cone", "--out", str(tmp_path / "out")]) == 1
    assert (
        "nothing matches 'the purple cone' in the first frame: --reask" in capsys.readouterr().err
    )
    assert list(tmp_path.iterdir()) == []


# As the executable starts it, which ends at once on a signal while it imports.
INTERRUPTED = """
import os, signal, sys
signal.signal(signal.SIGINT, lambda *_: os._exit(0))
from segzero_ros.annotate import main
sys.exit(main())
"""


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_behind(frames: list[Frame], tmp_path: Path) -> None:
    message = compressed(frames[0].rgb, 1)
    topics = {"/image": (COMPRESSED, [(k, message) for k in range(2000)])}
    bag, out = write_bag(tmp_path / "bag", topics), tmp_path / "made" / "out"
    out.parent.mkdir()
    command: list[str | Path] = [
        sys.executable,
        "-c",
        INTERRUPTED,
        bag,
        "the red ball",
        "--out",
        out,
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: list(out.parent.rglob("masks/*")), "the first mask")
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 130
        assert process.stderr and "interrupted" in process.stderr.read()
    assert list(out.parent.iterdir()) == []


def read(file: Path) -> np.ndarray:
    picture = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return picture


def contents(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}
