"""The pip side of the house: training servers, which have no ROS, and development.

On a robot, colcon installs the ROS package `segzero_ros` (see CMakeLists.txt). Versions are
pinned in constraints.txt alone: `pip install -c constraints.txt .`
"""

from pathlib import Path

from setuptools import find_packages, setup

# What the set-up needs of ROS where no ROS is installed. The wheels' metadata leave out some
# dependencies of the interface generators on each other, so that all are named.
ROS_WHEELS = [
    "ros-jazzy-rclpy[fastrtps]",
    *(
        f"ros-jazzy-{name}"
        for name in (
            "action-msgs",
            "diagnostic-msgs",
            "geometry-msgs",
            "lifecycle-msgs",
            "sensor-msgs",
            "std-msgs",
            "std-srvs",
            "ament-cmake",
            "ament-cmake-gmock",
            "ament-cmake-gtest",
            "ament-cmake-include-directories",
            "ament-cmake-pytest",
            "ament-cmake-ros",
            "ament-package",
            "fastrtps-cmake-module",
            "python-cmake-module",
            "rosidl-core-generators",
            "rosidl-default-generators",
        )
    ),
    "cmake",
    "colcon-common-extensions",
    "empy",
    "lark-parser",
]

# Profiles and demo weights lie at the top of the source tree and inside `segzero` once installed.
DATA = {
    "segzero.config.profiles": "config/profiles",
    "segzero.profiles.demo": "checkpoints/demo",
    "segzero.profiles.demo.reasoner": "checkpoints/demo/reasoner",
    "segzero.profiles.demo.segmenter": "checkpoints/demo/segmenter",
}

setup(
    name="segzero",
    version="0.1.0",
    description="Ask an image a question; get reasoning, boxes, points and masks (Seg-Zero)",
    long_description=Path("README.md").read_text(),
    long_description_content_type="text/markdown",
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=[
        *find_packages(include=["segzero", "segzero.*", "segzero_sim*", "segzero_train*"]),
        *DATA,
    ],
    package_dir=DATA,
    package_data={package: ["*"] for package in DATA},
    install_requires=[
        "httpx2",
        "huggingface-hub",
        "numpy",
        "opencv-python-headless",
        "pillow",
        "pyyaml",
        "safetensors",
        "threadpoolctl",
        "torch",
        "torchvision",
        "tqdm",
        "transformers",
    ],
    extras_require={
        "ros-wheels": ROS_WHEELS,
        "sim": ["mujoco"],
        "train": [
            "accelerate",
            "datasets",
            "deepspeed",
            "matplotlib",
            "mujoco",
            "peft",
            "pycocotools",
            "scipy",
            "tensorboard",
            "trl",
        ],
        "dev": ["hypothesis", "mypy", "pytest", "requests", "ruff", "types-PyYAML"],
        "sam2": ["sam2"],
    },
    entry_points={"console_scripts": ["segzero = segzero.cli:main"]},
)
