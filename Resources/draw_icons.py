"""Draw the modules' icons and the samples' thumbnails: python3 Resources/draw_icons.py (needs Pillow and numpy).

Both show a segment in an ultrasound fan. SemiSegCervical: the segment, and where its outline is uncertain.
SemiSegTrainer: a segment of which only a part is outlined, and the loop that learns from it.
"""

from __future__ import annotations

import gzip
import itertools
import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps

ROOT = Path(__file__).resolve().parents[1]
SIZE, FINE = 128, 8  # pixels, and how many times finer it is drawn
THUMBNAIL = (260, 280)

NIGHT = (24, 42, 68, 255)
FAN = (176, 194, 212, 255)
SHADE = (128, 148, 170, 255)
TEAL = (0, 150, 136, 255)
EDGE = (0, 92, 84, 255)
AMBER = (255, 167, 38, 255)
WHITE = (255, 255, 255, 255)

Point = tuple[float, float]


def blob(centre: Point, radius: float, start: float = 0.0, end: float = 360.0) -> list[Point]:
    """Return the segment's outline, or the part of it between two angles (degrees, clockwise from the right)."""
    points = []
    for step in range(181):
        angle = math.radians(start + (end - start) * step / 180)
        distance = radius * (1 + 0.10 * math.cos(2 * angle + 0.6) + 0.06 * math.sin(3 * angle))
        points.append((centre[0] + 1.18 * distance * math.cos(angle), centre[1] + 0.92 * distance * math.sin(angle)))
    return points


class Drawing:
    """A picture of 128 x 128 units on a dark rounded square with an ultrasound fan."""

    def __init__(self) -> None:
        self.picture = Image.new("RGBA", (SIZE * FINE, SIZE * FINE), (0, 0, 0, 0))
        self.draw = ImageDraw.Draw(self.picture)
        self.draw.rounded_rectangle(self._box(4, 4, 124, 124), radius=22 * FINE, fill=NIGHT)
        # The fan opens downwards from a curved probe at the top.
        self.draw.pieslice(self._box(-45, -101, 173, 117), 58, 122, fill=FAN)
        self.draw.pieslice(self._box(42, -14, 86, 30), 57, 123, fill=NIGHT)
        self.draw.arc(self._box(-33, -89, 161, 105), 60, 120, fill=SHADE, width=3 * FINE)

    def fill(self, points: list[Point], colour: tuple[int, ...]) -> None:
        """Fill a polygon."""
        self.draw.polygon(self._scaled(points), fill=colour)

    def line(self, points: list[Point], colour: tuple[int, ...], width: float) -> None:
        """Draw a curve with round ends, as a row of discs: thick polylines have gaps at their joints."""
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            steps = max(1, round(math.dist((x0, y0), (x1, y1)) * 4))
            for step in range(steps + 1):
                self.disc((x0 + (x1 - x0) * step / steps, y0 + (y1 - y0) * step / steps), width / 2, colour)

    def disc(self, centre: Point, radius: float, colour: tuple[int, ...]) -> None:
        """Fill a circle."""
        x, y = centre
        self.draw.ellipse(self._box(x - radius, y - radius, x + radius, y + radius), fill=colour)

    def save(self, path: Path) -> None:
        """Write the picture at its final size."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.picture.resize((SIZE, SIZE), Image.Resampling.LANCZOS).save(path, optimize=True)

    def _box(self, *edges: float) -> list[float]:
        return [edge * FINE for edge in edges]

    def _scaled(self, points: list[Point]) -> list[Point]:
        return [(x * FINE, y * FINE) for x, y in points]


def cervical() -> Drawing:
    """A segment, and an amber stretch of its outline."""
    icon = Drawing()
    centre = (61.0, 73.0)
    icon.fill(blob(centre, 27), TEAL)
    icon.line(blob(centre, 27), EDGE, 4)
    icon.line(blob(centre, 27, -62, 62), WHITE, 15)
    icon.line(blob(centre, 27, -62, 62), AMBER, 10)
    return icon


def trainer() -> Drawing:
    """A segment that is filled on one side and only dotted on the other, and a loop with an arrow."""
    icon = Drawing()
    centre = (61.0, 70.0)
    icon.fill(blob(centre, 27, 90, 270), TEAL)
    icon.line(blob(centre, 27, 90, 270), EDGE, 4)
    for start in range(-84, 84, 28):
        icon.line(blob(centre, 27, start, start + 12), EDGE, 4.5)
    x, y = 93.0, 93.0
    icon.disc((x, y), 28, WHITE)
    icon.disc((x, y), 25, AMBER)

    def on_loop(angle: float, radius: float = 13.0) -> Point:
        return (x + radius * math.cos(math.radians(angle)), y + radius * math.sin(math.radians(angle)))

    icon.line([on_loop(angle) for angle in range(-20, 252, 4)], NIGHT, 6)
    tip, base = 292.0, 250.0
    icon.fill([on_loop(base, 4), on_loop(base, 23), on_loop(tip, 13.5)], NIGHT)
    return icon


def thumbnail(picture: Image.Image, labels: Image.Image | None = None) -> Image.Image:
    """Return a sample as Slicer's Sample Data module shows it, its segments tinted."""
    grey = np.asarray(picture.convert("L"), dtype=np.float32)
    colours = np.repeat(grey[..., None], 3, axis=2)
    if labels is not None:
        for value, tint in ((1, AMBER), (2, TEAL)):
            inside = np.asarray(labels) == value
            colours[inside] = 0.6 * colours[inside] + 0.4 * np.array(tint[:3])
    page = Image.new("RGB", THUMBNAIL, NIGHT[:3])
    small = ImageOps.contain(Image.fromarray(colours.astype(np.uint8)), THUMBNAIL, Image.Resampling.LANCZOS)
    page.paste(small, ((page.width - small.width) // 2, (page.height - small.height) // 2))
    return page


def first_frame(path: Path) -> Image.Image:
    """Return the first image of a compressed NRRD file of bytes."""
    header, _, data = path.read_bytes().partition(b"\n\n")
    sizes = next(line for line in header.decode().splitlines() if line.startswith("sizes:"))
    width, height = (int(size) for size in sizes.split()[1:3])
    pixels = np.frombuffer(gzip.decompress(data), dtype=np.uint8, count=width * height)
    return Image.fromarray(pixels.reshape(height, width))


def sample_thumbnails() -> dict[str, Image.Image]:
    """Return the thumbnails of the registered samples by file name."""
    samples = ROOT / "Resources" / "samples"
    cervix = Image.open(samples / "cervix" / "fugc_l0024.jpg")
    labels = Image.open(samples / "cervix" / "fugc_l0024_label.png")
    return {
        "SemiSegCervicalSampleCervix.png": thumbnail(cervix, labels),
        "SemiSegCervicalSampleCarotid.png": thumbnail(first_frame(samples / "carotid" / "carotid_v08.seq.nrrd")),
        "SemiSegCervicalSampleHead.png": thumbnail(first_frame(samples / "fetal_head" / "hc18_270.nrrd")),
    }


if __name__ == "__main__":
    for module, icon in (("SemiSegCervical", cervical()), ("SemiSegTrainer", trainer())):
        icon.save(ROOT / module / "Resources" / "Icons" / f"{module}.png")
    for name, picture in sample_thumbnails().items():
        picture.save(ROOT / "SemiSegCervical" / "Resources" / "Icons" / name, optimize=True)
