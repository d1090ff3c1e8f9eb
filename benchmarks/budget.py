"""How long a benchmark may take, and on what it runs."""

from dataclasses import dataclass
from pathlib import Path

from models.parameters import BackboneName


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """What a benchmark is given; ``quick`` asks for a smoke test of seconds on small inputs."""

    seconds: float = 60.0
    """Seconds in which the benchmark should end; it always takes a few measurements."""
    quick: bool = False
    device: str = "cpu"
    """``cpu`` or ``cuda``."""
    folder: Path = Path("build/benchmarks")
    """Where files of a benchmark go."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images: short side 480, or 600 on a GPU (docs/performance.md)."""
        if self.quick:
            return 96, 128
        return (600, 800) if self.device == "cuda" else (480, 640)

    @property
    def networks(self) -> tuple[BackboneName, ...]:
        """The networks to measure: on a GPU those of the VOC presets, if quick a small one."""
        if self.quick:
            return ("mobilenet_v2",)
        return ("resnet50", "vgg16") if self.device == "cuda" else ("mobilenet_v2", "resnet18")

    def share(self, parts: int) -> float:
        """Seconds for each of ``parts`` equal parts; next to none if quick."""
        return 0.0 if self.quick else self.seconds / parts
