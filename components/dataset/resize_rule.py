"""The resize rule's arithmetic, free of torch: what runs an exported detector needs it too."""

from models.parameters import InputParameters


def resized_size(height: int, width: int, rule: InputParameters) -> tuple[int, int]:
    """Height and width after the resize rule: short side at its length, long side capped."""
    scale = min(rule.short_side / min(height, width), rule.long_side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))
